"""RIFF: WAV, also as RF64 and BW64, AVI and WebP. What is written into a pipe cannot know its own
length.
"""

import struct
from typing import Final

from trawler_worker.fetcher.media.containers.reading import Bytes, Ending

_UNKNOWN: Final = 0x7FFF0000
"""From here on a length was not known: 7FFFF024 and FFFFFFFF are what programs write then."""
_UNKNOWN_WIDE: Final = frozenset([0, 2**64 - 1])
"""A length of 64 bits that was to be written at the end, into a pipe."""
_MAX_CHUNKS: Final = 10_000


def ending(data: Bytes) -> Ending:
    """Of an AVI or a WebP."""
    head = data.at(0, 12)
    if len(head) < 12:
        return Ending.CUT
    length = struct.unpack("<I", head[4:8])[0]
    if length in {0, 0xFFFFFFFF}:
        return Ending.UNKNOWN
    # the last chunk's padding is often left out
    if length + 8 > data.size + 1:
        return Ending.CUT
    return Ending.CUT if _goes_on_cut(data, 8 + length + (length & 1)) else Ending.WHOLE


def _goes_on_cut(data: Bytes, at: int) -> bool:
    """Whether a further part of a long AVI (OpenDML) was begun and is not there."""
    for _ in range(_MAX_CHUNKS):
        head = data.at(at, 12)
        if head[:4] != b"RIFF" or head[8:12] != b"AVIX":
            return False
        length = struct.unpack("<I", head[4:8])[0]
        at += 8 + length + (length & 1)
        if at > data.size + 1:
            return True
    return False


def wave_ending(data: Bytes) -> Ending:
    """Of a WAV: the chunk with the sound counts, whatever the whole says."""
    at, wide = 12, None
    for _ in range(_MAX_CHUNKS):
        head = data.at(at, 8)
        if len(head) < 8:
            return Ending.CUT
        name, length = head[:4], struct.unpack("<I", head[4:])[0]
        if name == b"ds64":  # EBU Tech 3306: lengths of 64 bits
            wide = data.number(at + 16, "<Q")
        if name == b"data":
            if wide is not None and length == 0xFFFFFFFF:
                if wide in _UNKNOWN_WIDE:
                    return Ending.UNKNOWN
                length = wide
            elif length == 0 or length >= _UNKNOWN:
                return Ending.UNKNOWN
            return Ending.WHOLE if at + 8 + length <= data.size else Ending.CUT
        at += 8 + length + (length & 1)
    return Ending.UNKNOWN
