"""The Discord client: connects, registers commands, and dispatches events."""

import asyncio
import sys
from dataclasses import dataclass
from typing import Any, Final

import discord
from discord import app_commands

from trawler_bot.delivery.message import UNSURE
from trawler_bot.delivery.rate_limits import RateLimitMonitor, RetrySuppressed
from trawler_bot.delivery.tracker import JobTracker
from trawler_bot.interactions import commands
from trawler_bot.interactions.commands import Commands
from trawler_bot.interactions.components import Presses
from trawler_bot.interactions.ephemeral import reply_ephemeral
from trawler_bot.interactions.localization import CatalogueTranslator
from trawler_bot.interactions.submission import RequestService
from trawler_bot.presentation.i18n import Key, language, say
from trawler_bot.storage.database import Database
from trawler_common import logs

log = logs.get("bot")

BETWEEN: Final = 5.0
"""Minimum seconds between two IDENTIFYs (docs, Gateway, Rate Limiting)."""


@dataclass(frozen=True)
class ShardAssignment:
    """The shards of this process."""

    shards: int
    """Number of shards of the whole bot."""
    replicas: int
    ordinal: int
    """The index of this replica, from 0."""

    def mine(self) -> list[int]:
        return [shard for shard in range(self.shards) if shard % self.replicas == self.ordinal]

    def owns(self, guild_id: int) -> bool:
        """Whether a server belongs to a shard of this process (docs, Sharding); direct messages
        belong to the first shard.
        """
        return (guild_id >> 22) % self.shards in self.mine()


class Bot(discord.AutoShardedClient):
    """The client, without privileged intents: commands and buttons need none. The intents for
    messages report when one of ours is deleted; messages of others arrive without their content.
    """

    def __init__(
        self, rates: RateLimitMonitor, database: Database, *, share: ShardAssignment
    ) -> None:
        super().__init__(
            intents=discord.Intents(guilds=True, guild_messages=True, dm_messages=True),
            max_messages=None,
            shard_count=share.shards,
            shard_ids=share.mine(),
            http_trace=rates.trace(),
        )
        self.tree = Tree(self)
        self._database = database
        self._turn, self._turns = share.ordinal, share.replicas
        self._requests: RequestService | None = None
        self._tracker: JobTracker | None = None

    def serve(
        self, requests: RequestService, tracker: JobTracker, offered: Commands, presses: Presses
    ) -> None:
        """Set what the bot offers, before the client is started."""
        self._requests, self._tracker = requests, tracker
        offered.add_to(self.tree)
        self.add_dynamic_items(*presses.items())

    def serves(self, interaction: discord.Interaction) -> bool:
        """Whether this install answers where the interaction comes from."""
        return self._requests is not None and self._requests.serves(interaction.guild_id)

    def stays(self, guild_id: int) -> bool:
        """Whether the bot is in a server, including one that is unavailable at the moment."""
        return self.get_guild(guild_id) is not None

    async def setup_hook(self) -> None:
        """Set up commands before the gateway connects."""
        await self.tree.set_translator(CatalogueTranslator())
        await self._register()

    async def _register(self) -> None:
        """Register our commands if they differ from the last registered ones, or if Discord has
        lost them: Discord counts the creations of a day.
        """
        try:
            await self._register_ours()
        except (discord.HTTPException, app_commands.AppCommandError, *UNSURE) as error:
            # the earlier commands still exist, and the next session tries again
            log.error("commands_not_registered", extra={"error": repr(error)})

    async def _register_ours(self) -> None:
        assert self.application_id is not None
        translator = CatalogueTranslator()
        ours = [
            await each.get_translated_payload(self.tree, translator)
            for each in self.tree.get_commands()
        ]
        digest = commands.digest(ours)
        known = await self.http.get_global_commands(self.application_id)
        there = {each["name"] for each in known} == {each["name"] for each in ours}
        if there and await self._database.commands(self.application_id) == digest:
            return
        await self.tree.sync()
        log.info("commands_registered")
        await self._database.note_commands(self.application_id, digest)

    async def before_identify_hook(self, shard_id: int | None, *, initial: bool = False) -> None:
        """Wait until an IDENTIFY is allowed: Discord resets the token of a bot that identifies too
        often.
        """
        limits = await self.fetch_session_start_limits()
        if limits.remaining <= 0:
            seconds = limits.reset_after / 1000
            log.error("no_session_left", extra={"shard": shard_id, "seconds": seconds})
            await asyncio.sleep(seconds)
        else:
            await asyncio.sleep(BETWEEN * (self._turn if initial else self._turns))

    async def on_ready(self) -> None:
        """Note that the bot is connected. A repeated call after each new session is harmless."""
        assert self._tracker is not None
        if self._tracker.connected.is_set():
            await self._register()
        self._tracker.connected.set()

    async def on_raw_message_delete(self, event: discord.RawMessageDeleteEvent) -> None:
        """Handle a deleted message, which may be one of ours."""
        assert self._tracker is not None
        self._tracker.message_deleted(event.message_id)

    async def on_raw_bulk_message_delete(self, event: discord.RawBulkMessageDeleteEvent) -> None:
        """Handle deleted messages, some of which may be ours."""
        assert self._tracker is not None
        for message_id in event.message_ids:
            self._tracker.message_deleted(message_id)

    async def on_raw_thread_delete(self, event: discord.RawThreadDeleteEvent) -> None:
        """Handle a deleted thread, with all its messages."""
        assert self._tracker is not None
        self._tracker.channel_deleted(event.thread_id)

    async def on_guild_channel_delete(self, channel: discord.abc.GuildChannel) -> None:
        """Handle a deleted channel, with all its messages."""
        assert self._tracker is not None
        self._tracker.channel_deleted(channel.id)

    async def on_error(self, event_method: str, /, *_: Any, **__: Any) -> None:
        """Log the error once; the client continues."""
        log.error("event_failed", extra={"on": event_method}, exc_info=sys.exception())


class Tree(app_commands.CommandTree[Bot]):
    """The command tree. Commands from servers that are not served, and errors, get ephemeral
    replies.
    """

    async def interaction_check(self, interaction: discord.Interaction[Bot], /) -> bool:
        """Whether this server is served; otherwise reply so."""
        if interaction.client.serves(interaction):
            return True
        if interaction.type is discord.InteractionType.autocomplete:
            await interaction.response.autocomplete([])
        else:
            await reply_ephemeral(
                interaction, say(language(str(interaction.locale)), Key.NOT_SERVED)
            )
        return False

    async def on_error(
        self, interaction: discord.Interaction[Bot], error: app_commands.AppCommandError, /
    ) -> None:
        """Log a bug of ours; the interaction id in the reply finds it in the log."""
        if isinstance(error.__cause__, RetrySuppressed):
            return
        log.error(
            "command_failed",
            extra={"interaction": interaction.id, "error": repr(error)},
            exc_info=error,
        )
        if interaction.type is not discord.InteractionType.autocomplete:
            to = language(str(interaction.locale))
            await reply_ephemeral(interaction, say(to, Key.BROKEN, name=interaction.id))
