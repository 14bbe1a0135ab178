"""The emulator's middle: what there is, how strict it is, who hears of what."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from trawler_sandbox.discord import errors, permissions
from trawler_sandbox.discord.permissions import Permission
from trawler_sandbox.discord.serializers import quoted
from trawler_sandbox.discord.world import Attachment, Channel, Guild, Member, User, World


@dataclass
class Limits:
    """Times in seconds. Discord's own by default; shorter where a test cannot wait."""

    answer_seconds: float = 3.0
    """Until an interaction must have its first answer."""
    token_seconds: float = 900.0
    """For which an interaction's token lives."""
    nonce_seconds: float = 300.0
    """For which a nonce is remembered."""
    old_seconds: float = 3600.0
    """Age from which a message takes only so many more edits."""
    old_edits: int = 30
    request_bytes: int | None = None
    """Of a whole request, where its edge refuses more at once and hangs up; Discord does not say
    how many.
    """
    identify_seconds: float = 5.0
    """Between two IDENTIFYs beyond `max_concurrency`."""
    identifies: int = 1000
    max_concurrency: int = 1
    shards: int = 1
    """As many as Discord recommends."""
    replay: int = 1000
    """Events that a gateway session remembers for a RESUME."""
    resume_seconds: float = 120.0
    """For which a session whose connection was lost may be resumed. Discord does not say how long.
    """


@dataclass(frozen=True)
class Exchange:
    """One request and its answer, for whoever checks them."""

    method: str
    path: str
    query: dict[str, str]
    body: Any
    """The JSON of the request; of a multipart one that in `payload_json`. None: there was none."""
    status: int
    answer: Any
    """The JSON of the answer; None where it was none."""
    by_bot: bool


@dataclass(frozen=True)
class Listener:
    """Somebody at the other end of a gateway connection."""

    user: User
    reads: bool
    """Whether he may read what others write: a bot needs an intent for that."""


@dataclass
class Event:
    """Something for the gateway: who may hear it, and how each hears it."""

    name: str
    payload: Callable[[Listener], dict[str, Any]]
    guild: Guild | None = None
    channel: Channel | None = None
    users: set[int] | None = None
    """Only these; None: all who are there."""


@dataclass
class Counters:
    """What a test reads: what a client did that Discord would count."""

    invalid: int = 0
    """401, 403 and 429 that are not shared: ten thousand in ten minutes are a ban."""
    limited: int = 0
    too_large: int = 0
    """Uploads that were refused for their size."""
    identifies: int = 0
    requests: int = 0
    timings: list[tuple[str, float]] = field(default_factory=list)
    """Kind of interaction, and seconds from its creation to its first answer."""


class Hub:
    """What all routes share."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        """Attachments lie here."""
        self.skipped = 0.0
        """Seconds by which a test set the clock forward."""
        self.world = World(self.now)
        self.limits = Limits()
        self.counters = Counters()
        self.files: dict[int, Attachment] = {}
        """Every attachment that was ever uploaded, by its id."""
        self.address = ""
        """http://host:port, known once it listens."""
        self.observers: list[Callable[[Exchange], None]] = []
        """Told of every exchange on the REST routes."""
        self._listeners: list[Callable[[Event], None]] = []

    def now(self) -> float:
        """Unix seconds."""
        return time.time() + self.skipped

    def listen(self, hear: Callable[[Event], None]) -> None:
        self._listeners.append(hear)

    def tell(self, event: Event) -> None:
        for hear in self._listeners:
            hear(event)

    def later(self, seconds: float, do: Callable[[], None]) -> None:
        asyncio.get_running_loop().call_later(seconds, do)

    def link(self, attachment: Attachment) -> str:
        """Where an attachment is read."""
        return f"{self.address}/attachments/{attachment.id}/{quoted(attachment.filename)}"

    # finding, or refusing ---------------------------------------------------------------------

    def member(self, channel: Channel, user: User) -> tuple[Guild, Member] | None:
        """Who somebody is where a channel is; None in a private channel. Raises Refusal."""
        guild = self.world.guild_of(channel)
        if guild is None:
            if user.id not in {each.id for each in channel.recipients}:
                raise errors.MISSING_ACCESS
            return None
        member = guild.members.get(user.id)
        if member is None:
            raise errors.MISSING_ACCESS
        return guild, member

    def permissions(self, channel: Channel, user: User) -> int:
        """What somebody may do in a channel. Raises Refusal where nothing at all."""
        there = self.member(channel, user)
        return permissions.ALL if there is None else permissions.of(there[0], channel, there[1])

    def require(self, channel: Channel, user: User, *wanted: Permission) -> None:
        """Raises Refusal unless somebody sees the channel and has all of these."""
        has = self.permissions(channel, user)
        if not has & Permission.VIEW_CHANNEL:
            raise errors.MISSING_ACCESS
        if any(not has & each for each in wanted):
            raise errors.MISSING_PERMISSIONS

    def channel(self, channel_id: int) -> Channel:
        found = self.world.channel(channel_id)
        if found is None:
            raise errors.unknown("Channel")
        return found
