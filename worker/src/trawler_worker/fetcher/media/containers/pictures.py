"""JPEG (ITU-T T.81), PNG (W3C PNG, third edition) and GIF (GIF89a): each has a mark for its end,
and anything may follow it: a phone puts a film there.
"""

import re
import struct
from typing import Final

from trawler_worker.fetcher.media.containers.reading import Bytes, Ending

_WINDOW: Final = 1024 * 1024
_MARKER: Final = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]", re.DOTALL)
"""Inside of coded data anything but a stuffed zero and a restart is a marker."""
_FRAMES: Final = frozenset([*range(0xC0, 0xD0)]) - {0xC4, 0xC8, 0xCC}
_SCAN: Final = 0xDA
_STRAY: Final = 64 * 1024
"""Bytes between two segments that belong to nothing: more than that is a hole."""
_NO_LENGTH: Final = frozenset([0x01, *range(0xD0, 0xD9)])


def jpeg_ending(data: Bytes) -> Ending:
    """Marker by marker to the end of the image, which has a frame and a scan."""
    at, seen = 2, set[int]()
    while True:
        head = data.at(at, 4)
        if len(head) >= 2 and head[0] == 0xFF and head[1] == 0xFF:
            at += 1  # a fill byte
            continue
        if len(head) >= 2 and head[:2] == b"\xff\xd9":
            return Ending.WHOLE if _SCAN in seen and seen & _FRAMES else Ending.CUT
        if len(head) < 4:
            return Ending.CUT
        if head[0] != 0xFF:
            # what cameras leave between two segments is passed over, as everybody does
            stray = _behind_scan(data, at)
            if stray is None or stray - at > _STRAY:
                return Ending.CUT
            at = stray
            continue
        if head[1] in _NO_LENGTH:
            at += 2
            continue
        seen.add(head[1])
        at += 2 + struct.unpack(">H", head[2:])[0]
        if head[1] == _SCAN:
            behind = _behind_scan(data, at)
            if behind is None:
                return Ending.CUT
            at = behind


def _behind_scan(data: Bytes, at: int) -> int | None:
    """The next marker behind coded data, or behind bytes that belong to nothing."""
    while window := data.at(at, _WINDOW):
        found = _MARKER.search(window)
        if found is not None:
            return at + found.start()
        at += len(window) - 1
        if len(window) < 2:
            return None
    return None


def png_ending(data: Bytes) -> Ending:
    """Chunk by chunk to IEND."""
    at = 8
    while True:
        head = data.at(at, 8)
        if len(head) < 8:
            return Ending.CUT
        length, name = struct.unpack(">I4s", head)
        at += 12 + length
        if at > data.size:
            return Ending.CUT
        if name == b"IEND":
            return Ending.WHOLE


def gif_ending(data: Bytes) -> Ending:
    """Block by block to the trailer. Some programs leave that out: whoever has all blocks up to the
    end of a picture may be whole.
    """
    head = data.at(0, 13)
    if len(head) < 13:
        return Ending.CUT
    at, pictures, window = 13 + _colours(head[10]), 0, _Window(data)
    while True:
        mark = data.at(at, 10)
        if not mark:
            return Ending.UNKNOWN if pictures and at == data.size else Ending.CUT
        if mark[0] == 0x3B:
            return Ending.WHOLE
        if mark[0] == 0x21:
            behind = _sub_blocks(window, data.size, at + 2)
        elif mark[0] == 0x2C and len(mark) == 10:
            behind = _sub_blocks(window, data.size, at + 11 + _colours(mark[9]))
            pictures += 1
        elif mark[0] == 0x2C:
            return Ending.CUT
        else:
            return Ending.UNKNOWN if pictures else Ending.CUT
        if behind is None:
            return Ending.CUT
        at = behind


def _colours(flags: int) -> int:
    """Bytes of a table of colours."""
    return 3 << (flags & 7) + 1 if flags & 0x80 else 0


class _Window:
    """Single bytes of a file, read in large pieces: an animation has thousands of pictures."""

    def __init__(self, data: Bytes) -> None:
        self._data = data
        self._begin = 0
        self._bytes = b""

    def byte(self, at: int) -> int | None:
        """None behind the end."""
        if not self._begin <= at < self._begin + len(self._bytes):
            self._bytes, self._begin = self._data.at(at, 64 * 1024), at
        return self._bytes[at - self._begin] if self._bytes else None


def _sub_blocks(window: _Window, size: int, at: int) -> int | None:
    """Where they end; None where the file does before."""
    while at <= size:
        length = window.byte(at)
        if length is None:
            return None
        at += 1 + length
        if not length:
            return at
    return None
