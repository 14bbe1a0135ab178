"""Ogg (RFC 3533): pages; the last one of a stream says that it is."""

from typing import Final

from trawler_worker.fetcher.media.containers.reading import Bytes, Ending

_TAIL: Final = 2 * 65_307 + 8192
"""Bytes in which a whole page is surely found, and what may follow it."""
_HEADER: Final = 27
_LAST: Final = 4


def ending(data: Bytes) -> Ending:
    """Whole where the last page is there and is a stream's last."""
    _, tail = data.tail(_TAIL)
    at = len(tail)
    while (at := tail.rfind(b"OggS", 0, at)) >= 0:
        head = tail[at : at + _HEADER]
        if len(head) < _HEADER:
            return Ending.CUT
        if head[4] != 0 or head[5] > 7:
            continue
        table = tail[at + _HEADER : at + _HEADER + head[26]]
        if len(table) < head[26] or at + _HEADER + head[26] + sum(table) > len(tail):
            return Ending.CUT
        return Ending.WHOLE if head[5] & _LAST else Ending.CUT
    return Ending.CUT


def codecs(head: bytes) -> frozenset[str]:
    """What the first pages say is inside; each stream begins with a page of its own."""
    signs = {
        b"\x80theora": "theora",
        b"\x01vorbis": "vorbis",
        b"OpusHead": "opus",
        b"\x7fFLAC": "flac",
    }
    return frozenset(name for sign, name in signs.items() if sign in head)
