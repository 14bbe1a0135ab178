"""Menus and buttons in replies to one person."""

from collections.abc import Sequence

import discord

from trawler_bot.presentation import rendering
from trawler_bot.presentation.i18n import Key, Language, say
from trawler_bot.presentation.rendering import CUSTOM_ID, Act


def picker(number: int, links: Sequence[str], to: Language, *, most: int) -> discord.ui.View:
    """A menu of links of which up to `most` can be chosen; its custom_id identifies the choice."""
    options = [
        discord.SelectOption(label=rendering.label(link.partition("://")[2]), value=str(at))
        for at, link in enumerate(links)
    ]
    found = discord.ui.View(timeout=None)
    found.add_item(
        discord.ui.Select(
            custom_id=f"{CUSTOM_ID}:pick:{number}",
            placeholder=say(to, Key.PICK_PLACEHOLDER),
            max_values=min(most, len(options)),
            options=options,
        )
    )
    found.stop()  # the view itself handles no interactions
    return found


def try_again(number: int, to: Language) -> discord.ui.View:
    """A button that repeats a request that could not be accepted."""
    found = discord.ui.View(timeout=None)
    label = say(to, rendering.LABELS[Act.ASK])
    custom_id = rendering.custom_id(Act.ASK, str(number))
    found.add_item(discord.ui.Button(label=label, custom_id=custom_id))
    found.stop()
    return found
