"""Add, change and remove guild members, and dispatch the gateway events."""

from typing import Any

from trawler_sandbox.discord import serializers
from trawler_sandbox.discord.hub import Event, Hub
from trawler_sandbox.discord.world import Guild, User


class Members:
    """The members of guilds."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub

    def join(self, guild: Guild, user: User) -> None:
        """Add a user to a guild."""
        member = self._hub.world.join(guild, user)
        self._tell("GUILD_MEMBER_ADD", guild, serializers.member(member))

    def give(self, guild: Guild, user: User, roles: list[int]) -> None:
        """Replace the roles of a member."""
        member = guild.members[user.id]
        member.roles = roles
        self._tell("GUILD_MEMBER_UPDATE", guild, serializers.member(member))

    def leave(self, guild: Guild, user: User) -> None:
        """Remove a member from a guild."""
        del guild.members[user.id]
        self._tell("GUILD_MEMBER_REMOVE", guild, {"user": serializers.user(user)})

    def _tell(self, name: str, guild: Guild, body: dict[str, Any]) -> None:
        told = {"guild_id": str(guild.id), **body}
        self._hub.tell(Event(name, lambda _: told, guild=guild))
