"""A file as the readers of containers see it: bytes at a place, and a bound on how often they
ask.
"""

import struct
from enum import StrEnum
from typing import BinaryIO, Final

MAX_PARTS: Final = 400_000
"""Boxes, pages, blocks or tags of one file that are looked at: a second of processor time."""
MAX_BYTES: Final = 512 * 1024 * 1024
"""Bytes that are read of one file, a table once for each track that claims it."""


class Ending(StrEnum):
    """What a container says of its own end."""

    WHOLE = "whole"
    """All that it announces is there. More may follow."""
    CUT = "cut"
    """Something that it announces is not there."""
    UNKNOWN = "unknown"
    """It announces nothing that could be missed."""


class TooManyParts(ValueError):
    """The file is made of more parts than are looked at."""


class Bytes:
    """A file of known size."""

    def __init__(self, file: BinaryIO, size: int) -> None:
        self._file = file
        self.size = size
        self._parts = 0
        self._read = 0

    def at(self, offset: int, count: int) -> bytes:
        """So many bytes from there; fewer where the file ends before. Counts as a part. Raises
        TooManyParts.
        """
        self._parts += 1
        self._read += count
        if self._parts > MAX_PARTS or self._read > MAX_BYTES:
            raise TooManyParts
        if offset < 0 or offset >= self.size:
            return b""
        self._file.seek(offset)
        return self._file.read(count)

    def tail(self, count: int) -> tuple[int, bytes]:
        """The last bytes, and where they begin."""
        begin = max(0, self.size - count)
        return begin, self.at(begin, count)

    def number(self, offset: int, form: str) -> int | None:
        """A number in the notation of `struct`; None where the file ends before it does."""
        data = self.at(offset, struct.calcsize(form))
        return int(struct.unpack(form, data)[0]) if len(data) == struct.calcsize(form) else None
