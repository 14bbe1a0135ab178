"""Handles presses of buttons and choices in menus, also in messages from before a restart."""

import re
from collections.abc import Awaitable, Callable
from typing import Any, Final

import discord

from trawler_bot.delivery.message import UNSURE, JobMessage
from trawler_bot.delivery.tracker import JobTracker
from trawler_bot.interactions import further
from trawler_bot.interactions.ephemeral import reply_ephemeral
from trawler_bot.interactions.submission import RequestService
from trawler_bot.interactions.visibility import may_manage, viewer
from trawler_bot.jobs import ids
from trawler_bot.jobs.index import summarize
from trawler_bot.presentation import rendering
from trawler_bot.presentation.i18n import Key, language, say
from trawler_bot.presentation.rendering import Act
from trawler_bot.services import Services
from trawler_bot.storage.database import Unanswered
from trawler_common import logs
from trawler_common.errors import Permanent, Transient
from trawler_common.kube import NotFound
from trawler_crds.media_job import DiscordDelivery, MediaJob

log = logs.get("components")

Press = Callable[[discord.Interaction, Act, str], Awaitable[None]]
Pick = Callable[[discord.Interaction, int, list[int]], Awaitable[None]]
Choose = Callable[[discord.Interaction, str, list[int]], Awaitable[None]]
PATTERN: Final = rf"{rendering.CUSTOM_ID}:(?P<act>{'|'.join(Act)}):(?P<job>[a-z0-9-]+)"
PICK_PATTERN: Final = rf"{rendering.CUSTOM_ID}:pick:(?P<number>\d+)"
ENTRY_PATTERN: Final = rf"{rendering.CUSTOM_ID}:{rendering.ENTRY}:(?P<job>[a-z0-9-]+)"


class Presses:
    """Runs the action of each button and menu."""

    def __init__(self, requests: RequestService, tracker: JobTracker, services: Services) -> None:
        self._requests = requests
        self._tracker = tracker
        self._services = services

    def items(self) -> tuple[type[Any], type[Any], type[Any]]:
        """Every component of ours for the client, which finds it by its custom_id."""
        return button_of(self.press), picker_of(self._requests.pick), menu_of(self.choose)

    async def press(self, interaction: discord.Interaction, act: Act, name: str) -> None:
        """Handle a press by anybody."""
        if act is Act.ASK:
            await self._requests.ask_again(interaction, int(name) if name.isdecimal() else 0)
            return

        async def act_on(job: MediaJob, where: DiscordDelivery) -> None:
            await self._act(interaction, act, job, where)

        await self._if_allowed(interaction, name, act_on)

    async def choose(self, interaction: discord.Interaction, name: str, chosen: list[int]) -> None:
        """Handle a choice among a link's entries, by anybody."""

        async def take(job: MediaJob, _: DiscordDelivery) -> None:
            await self._requests.pick_from(interaction, job, chosen)

        await self._if_allowed(interaction, name, take)

    async def _if_allowed(
        self,
        interaction: discord.Interaction,
        name: str,
        then: Callable[[MediaJob, DiscordDelivery], Awaitable[None]],
    ) -> None:
        to = language(str(interaction.locale))
        try:
            job = await self._services.jobs.get(name)
            where = job.spec.delivery.discord if job.spec.delivery else None
            if where is not None and await self._allowed(interaction, job, where):
                await then(job, where)
        except NotFound:
            await reply_ephemeral(interaction, say(to, Key.EXPIRED))
        except (Transient, Permanent) as error:
            log.warning("press_failed", extra={"job": name, "error": str(error)})
            await reply_ephemeral(interaction, say(to, Key.NOT_NOW))

    async def _allowed(
        self, interaction: discord.Interaction, job: MediaJob, where: DiscordDelivery
    ) -> bool:
        """Whether the person is the requester or may manage messages, in a server that is served;
        others get an explanation. A direct message counts for the server where the job was
        requested.
        """
        to = language(str(interaction.locale))
        guild_id = int(where.guild_id) if where.guild_id else None
        if not self._requests.serves(interaction.guild_id or guild_id):
            await reply_ephemeral(interaction, say(to, Key.NOT_SERVED))
            return False
        if may_manage(viewer(interaction), summarize(job, where)):
            return True
        await reply_ephemeral(interaction, say(to, Key.NOT_YOURS))
        return False

    async def _act(
        self, interaction: discord.Interaction, act: Act, job: MediaJob, where: DiscordDelivery
    ) -> None:
        if act is Act.CANCEL:
            await interaction.response.defer()
            await self._services.jobs.cancel(job.name)
        elif act is Act.REMOVE:
            await self._remove(interaction, job, where)
        elif act is Act.FIRST:
            await self._requests.pick_from(interaction, job, [0])
        else:
            before = await self._before(job)
            spec = further.spec(interaction, act, job, before)
            await self._requests.take_over(interaction, job, spec)

    async def _before(self, job: MediaJob) -> MediaJob | None:
        """The job whose files the message shows; None if it shows none, or the job no longer
        exists.
        """
        name = further.shown_by(job)
        if name is None or name == job.name:
            return job if name else None
        try:
            return await self._services.jobs.get(name)
        except NotFound:
            return None

    async def _remove(
        self, interaction: discord.Interaction, job: MediaJob, where: DiscordDelivery
    ) -> None:
        """Delete all messages of a job and revoke its links. If the links cannot be revoked nothing
        is deleted, so that the button stays.
        """
        await interaction.response.defer()
        database = self._services.database
        if not await database.revoke(ids.first(job.name)) and self._services.links.on:
            await reply_ephemeral(interaction, say(language(str(interaction.locale)), Key.NOT_NOW))
            return
        try:
            token = await database.token(job.name)
        except Unanswered:
            token = None
        deletions = self._services.deletions
        message = JobMessage(interaction.client, where, job.status.delivery, token, deletions)
        if interaction.message is not None:  # this also ends what is still being sent
            self._tracker.message_deleted(interaction.message.id)
        await message.remove_beside()
        try:
            await interaction.delete_original_response()
        except (discord.HTTPException, *UNSURE) as error:
            log.info("message_not_removed", extra={"job": job.uid, "error": repr(error)})


def button_of(press: Press) -> type[discord.ui.DynamicItem[discord.ui.Button[Any]]]:
    """The only kind of button, handled by `press`."""

    class Pressed(discord.ui.DynamicItem[discord.ui.Button[Any]], template=PATTERN):
        def __init__(self, act: Act, job: str) -> None:
            super().__init__(discord.ui.Button(custom_id=rendering.custom_id(act, job)))
            self.act, self.job = act, job

        @classmethod
        async def from_custom_id(
            cls, _: discord.Interaction, __: discord.ui.Item[Any], match: re.Match[str], /
        ) -> "Pressed":
            return cls(Act(match["act"]), match["job"])

        async def callback(self, interaction: discord.Interaction) -> None:
            await press(interaction, self.act, self.job)

    return Pressed


def picker_of(pick: Pick) -> type[discord.ui.DynamicItem[discord.ui.Select[Any]]]:
    """The menu from which links are chosen, handled by `pick`."""

    class Picked(discord.ui.DynamicItem[discord.ui.Select[Any]], template=PICK_PATTERN):
        def __init__(self, number: int) -> None:
            super().__init__(discord.ui.Select(custom_id=f"{rendering.CUSTOM_ID}:pick:{number}"))
            self.number = number

        @classmethod
        async def from_custom_id(
            cls, _: discord.Interaction, __: discord.ui.Item[Any], match: re.Match[str], /
        ) -> "Picked":
            return cls(int(match["number"]))

        async def callback(self, interaction: discord.Interaction) -> None:
            await pick(interaction, self.number, chosen_in(interaction))

    return Picked


def menu_of(choose: Choose) -> type[discord.ui.DynamicItem[discord.ui.Select[Any]]]:
    """The menu of a link's entries, handled by `choose`."""

    class Chosen(discord.ui.DynamicItem[discord.ui.Select[Any]], template=ENTRY_PATTERN):
        def __init__(self, job: str) -> None:
            custom_id = f"{rendering.CUSTOM_ID}:{rendering.ENTRY}:{job}"
            super().__init__(discord.ui.Select(custom_id=custom_id))
            self.job = job

        @classmethod
        async def from_custom_id(
            cls, _: discord.Interaction, __: discord.ui.Item[Any], match: re.Match[str], /
        ) -> "Chosen":
            return cls(match["job"])

        async def callback(self, interaction: discord.Interaction) -> None:
            await choose(interaction, self.job, chosen_in(interaction))

    return Chosen


def chosen_in(interaction: discord.Interaction) -> list[int]:
    """The positions of the chosen options of a menu."""
    data: Any = interaction.data
    return [int(each) for each in data.get("values", []) if str(each).isdecimal()]
