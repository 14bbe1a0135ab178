"""What a file is called for people. Pure. On disk, files are named by the job."""

import re
from typing import Final
from urllib.parse import unquote

from trawler_common.plain import clean, cut
from trawler_crds import addresses

MAX_BYTES: Final = 80
_FORBIDDEN: Final = re.compile(r'[\\/:*?"<>|`]+')


def file_name(*, title: str | None, url: str, extension: str, number: int, count: int) -> str:
    """A name of at most 80 bytes: the title, else the address' last word, then the true type."""
    stem = _stem(title or "") or _stem(_last_word(url)) or "media"
    tail = (f" {number}" if count > 1 else "") + f".{extension}"
    return cut(stem, MAX_BYTES - len(tail.encode())) + tail


def _stem(text: str) -> str:
    return _FORBIDDEN.sub("_", clean(text, limit=400)).strip(" ._")


def _last_word(url: str) -> str:
    """Of the address' path. Raises BadAddress; whoever fetched something had an address."""
    word = unquote(addresses.parse(url).path.rsplit("/", 1)[-1], errors="replace")
    return word.rpartition(".")[0] or word
