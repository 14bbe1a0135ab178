"""Compute permissions from roles, then from a channel's overwrites (docs: Permissions). Pure."""

from collections.abc import Iterable
from enum import IntFlag

from trawler_sandbox.discord.world import PRIVATE_THREAD, VOICE, Channel, Guild, Member


class Permission(IntFlag):
    """The permission bits that the emulator uses."""

    ADMINISTRATOR = 1 << 3
    MANAGE_CHANNELS = 1 << 4
    MANAGE_GUILD = 1 << 5
    ADD_REACTIONS = 1 << 6
    VIEW_CHANNEL = 1 << 10
    SEND_MESSAGES = 1 << 11
    MANAGE_MESSAGES = 1 << 13
    EMBED_LINKS = 1 << 14
    ATTACH_FILES = 1 << 15
    READ_MESSAGE_HISTORY = 1 << 16
    MENTION_EVERYONE = 1 << 17
    CONNECT = 1 << 20
    MANAGE_WEBHOOKS = 1 << 29
    USE_APPLICATION_COMMANDS = 1 << 31
    MANAGE_THREADS = 1 << 34
    CREATE_PUBLIC_THREADS = 1 << 35
    SEND_MESSAGES_IN_THREADS = 1 << 38
    USE_EXTERNAL_APPS = 1 << 50


ALL = (1 << 53) - 1
USUAL = int(
    Permission.ADD_REACTIONS
    | Permission.VIEW_CHANNEL
    | Permission.SEND_MESSAGES
    | Permission.EMBED_LINKS
    | Permission.ATTACH_FILES
    | Permission.READ_MESSAGE_HISTORY
    | Permission.MENTION_EVERYONE
    | Permission.CONNECT
    | Permission.USE_APPLICATION_COMMANDS
    | Permission.CREATE_PUBLIC_THREADS
    | Permission.SEND_MESSAGES_IN_THREADS
    | Permission.USE_EXTERNAL_APPS
)
"""Permissions of @everyone in a new guild."""


def of(guild: Guild, channel: Channel, member: Member) -> int:
    """A member's permissions in a channel. A thread inherits its parent's; a private thread is
    visible only to its members and to members with Manage Threads (docs: Threads, Permissions).
    """
    if member.user.id == guild.owner_id:
        return ALL
    mine = [guild.id, *member.roles]
    base = 0
    for role_id in mine:
        base |= guild.roles[role_id].permissions
    if base & Permission.ADMINISTRATOR:
        return ALL
    if channel.parent_id is not None and channel.is_thread:
        has = of(guild, guild.channels[channel.parent_id], member)
        private = channel.kind == PRIVATE_THREAD and member.user.id not in channel.members
        return 0 if private and not has & Permission.MANAGE_THREADS else has
    everyone = [o for o in channel.overwrites if o.id == guild.id]
    roles = [o for o in channel.overwrites if o.id in member.roles]
    own = [o for o in channel.overwrites if o.id == member.user.id]
    for step in (everyone, roles, own):
        base = base & ~_union(o.deny for o in step) | _union(o.allow for o in step)
    return _implied(channel, base)


def _implied(channel: Channel, base: int) -> int:
    """Apply implicit permissions: without View Channel a member may do nothing there, without Send
    Messages not attach files or embed links, and the messages of a voice channel require Connect
    (docs: Implicit Permissions).
    """
    if not base & Permission.VIEW_CHANNEL or (
        channel.kind == VOICE and not base & Permission.CONNECT
    ):
        return 0
    if not base & Permission.SEND_MESSAGES:
        base &= ~(Permission.ATTACH_FILES | Permission.EMBED_LINKS)
    return base


def _union(bits: Iterable[int]) -> int:
    found = 0
    for each in bits:
        found |= each
    return found
