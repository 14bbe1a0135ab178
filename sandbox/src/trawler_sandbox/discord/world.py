"""The emulator's state: guilds, channels, users, messages. State only; the rules are elsewhere."""

import itertools
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

EPOCH: Final = 1_420_070_400.0
"""Discord's epoch in Unix seconds."""

TEXT: Final = 0
DM: Final = 1
VOICE: Final = 2
ANNOUNCEMENT: Final = 5
ANNOUNCEMENT_THREAD: Final = 10
PUBLIC_THREAD: Final = 11
PRIVATE_THREAD: Final = 12
FORUM: Final = 15
THREADS: Final = frozenset({ANNOUNCEMENT_THREAD, PUBLIC_THREAD, PRIVATE_THREAD})
EPHEMERAL: Final = 1 << 6
MIB: Final = 1024 * 1024
TIERS: Final = {0: 10 * MIB, 1: 10 * MIB, 2: 50 * MIB, 3: 100 * MIB}
"""Boost level → maximum bytes of one file (help centre: File Attachments)."""


@dataclass
class User:
    id: int
    name: str
    token: str
    bot: bool = False
    accepts_dms: bool = True
    locale: str = "en-US"
    nitro_bytes: int = 0
    """Bytes of one file that this user may upload anywhere; 0: no more than a guild allows."""


@dataclass
class Role:
    id: int
    name: str
    permissions: int


@dataclass
class Overwrite:
    """A permission overwrite of a role or a member in one channel."""

    id: int
    kind: int
    allow: int = 0
    deny: int = 0


@dataclass
class Member:
    user: User
    roles: list[int] = field(default_factory=list)
    joined: float = 0.0


@dataclass
class Channel:
    id: int
    name: str
    kind: int = TEXT
    guild_id: int | None = None
    parent_id: int | None = None
    owner_id: int | None = None
    overwrites: list[Overwrite] = field(default_factory=list)
    recipients: list[User] = field(default_factory=list)
    messages: dict[int, "Message"] = field(default_factory=dict)
    archived: bool = False
    locked: bool = False
    members: set[int] = field(default_factory=set)
    """The members of a private thread: only they and members with Manage Threads see it."""
    nsfw: bool = False
    """Whether it is age-restricted."""
    slow_seconds: int = 0
    """Slow mode: seconds between two messages of one user."""

    @property
    def is_thread(self) -> bool:
        return self.kind in THREADS

    @property
    def last_message_id(self) -> int | None:
        return next(reversed(self.messages), None)


@dataclass
class Guild:
    id: int
    name: str
    owner_id: int
    locale: str = "en-US"
    roles: dict[int, Role] = field(default_factory=dict)
    members: dict[int, Member] = field(default_factory=dict)
    channels: dict[int, Channel] = field(default_factory=dict)
    premium_tier: int = 0
    """The boost level."""
    announced_bytes: int | None = None
    """The announced upload limit in bytes, if it is not that of the boost level."""
    refused_bytes: int | None = None
    """The enforced upload limit in bytes, if it is less than the announced one."""
    blocked_words: list[str] = field(default_factory=list)
    """AutoMod refuses texts with any of these words, including the bot's. The documentation exempts
    members with Manage Guild (Auto Moderation, exempt roles), does not mention bots, and has an
    error code for blocked messages.
    """

    @property
    def upload_bytes(self) -> int:
        """The announced limit of one file in bytes."""
        return TIERS[self.premium_tier] if self.announced_bytes is None else self.announced_bytes

    @upload_bytes.setter
    def upload_bytes(self, most: int) -> None:
        self.announced_bytes = most


@dataclass
class Attachment:
    id: int
    filename: str
    path: Path
    size: int
    sha256: str
    content_type: str
    description: str | None = None


@dataclass
class Message:
    id: int
    channel: Channel
    author: User
    content: str
    created: float
    embeds: list[dict[str, Any]] = field(default_factory=list)
    components: list[dict[str, Any]] = field(default_factory=list)
    attachments: list[Attachment] = field(default_factory=list)
    mentions: list[User] = field(default_factory=list)
    rings_all: bool = False
    """Whether it pinged @everyone or @here."""
    flags: int = 0
    nonce: str | int | None = None
    edited: float | None = None
    late_edits: int = 0
    for_user: int | None = None
    """The only user who sees it; None: everyone."""
    reference: "Message | None" = None
    thread: Channel | None = None
    metadata: dict[str, Any] | None = None
    """Metadata of the interaction that it answers."""
    application_id: int | None = None
    reactions: dict[str, list[int]] = field(default_factory=dict)
    snapshot: "Message | None" = None
    """The message that it forwards."""

    def visible_to(self, user_id: int) -> bool:
        return self.for_user is None or user_id in {self.for_user, self.author.id}


@dataclass
class Application:
    """A bot application; its bot user has the same id."""

    bot: User
    privileged: int = 0
    """Bits of the privileged intents that were granted to it."""
    installed_by: set[int] = field(default_factory=set)
    """Ids of users who installed it for themselves, for use anywhere."""
    commands: dict[int | None, list[dict[str, Any]]] = field(default_factory=dict)
    """Guild id (None: all guilds) → command definitions, with ids."""

    @property
    def id(self) -> int:
        return self.bot.id


class World:
    """All state, by id."""

    def __init__(self, now: Callable[[], float]) -> None:
        self.now = now
        self.users: dict[int, User] = {}
        self.guilds: dict[int, Guild] = {}
        self.dms: dict[int, Channel] = {}
        self.applications: dict[int, Application] = {}
        self._last = 0
        self._increment = itertools.count()

    def new_id(self) -> int:
        """A new snowflake: it encodes the time, and each is greater than the one before."""
        moment = int((self.now() - EPOCH) * 1000) << 22
        self._last = max(moment | (next(self._increment) & 0xFFF), self._last + 1)
        return self._last

    # creation ---------------------------------------------------------------------------------

    # `number` is the object's id; without it, the object gets a new one

    def add_user(
        self, name: str, *, bot: bool = False, token: str | None = None, number: int | None = None
    ) -> User:
        user = User(number or self.new_id(), name, token or secrets.token_urlsafe(24), bot=bot)
        self.users[user.id] = user
        return user

    def add_application(
        self, name: str, *, token: str | None = None, number: int | None = None
    ) -> Application:
        found = Application(self.add_user(name, bot=True, token=token, number=number))
        self.applications[found.id] = found
        return found

    def add_guild(
        self, name: str, owner: User, *, everyone: int, number: int | None = None
    ) -> Guild:
        guild = Guild(number or self.new_id(), name, owner.id)
        guild.roles[guild.id] = Role(guild.id, "@everyone", everyone)
        self.guilds[guild.id] = guild
        self.join(guild, owner)
        return guild

    def join(self, guild: Guild, user: User) -> Member:
        member = guild.members[user.id] = Member(user, joined=self.now())
        return member

    def add_channel(
        self, guild: Guild, name: str, *, number: int | None = None, **more: Any
    ) -> Channel:
        channel = Channel(number or self.new_id(), name, guild_id=guild.id, **more)
        guild.channels[channel.id] = channel
        return channel

    def dm(self, one: User, other: User) -> Channel:
        """The DM channel of two users, created if it does not exist."""
        for known in self.dms.values():
            if {user.id for user in known.recipients} == {one.id, other.id}:
                return known
        channel = Channel(self.new_id(), "", kind=DM, recipients=[one, other])
        self.dms[channel.id] = channel
        return channel

    # lookups ----------------------------------------------------------------------------------

    def channel(self, channel_id: int) -> Channel | None:
        if channel_id in self.dms:
            return self.dms[channel_id]
        return next(
            (g.channels[channel_id] for g in self.guilds.values() if channel_id in g.channels),
            None,
        )

    def guild_of(self, channel: Channel) -> Guild | None:
        return self.guilds.get(channel.guild_id) if channel.guild_id is not None else None

    def by_token(self, token: str) -> User | None:
        return next((user for user in self.users.values() if user.token == token), None)
