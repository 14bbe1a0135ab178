"""Text from strangers made plain: nothing unseen, nothing that turns it around, no more than
fits.
"""

import re
import unicodedata
from typing import Final

_SPACES: Final = re.compile(r"\s+")
_BREAKS: Final = re.compile(r"\n{3,}")
_UNSEEN: Final = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
"""Unicode categories that show nothing or turn the text around (UAX #44, UTR #36)."""


_NON_JOINER: Final = "\u200c"
_JOINER: Final = "\u200d"
_VIRAMA: Final = 9
"""Canonical combining class of the signs that bind two letters of an Indic script."""
_ARABIC: Final = "AL"
"""Bidirectional class of the letters whose shape depends on their neighbours."""


def sanitize(text: str, *, limit: int) -> str:
    """Site text without control characters, direction marks and line breaks, at most `limit` bytes.

    Joiners stay where they join: between Arabic letters, behind the sign that binds Indic letters
    (UAX #31, section 2.3), and between emoji (UTS #51).
    """
    spaced = _SPACES.sub(" ", unicodedata.normalize("NFC", text))
    seen = "".join(
        c
        for at, c in enumerate(spaced)
        if unicodedata.category(c) not in _UNSEEN or _joins(spaced, at)
    )
    return cut(_SPACES.sub(" ", seen).strip(), limit)


def sanitize_lines(text: str, *, limit: int) -> str:
    """The same of a longer text, whose line breaks stay; at most one empty line at once."""
    lines = (sanitize(line, limit=limit) for line in text[: 4 * limit].splitlines())
    return cut(_BREAKS.sub("\n\n", "\n".join(lines)).strip(), limit)


def _joins(text: str, at: int) -> bool:
    """Whether there is a joiner at this place, and something on both sides that it joins."""
    if text[at] not in {_JOINER, _NON_JOINER} or not 0 < at < len(text) - 1:
        return False
    before, after = text[at - 1], text[at + 1]
    if not unicodedata.category(after).startswith(("L", "S")):
        return False
    if text[at] == _JOINER and unicodedata.category(after) == "So":
        return _is_emoji(before)
    if unicodedata.combining(before) == _VIRAMA:
        return True
    return unicodedata.bidirectional(before) == unicodedata.bidirectional(after) == _ARABIC


def _is_emoji(character: str) -> bool:
    """A symbol, a tone of skin, or the sign that asks for the colourful shape."""
    return unicodedata.category(character) in {"So", "Sk"} or character == "\ufe0f"


def cut(text: str, limit: int) -> str:
    """The longest beginning that fits `limit` bytes of UTF-8; it does not end in a joiner."""
    beginning = text.encode()[:limit].decode(errors="ignore")
    return beginning.rstrip().rstrip(_JOINER + _NON_JOINER).rstrip()
