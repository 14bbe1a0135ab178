"""The emulator's shared core: state, limits, counters and the dispatch of events."""

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
    """Limits, with times in seconds. The defaults are Discord's own; tests that cannot wait shorten
    them.
    """

    answer_seconds: float = 3.0
    """Time in which an interaction must get its first response."""
    token_seconds: float = 900.0
    """Lifetime of an interaction token."""
    nonce_seconds: float = 300.0
    """Time for which a nonce is remembered."""
    old_seconds: float = 3600.0
    """Age from which a message accepts only `old_edits` further edits."""
    old_edits: int = 30
    request_bytes: int | None = None
    """Maximum bytes of a whole request, above which Discord's edge refuses it at once and closes
    the connection. Discord does not publish the number. None: no limit.
    """
    identify_seconds: float = 5.0
    """Minimum time between two IDENTIFYs in the same `max_concurrency` bucket."""
    identifies: int = 1000
    max_concurrency: int = 1
    shards: int = 1
    """The recommended number of shards."""
    replay: int = 1000
    """Number of events that a gateway session keeps for a RESUME."""
    resume_seconds: float = 120.0
    """Time for which a session can be resumed after its connection was lost. Discord does not
    publish it.
    """


@dataclass(frozen=True)
class Exchange:
    """One request and its answer, for observers that check them."""

    method: str
    path: str
    query: dict[str, str]
    body: Any
    """The request's JSON, or the `payload_json` of a multipart request. None: it had no body."""
    status: int
    answer: Any
    """The answer's JSON; None if it was not JSON."""
    by_bot: bool


@dataclass(frozen=True)
class Listener:
    """The user or bot at the other end of a gateway connection."""

    user: User
    reads: bool
    """Whether it may read what others write: a bot needs an intent for that."""


@dataclass
class Event:
    """A gateway event: who receives it, and its payload for each receiver."""

    name: str
    payload: Callable[[Listener], dict[str, Any]]
    guild: Guild | None = None
    channel: Channel | None = None
    users: set[int] | None = None
    """Ids of the only users who receive it; None: everyone who may see it."""


@dataclass
class Counters:
    """Counters for tests: actions of a client that Discord would count."""

    invalid: int = 0
    """Answers with 401, 403 or 429, unless shared: 10,000 in ten minutes cause a ban."""
    limited: int = 0
    too_large: int = 0
    """Uploads that were refused for their size."""
    identifies: int = 0
    requests: int = 0
    timings: list[tuple[str, float]] = field(default_factory=list)
    """Kind of interaction, and seconds from its creation to its first response."""


class Hub:
    """State and services that all routes share."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        """The folder of the attachments."""
        self.skipped = 0.0
        """Seconds by which a test advanced the clock."""
        self.world = World(self.now)
        self.limits = Limits()
        self.counters = Counters()
        self.files: dict[int, Attachment] = {}
        """Every attachment that was ever uploaded, by id."""
        self.address = ""
        """http://host:port, known once the server listens."""
        self.observers: list[Callable[[Exchange], None]] = []
        """Called with every exchange on the REST routes."""
        self._listeners: list[Callable[[Event], None]] = []

    def now(self) -> float:
        """The current time in Unix seconds, with `skipped` added."""
        return time.time() + self.skipped

    def listen(self, hear: Callable[[Event], None]) -> None:
        self._listeners.append(hear)

    def tell(self, event: Event) -> None:
        for hear in self._listeners:
            hear(event)

    def later(self, seconds: float, do: Callable[[], None]) -> None:
        asyncio.get_running_loop().call_later(seconds, do)

    def link(self, attachment: Attachment) -> str:
        """The URL of an attachment."""
        return f"{self.address}/attachments/{attachment.id}/{quoted(attachment.filename)}"

    # lookups that may refuse ------------------------------------------------------------------

    def member(self, channel: Channel, user: User) -> tuple[Guild, Member] | None:
        """The guild of a channel and the user's member in it; None in a DM. Raises DiscordError."""
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
        """A user's permissions in a channel. Raises DiscordError if the user is in neither the
        guild nor the DM.
        """
        there = self.member(channel, user)
        return permissions.ALL if there is None else permissions.of(there[0], channel, there[1])

    def require(self, channel: Channel, user: User, *wanted: Permission) -> None:
        """Raises DiscordError unless the user sees the channel and has all of these permissions."""
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
