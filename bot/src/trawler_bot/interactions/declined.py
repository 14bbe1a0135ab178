"""A request that is not served, and the sentence that says why."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import discord

from trawler_bot.interactions.ephemeral import reply_ephemeral


class Declined(Exception):
    """Nothing was started. The message is for the person, in the person's language."""

    def __init__(self, sentence: str, *, view: discord.ui.View | None = None) -> None:
        super().__init__(sentence)
        self.sentence = sentence
        self.view = view
        """What can be pressed below it."""


@asynccontextmanager
async def explained(interaction: discord.Interaction) -> AsyncIterator[None]:
    """Tell the person, and nobody else, why the request in this block was declined."""
    try:
        yield
    except Declined as declined:
        await reply_ephemeral(interaction, declined.sentence, view=declined.view)
