"""Builds the file names that people see. Pure. On disk, files are named by the job."""

import re
from typing import Final
from urllib.parse import unquote

from trawler_common.text import cut, sanitize
from trawler_crds import addresses

MAX_BYTES: Final = 80
IMAGE_ENDINGS: Final = frozenset(["jpg", "jpeg", "png", "gif", "webp", "avif", "heic", "heif"])
FILE_ENDINGS: Final = frozenset(
    [
        *(
            "mp4",
            "m4v",
            "mov",
            "qt",
            "3gp",
            "3g2",
            "webm",
            "mkv",
            "avi",
            "flv",
            "ts",
            "m2ts",
            "ogv",
        ),
        *("mp3", "m4a", "m4b", "aac", "ogg", "opus", "oga", "flac", "wav", "mka", "weba"),
        *IMAGE_ENDINGS,
    ]
)
"""Extensions of media files."""
_FORBIDDEN: Final = re.compile(r'[\\/:*?"<>|`]+')


def file_name(*, called: str | None, url: str, extension: str, number: int, count: int) -> str:
    """A name of at most 80 bytes, from the title of the file or page, otherwise from the last
    segment of the URL. The extension is the true type and appears once.
    """
    stem = _stem(called or "") or _stem(_last_word(url)) or "media"
    tail = (f" {number}" if count > 1 else "") + f".{extension}"
    return cut(stem, MAX_BYTES - len(tail.encode())) + tail


def _stem(text: str) -> str:
    stem = _FORBIDDEN.sub("_", sanitize(text, limit=400)).strip(" ._")
    while (parts := stem.rpartition("."))[0] and parts[2].lower() in FILE_ENDINGS:
        stem = parts[0].rstrip(" ._")
    return stem


def _last_word(url: str) -> str:
    """The last segment of the URL's path. Raises BadAddress, which no fetched URL can cause."""
    word = unquote(addresses.parse(url).path.rsplit("/", 1)[-1], errors="replace")
    return word.rpartition(".")[0] or word
