"""What a file is called for people. Pure. On disk, files are named by the job."""

import re
import unicodedata
from typing import Final
from urllib.parse import unquote, urlsplit

MAX_BYTES: Final = 80
_FORBIDDEN: Final = re.compile(r'[\\/:*?"<>|`]+')
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


def file_name(*, title: str | None, url: str, extension: str, number: int, count: int) -> str:
    """A name of at most 80 bytes: the title, else the address' last word, then the true type."""
    stem = _stem(title or "") or _stem(_last_word(url)) or "media"
    tail = (f" {number}" if count > 1 else "") + f".{extension}"
    return cut(stem, MAX_BYTES - len(tail.encode())) + tail


def _stem(text: str) -> str:
    return _FORBIDDEN.sub("_", clean(text, limit=400)).strip(" ._")


def _last_word(url: str) -> str:
    word = unquote(urlsplit(url).path.rsplit("/", 1)[-1], errors="replace")
    return word.rpartition(".")[0] or word
