"""Parses the file name in a Content-Disposition header. Pure."""

import re
from typing import Final
from urllib.parse import unquote_to_bytes

from trawler_common.text import sanitize
from trawler_worker.fetcher.network.targets import sent

_EXTENDED: Final = re.compile(r"filename\*\s*=\s*([\w-]+)'[\w-]*'([^;\s]+)", re.IGNORECASE)
_QUOTED: Final = re.compile(r'filename\s*=\s*"((?:[^"\\]|\\.)*)"', re.IGNORECASE)
_BARE: Final = re.compile(r'filename\s*=\s*([^";\s][^;]*)', re.IGNORECASE)


def file_name(disposition: str | None) -> str | None:
    """The sanitized file name (RFC 6266; `filename*` takes precedence over `filename`); None if
    there is none.
    """
    text = (disposition or "")[:4096]
    found = _EXTENDED.search(text)
    if found is not None and found[1].lower() in {"utf-8", "iso-8859-1"}:
        name = unquote_to_bytes(sent(found[2])).decode(found[1], errors="replace")
    elif (quoted := _QUOTED.search(text)) is not None:
        name = sent(re.sub(r"\\(.)", r"\1", quoted[1]))
    elif (bare := _BARE.search(text)) is not None:
        name = sent(bare[1])
    else:
        return None
    return sanitize(name.replace("\\", "/").rsplit("/", 1)[-1], limit=256) or None
