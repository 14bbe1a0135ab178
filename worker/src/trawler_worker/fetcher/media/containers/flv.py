"""FLV (Adobe Flash Video File Format 10.1, annex E): tags with times; a script tag may know the
length.
"""

import struct
from typing import Final

from trawler_worker.fetcher.media.containers.reading import Bytes, Ending

_KINDS: Final = frozenset([8, 9, 18])
_LAST_PART: Final = 0.15
"""Seconds for which the last picture is shown; its time is when it begins."""
_DOUBT: Final = 1.0


def ending(data: Bytes) -> Ending:
    """Tag by tag; then the last time against the length that was announced."""
    at, last, announced = 13, 0, None
    while at < data.size:
        head = data.at(at, 11)
        if len(head) < 11 or head[0] not in _KINDS or any(head[8:11]):
            break  # something behind the end
        length = int.from_bytes(head[1:4], "big")
        if at + 11 + length > data.size:
            return Ending.CUT
        if head[0] == 18 and announced is None:
            announced = _duration(data.at(at + 11, min(length, 4096)))
        elif length:
            last = max(last, int.from_bytes(head[7:8] + head[4:7], "big"))
        at += 15 + length
    if not announced:
        return Ending.UNKNOWN
    missing = announced - last / 1000
    if missing > _DOUBT:
        return Ending.CUT
    return Ending.WHOLE if missing <= _LAST_PART else Ending.UNKNOWN


def _duration(script: bytes) -> float | None:
    """Seconds, by `onMetaData`."""
    at = script.find(b"\x00\x08duration\x00")
    raw = script[at + 11 : at + 19] if at >= 0 else b""
    return float(struct.unpack(">d", raw)[0]) if len(raw) == 8 else None
