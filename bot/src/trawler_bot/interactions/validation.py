"""Step 2 of a request: whether this person may ask for a download here and now."""

import time
from dataclasses import dataclass
from typing import Any, Final

import discord

from trawler_bot.delivery.tracker import JobTracker
from trawler_bot.interactions import rights
from trawler_bot.interactions.cooldown import Cooldown
from trawler_bot.interactions.declined import Declined
from trawler_bot.interactions.rights import Hindrance
from trawler_bot.jobs.client import Jobs
from trawler_bot.jobs.guild_queues import GuildQueues
from trawler_bot.presentation.i18n import Key, Language, say, span
from trawler_common.egress import AllowList

HINDRANCES: Final = {
    Hindrance.BOT: Key.BOT_MAY_NOT_POST,
    Hindrance.REQUESTER: Key.YOU_MAY_NOT_POST,
}
PRESS_HINDRANCES: Final = {
    Hindrance.BOT: Key.BOT_MAY_NOT_PRESS,
    Hindrance.REQUESTER: Key.YOU_MAY_NOT_PRESS,
}
"""The same where a private answer cannot be asked for: by a press or a right click."""


@dataclass(frozen=True, kw_only=True)
class Rules:
    """What this install allows."""

    egress: AllowList
    guilds: frozenset[int]
    """Empty: all."""
    apart: float
    per_minute: int
    queue: dict[str, Any]
    """The spec of a new server's MediaQueue."""
    reuse_seconds: float
    shrink: bool = True
    """Whether what is too large for Discord is coded smaller."""


class RequestValidator:
    """Checks rights, then the server's queue, then the person's own cooldown."""

    def __init__(self, tracker: JobTracker, jobs: Jobs, rules: Rules) -> None:
        self._tracker = tracker
        self._guilds = rules.guilds
        self._cooldown = Cooldown(apart=rules.apart, per_minute=rules.per_minute)
        self._queues = GuildQueues(jobs, rules.queue)

    def serves(self, guild_id: int | None) -> bool:
        """Whether this install answers in a server."""
        return not self._guilds or guild_id in self._guilds

    async def require_admission(
        self,
        interaction: discord.Interaction,
        to: Language,
        *,
        private: bool,
        by_press: bool = False,
    ) -> None:
        """Raises Declined."""
        words = PRESS_HINDRANCES if by_press else HINDRANCES
        self.require_rights(interaction, to, private=private, words=words)
        most = await self._queues.most(interaction.guild_id)
        there = self._tracker.index.of_guild(interaction.guild_id or 0)
        waiting = sum(job.waits for job in there)
        if most is not None and waiting >= most:
            raise Declined(say(to, Key.QUEUE_FULL, count=waiting))
        self.require_cooldown(interaction, to)

    def require_rights(
        self,
        interaction: discord.Interaction,
        to: Language,
        *,
        private: bool,
        words: dict[Hindrance, Key] = PRESS_HINDRANCES,
    ) -> None:
        """Raises Declined where the bot or the person may not post here."""
        missing = None if private else rights.hindrance(interaction)
        if missing is not None:
            raise Declined(say(to, words[missing]))

    def require_cooldown(self, interaction: discord.Interaction, to: Language) -> None:
        """Count this request. Raises Declined where it comes too soon after others."""
        server = interaction.guild_id or 0
        wait = self._cooldown.take(interaction.user.id, server, time.monotonic())
        if wait:
            raise Declined(say(to, Key.COOLDOWN, time=span(wait)))

    def give_back(self, interaction: discord.Interaction) -> None:
        """Do not count a request from which nothing came."""
        self._cooldown.give_back(interaction.user.id, interaction.guild_id or 0)
