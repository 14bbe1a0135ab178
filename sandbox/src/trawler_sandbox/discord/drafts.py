"""Parse the message that a client requests, and refuse what Discord would refuse. Pure."""

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Self

from trawler_sandbox.discord import errors
from trawler_sandbox.discord.world import EPHEMERAL, Guild

CONTENT: Final = 2000
FILES: Final = 10
ROWS: Final = 5
CUSTOM_ID: Final = 100
NONCE: Final = 25
_KINDS: Final[dict[str, type]] = {
    "content": str,
    "embeds": list,
    "components": list,
    "attachments": list,
    "flags": int,
    "allowed_mentions": dict,
    "message_reference": dict,
}
_MENTION: Final = re.compile(r"<@!?(\d+)>")


@dataclass
class Upload:
    """A file of a multipart request, already on disk."""

    slot: int
    filename: str
    path: Path
    size: int
    sha256: str
    content_type: str


@dataclass
class Draft:
    """A message to create, or the changes to one; `given` names the fields that the request
    contains.
    """

    given: frozenset[str]
    content: str = ""
    embeds: list[dict[str, Any]] = field(default_factory=list)
    components: list[dict[str, Any]] = field(default_factory=list)
    attachments: list[dict[str, Any]] = field(default_factory=list)
    uploads: list[Upload] = field(default_factory=list)
    flags: int = 0
    nonce: str | int | None = None
    enforce_nonce: bool = False
    allowed: dict[str, Any] | None = None
    reply_to: int | None = None

    @classmethod
    def parse(cls, body: dict[str, Any], uploads: list[Upload]) -> Self:
        """Parse a request. Raises DiscordError for what breaks Discord's rules, some of which its
        OpenAPI description does not contain.
        """
        for name, kind in _KINDS.items():
            if not isinstance(body.get(name), kind | None):
                raise errors.invalid_form(name, "BASE_TYPE_BAD_TYPE", "This has a wrong type.")
        reference = body.get("message_reference") or {}
        found = cls(
            given=frozenset(body),
            content=body.get("content") or "",
            embeds=body.get("embeds") or [],
            components=body.get("components") or [],
            attachments=body.get("attachments") or [],
            uploads=uploads,
            flags=body.get("flags") or 0,
            nonce=body.get("nonce"),
            enforce_nonce=truth(body.get("enforce_nonce", False)),
            allowed=body.get("allowed_mentions"),
            reply_to=int(reference["message_id"]) if "message_id" in reference else None,
        )
        found._check()
        return found

    @property
    def ephemeral(self) -> bool:
        return bool(self.flags & EPHEMERAL)

    def _check(self) -> None:
        if len(self.content) > CONTENT:
            raise errors.invalid_form(
                "content", "BASE_TYPE_MAX_LENGTH", f"Must be {CONTENT} or fewer in length."
            )
        if len(self.uploads) > FILES or len(self.attachments) > FILES:
            raise errors.invalid_form(
                "attachments", "BASE_TYPE_MAX_LENGTH", f"Must be {FILES} or fewer in length."
            )
        if isinstance(self.nonce, str) and len(self.nonce) > NONCE:
            raise errors.invalid_form(
                "nonce", "NONCE_TYPE_TOO_LONG", f"Nonce must be {NONCE} or fewer in length."
            )
        if len(self.components) > ROWS:
            raise errors.invalid_form(
                "components", "BASE_TYPE_MAX_LENGTH", f"Must be {ROWS} or fewer in length."
            )
        seen: set[str] = set()
        for row in self.components:
            for one in row.get("components", []):
                custom_id = one.get("custom_id")
                if custom_id is not None and (len(custom_id) > CUSTOM_ID or custom_id in seen):
                    raise errors.invalid_form(
                        "components",
                        "COMPONENT_CUSTOM_ID_DUPLICATED",
                        "Component custom id is too long, or there twice",
                    )
                seen.add(custom_id or "")

    def check_size(self, guild: Guild | None, most: int) -> None:
        """Raises DiscordError for a file over `most` bytes, or over the limit that the guild
        enforces.
        """
        if guild is not None and guild.refused_bytes is not None:
            most = min(most, guild.refused_bytes)
        if any(upload.size > most for upload in self.uploads):
            raise errors.TOO_LARGE

    def check_words(self, guild: Guild | None) -> None:
        """Raises DiscordError if AutoMod blocks the text."""
        if guild is None:
            return
        text = f"{self.content} {self.embeds}".lower()
        if any(word.lower() in text for word in guild.blocked_words):
            raise errors.BLOCKED

    def mentioned(self) -> list[int]:
        """Ids of users whom this text pings."""
        ids = [int(each) for each in _MENTION.findall(self.content)]
        if self.allowed is None:
            return ids
        if "users" in (self.allowed.get("parse") or []):
            return ids
        wanted = {int(each) for each in self.allowed.get("users") or []}
        return [each for each in ids if each in wanted]

    def pings_everyone(self) -> bool:
        """Whether the text pings @everyone or @here."""
        if not re.search(r"@(everyone|here)\b", self.content):
            return False
        return self.allowed is None or "everyone" in (self.allowed.get("parse") or [])


def truth(value: Any) -> bool:
    """Parse a boolean: it is `true` in JSON, and may be 1 in queries."""
    return value in (True, 1, "1", "true", "True")


def rewritten(name: str) -> str:
    """A file name as Discord rewrites it: `My clip (1).mp4` becomes `My_clip_1.mp4`. Observed by
    many, documented nowhere.
    """
    return re.sub(r"[^\w.-]", "", re.sub(r"\s", "_", name)).lstrip(".") or "unknown"
