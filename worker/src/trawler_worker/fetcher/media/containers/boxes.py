"""Boxes of the ISO base media file format (ISO/IEC 14496-12), and the tables in them."""

import struct
from array import array
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from trawler_worker.fetcher.media.containers.reading import Bytes, TooManyParts

MAX_INDEX: Final = 64 * 1024 * 1024
"""Bytes of one table of samples. Two hours at 60 pictures a second need 2 MB."""


@dataclass(frozen=True)
class Box:
    """One box: where its content begins and where it ends, which may be behind the file's end."""

    name: bytes
    begin: int
    end: int
    to_the_end: bool = False
    """Its length was left open: it reaches as far as the file does."""


def boxes(data: Bytes, begin: int, end: int) -> Iterator[Box]:
    """The boxes that follow each other from one place to another."""
    at, end = begin, min(end, data.size)
    while at + 8 <= end:
        head = data.at(at, 16)
        if len(head) < 8:
            return
        length, name = struct.unpack(">I4s", head[:8])
        start, open_ended = at + 8, False
        if length == 1 and len(head) == 16:
            length, start = struct.unpack(">Q", head[8:])[0], at + 16
        elif length == 0:
            length, open_ended = end - at, True
        if at + length < start:
            return
        yield Box(name, start, at + length, open_ended)
        at += length


def is_indexed(data: Bytes) -> bool:
    """Whether the index stands before the media and holds all of it: then a player begins at once.
    Not where that would take long to see.
    """
    try:
        for box in boxes(data, 0, data.size):
            if box.name == b"moov":
                return child(data, box, b"mvex") is None
            if box.name == b"mdat":
                return False
    except TooManyParts:
        pass
    return False


def child(data: Bytes, parent: Box, *path: bytes) -> Box | None:
    """The first box at the end of a path of names; none that reaches beyond its parent."""
    here: Box | None = parent
    for name in path:
        if here is None:
            return None
        inside = (box for box in boxes(data, here.begin, here.end) if box.end <= here.end)
        here = next((box for box in inside if box.name == name), None)
    return here


def tracks(data: Bytes, movie: Box) -> list[Box]:
    """Each `trak`."""
    return [box for box in boxes(data, movie.begin, movie.end) if box.name == b"trak"]


def numbers(data: Bytes, box: Box | None, *, each: int, code: str) -> "array[int] | None":
    """A table behind a full box's head: as many entries, of so many numbers `each`, as it says it
    has.
    """
    if box is None:
        return None
    entries = data.number(box.begin + 4, ">I") or 0
    there = min(entries * each * struct.calcsize(f">{code}"), box.end - box.begin - 8, MAX_INDEX)
    return big_endian(data.at(box.begin + 8, max(0, there)), code)


def big_endian(raw: bytes, code: str) -> "array[int]":
    """Numbers of one width, as many as are whole."""
    width = struct.calcsize(f">{code}")
    found = array(code)
    found.frombytes(raw[: len(raw) - len(raw) % width])
    found.byteswap()
    return found
