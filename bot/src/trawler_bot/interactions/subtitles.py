"""Parses languages of subtitles as people type them: en, pt-BR, German, or several. Pure."""

import re
from typing import Final

from trawler_bot.presentation import i18n
from trawler_bot.presentation.i18n import CATALOGUES, Language

MOST: Final = 8
"""Maximum number of languages in one request, as in a MediaJob."""
COMMON: Final = (
    *("en", "de", "es", "fr", "pt", "it", "nl", "pl", "sv", "da", "nb", "fi", "cs", "hu", "ro"),
    *("bg", "hr", "el", "tr", "ru", "uk", "ar", "he", "hi", "id", "th", "vi", "ja", "ko", "zh"),
)
"""Suggested languages; any other tag may be typed."""
_BETWEEN: Final = frozenset(["and", "und", "+", "&"])
_TAG: Final = re.compile(r"[A-Za-z]{2,3}(-[A-Za-z0-9]{1,8}){0,3}")


class BadLanguage(ValueError):
    """The text is neither a tag nor the name of a language."""


def parse(text: str) -> list[str]:
    """The tags in a text, in order. Raises BadLanguage."""
    parts = [part.strip() for part in re.split(r"[,;/]+", text) if part.strip()]
    words = [
        word
        for part in parts
        for word in ([part] if part.casefold() in _NAMES else part.split())
        if word.casefold() not in _BETWEEN
    ]
    found = list(dict.fromkeys(_tag(word) for word in words))
    if not 0 < len(found) <= MOST:
        raise BadLanguage(text)
    return found


def _tag(word: str) -> str:
    named = _NAMES.get(word.casefold())
    if named is not None:
        return named
    if not _TAG.fullmatch(word):
        raise BadLanguage(word)
    first, dash, rest = word.partition("-")
    if not i18n.is_language(first):
        raise BadLanguage(word)
    return first.lower() + dash + rest


def offered(typed: str, locale: str, to: Language) -> list[tuple[str, str]]:
    """Suggestions as (label, value): the typed text first if it can be parsed, then matching
    languages, the person's own first.
    """
    begun = typed.strip().casefold()
    own = locale.partition("-")[0]
    tags = list(dict.fromkeys([*([own] if own in COMMON else []), *COMMON]))
    fitting = [
        tag
        for tag in tags
        if tag.startswith(begun) or i18n.language_name(to, tag).casefold().startswith(begun)
    ]
    found = {i18n.language_name(to, tag): tag for tag in fitting}
    try:
        tags = parse(typed)
    except BadLanguage:
        return list(found.items())
    whole = ", ".join(i18n.language_name(to, tag) for tag in tags)
    return list({whole: ",".join(tags), **found}.items())


def _every_name() -> dict[str, str]:
    """Names of the languages, in each language that has a catalogue and in their own."""
    named = {
        i18n.language_name(to, tag).casefold(): tag
        for tag in COMMON
        for to in (*CATALOGUES, Language(tag))
    }
    return named | {"norwegian": "nb", "norwegisch": "nb", "norsk": "nb", "no": "nb"}


_NAMES: Final = _every_name()
