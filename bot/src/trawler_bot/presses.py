"""Presses on the buttons of any message, also of those from before a restart."""

import re
from collections.abc import Awaitable, Callable
from typing import Any, Final

import discord

from trawler_bot import replies, texts
from trawler_bot.replies import Act
from trawler_bot.texts import Key

Press = Callable[[discord.Interaction, Act, str], Awaitable[None]]
PATTERN: Final = rf"{replies.CUSTOM_ID}:(?P<act>[a-z]+):(?P<job>[a-z0-9-]+)"


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


async def may(interaction: discord.Interaction, requester_id: str) -> bool:
    """Whether it is the requester, or somebody who may manage messages; others are told."""
    mine = str(interaction.user.id) == requester_id
    if mine or interaction.permissions.manage_messages:
        return True
    to = texts.language(str(interaction.locale))
    await interaction.response.send_message(texts.say(to, Key.NOT_YOURS), ephemeral=True)
    return False
