"""Localizes names and descriptions of commands, options and choices, for every language that has a
catalogue.
"""

import discord
from discord import app_commands
from discord.app_commands import locale_str

from trawler_bot.presentation.i18n import CATALOGUES, ENGLISH, language, say


def named(what: str, kind: str = "name") -> locale_str:
    """The name of a command, an option or (`kind`) a choice."""
    return _string(f"{kind}-{what}")


def described(what: str) -> locale_str:
    """The description of a command or an option."""
    return _string(f"describe-{what}")


def _string(key: str) -> locale_str:
    return locale_str(say(ENGLISH, key), key=key)


class CatalogueTranslator(app_commands.Translator):
    """Translates command texts; the library calls it for each of Discord's locales."""

    async def translate(
        self, string: locale_str, locale: discord.Locale, _: app_commands.TranslationContextTypes
    ) -> str | None:
        """The translation of a text; None if it equals the registered English text."""
        key = string.extras.get("key")
        to = language(locale.value)
        if key is None or to == ENGLISH:
            return None
        return CATALOGUES[to].sentence(key)
