"""Text from strangers made plain: nothing unseen, nothing that turns it around, no more than fits."""

import re
import unicodedata
from typing import Final

_SPACES: Final = re.compile(r"\s+")
_UNSEEN: Final = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
"""Unicode categories that show nothing or turn the text around (UAX #44, UTR #36)."""


def clean(text: str, *, limit: int) -> str:
    """Site text without control characters, direction marks and line breaks, at most `limit` bytes."""
    spaced = _SPACES.sub(" ", unicodedata.normalize("NFC", text))
    seen = "".join(c for c in spaced if unicodedata.category(c) not in _UNSEEN)
    return cut(_SPACES.sub(" ", seen).strip(), limit)


def cut(text: str, limit: int) -> str:
    """The longest beginning that fits `limit` bytes of UTF-8."""
    return text.encode()[:limit].decode(errors="ignore").rstrip()
