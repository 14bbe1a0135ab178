"""Presses on the buttons of any message, also of those from before a restart."""

import re
from collections.abc import Awaitable, Callable
from typing import Any, Final

import discord

from trawler_bot import fitting, replies, texts
from trawler_bot.asking import Asking
from trawler_bot.desk import Desk
from trawler_bot.replies import Act
from trawler_bot.texts import Key, language, say
from trawler_bot.whispers import whisper
from trawler_common import logs
from trawler_common.kube import ApiAway, Conflict, Missing, Refused
from trawler_crds.media_job import Media, MediaJob, MediaKind, Reuse

log = logs.get("presses")

Press = Callable[[discord.Interaction, Act, str], Awaitable[None]]
Pick = Callable[[discord.Interaction, int, list[int]], Awaitable[None]]
PATTERN: Final = rf"{replies.CUSTOM_ID}:(?P<act>{'|'.join(Act)}):(?P<job>[a-z0-9-]+)"
PICK_PATTERN: Final = rf"{replies.CUSTOM_ID}:pick:(?P<number>\d+)"


class Presses:
    """What each button does."""

    def __init__(self, asking: Asking, desk: Desk) -> None:
        self._asking = asking
        self._desk = desk

    def items(self) -> tuple[type[Any], type[Any]]:
        """For the client: every component of ours, by its custom_id."""
        return button_of(self.press), picker_of(self._asking.pick)

    async def press(self, interaction: discord.Interaction, act: Act, name: str) -> None:
        """A press by anybody."""
        if act is Act.ASK:
            await self._asking.ask_again(interaction, int(name) if name.isdecimal() else 0)
            return
        to = language(str(interaction.locale))
        if not self._asking.serves(interaction.guild_id):
            await whisper(interaction, say(to, Key.NOT_SERVED))
            return
        try:
            job = await self._desk.jobs.get(name)
            delivery = job.spec.delivery.discord if job.spec.delivery else None
            if delivery is not None and await may(interaction, delivery.requester_id):
                await self._act(interaction, act, job)
        except Missing:
            await whisper(interaction, say(to, Key.FORGOTTEN))
        except (ApiAway, Refused, Conflict) as error:
            log.warning("press_failed", extra={"job": name, "error": str(error)})
            await whisper(interaction, say(to, Key.NOT_NOW))

    async def _act(self, interaction: discord.Interaction, act: Act, job: MediaJob) -> None:
        if act is Act.CANCEL:
            await interaction.response.defer()
            await self._desk.jobs.cancel(job.name)
        elif act is Act.REMOVE:
            await interaction.response.defer()
            if await self._desk.records.revoke(job.name) or not self._desk.publishing.on:
                await interaction.delete_original_response()
            else:  # a link that goes on working would be left without anything to press
                await whisper(interaction, say(language(str(interaction.locale)), Key.NOT_NOW))
        else:
            reuse = Reuse.NEVER if act is Act.RETRY else job.spec.reuse
            changes = {"reuse": reuse, "cancel": False, "media": changed(job, act)}
            spec = job.spec.model_copy(update=changes)
            await self._asking.take_over(interaction, job, spec)


def changed(job: MediaJob, act: Act) -> Media:
    """What is wanted after a press."""
    media = job.spec.media
    if act is Act.AUDIO:
        return media.model_copy(update={"kind": MediaKind.AUDIO, "max_height": None})
    if act is Act.SMALLER:
        seen = [file.height for file in job.status.files or () if file.height]
        height = min([*seen, *([media.max_height] if media.max_height else [])], default=None)
        return media.model_copy(update={"max_height": fitting.smaller(height) or media.max_height})
    return media


def button_of(press: Press) -> type[discord.ui.DynamicItem[discord.ui.Button[Any]]]:
    """The one kind of button that there is, answered by `press`."""

    class Pressed(discord.ui.DynamicItem[discord.ui.Button[Any]], template=PATTERN):
        def __init__(self, act: Act, job: str) -> None:
            super().__init__(discord.ui.Button(custom_id=replies.custom_id(act, job)))
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
    """The list from which links are chosen, answered by `pick`."""

    class Picked(discord.ui.DynamicItem[discord.ui.Select[Any]], template=PICK_PATTERN):
        def __init__(self, number: int) -> None:
            super().__init__(discord.ui.Select(custom_id=f"{replies.CUSTOM_ID}:pick:{number}"))
            self.number = number

        @classmethod
        async def from_custom_id(
            cls, _: discord.Interaction, __: discord.ui.Item[Any], match: re.Match[str], /
        ) -> "Picked":
            return cls(int(match["number"]))

        async def callback(self, interaction: discord.Interaction) -> None:
            data: Any = interaction.data
            chosen = [int(each) for each in data.get("values", []) if str(each).isdecimal()]
            await pick(interaction, self.number, chosen)

    return Picked


async def may(interaction: discord.Interaction, requester_id: str) -> bool:
    """Whether it is the requester, or somebody who may manage messages; others are told."""
    mine = str(interaction.user.id) == requester_id
    if mine or interaction.permissions.manage_messages:
        return True
    to = texts.language(str(interaction.locale))
    await interaction.response.send_message(texts.say(to, Key.NOT_YOURS), ephemeral=True)
    return False
