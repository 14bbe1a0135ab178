"""Pictures in boxes (ISO/IEC 23008-12): HEIC and AVIF."""

import itertools
from typing import Final

from trawler_worker.fetcher.media.containers.boxes import MAX_INDEX, Box, boxes, child
from trawler_worker.fetcher.media.containers.reading import Bytes, Ending

_MAX_LINKS: Final = 1024 * 1024
"""Bytes of the table of which item has which property."""
_MAX_SIDE: Final = 0xFFFF
"""Pixels."""


def ending(data: Bytes, meta: Box) -> Ending:
    """Whether every extent of `iloc` lies inside (ISO/IEC 14496-12, 8.11.3)."""
    found = child(data, Box(meta.name, meta.begin + 4, meta.end), b"iloc")
    if found is None:
        return Ending.UNKNOWN
    last = _last_extent(data.at(found.begin, min(found.end - found.begin, MAX_INDEX)))
    if last is None:
        return Ending.UNKNOWN
    return Ending.WHOLE if last <= data.size else Ending.CUT


def _last_extent(raw: bytes) -> int | None:
    """Where the furthest extent ends; those inside of `idat` are of the box itself."""
    if len(raw) < 8:
        return None
    version, sizes = raw[0], raw[4:6]
    offset_width, length_width = sizes[0] >> 4, sizes[0] & 15
    base_width, index_width = sizes[1] >> 4, sizes[1] & 15 if version else 0
    at, wide = 6, version >= 2
    count, at = _uint(raw, at, 4 if wide else 2)
    last = 0
    for _ in range(count):
        if at > len(raw):
            return None
        at += 4 if wide else 2
        method, at = _uint(raw, at, 2) if version else (0, at)
        base, at = _uint(raw, at + 2, base_width)
        extents, at = _uint(raw, at, 2)
        if extents > 1 and not index_width + offset_width + length_width:
            return None  # sixty thousand of nothing, for each of as many items
        for _ in range(extents):
            offset, at = _uint(raw, at + index_width, offset_width)
            length, at = _uint(raw, at, length_width)
            if at > len(raw):
                return None
            if method & 15 == 0:
                last = max(last, base + offset + length)
    return last


def _uint(raw: bytes, at: int, width: int) -> tuple[int, int]:
    return int.from_bytes(raw[at : at + width], "big"), at + width


def size(data: Bytes) -> tuple[int, int] | None:
    """Width and height of the picture that is shown, upright; None where it does not say. What
    libavformat knows is the first item, which in a phone's picture is one tile of many.
    """
    meta = next((box for box in boxes(data, 0, data.size) if box.name == b"meta"), None)
    if meta is None:
        return None
    inside = Box(meta.name, meta.begin + 4, meta.end)
    container = child(data, inside, b"iprp", b"ipco")
    linked = child(data, inside, b"iprp", b"ipma")
    item = _primary(data, child(data, inside, b"pitm"))
    if container is None or linked is None or item is None:
        return None
    properties = list(itertools.islice(boxes(data, container.begin, container.end), 0x7FFF))
    raw = data.at(linked.begin, min(linked.end - linked.begin, _MAX_LINKS))
    width, height, turned = 0, 0, False
    for number in _properties_of(raw, item):
        here = properties[number - 1] if 0 < number <= len(properties) else None
        if here is not None and here.name == b"ispe":
            width = data.number(here.begin + 4, ">I") or 0
            height = data.number(here.begin + 8, ">I") or 0
        if here is not None and here.name == b"irot":
            turned = bool((data.number(here.begin, ">B") or 0) & 1)
    if not (0 < width <= _MAX_SIDE and 0 < height <= _MAX_SIDE):
        return None
    return (height, width) if turned else (width, height)


def _primary(data: Bytes, box: Box | None) -> int | None:
    """The item that is shown."""
    if box is None:
        return None
    return data.number(box.begin + 4, ">I" if data.at(box.begin, 1) > b"\0" else ">H")


def _properties_of(raw: bytes, item: int) -> list[int]:
    """Numbers, from 1, of the properties of an item (`ipma`)."""
    if len(raw) < 8:
        return []
    wide, long = raw[0] > 0, bool(raw[3] & 1)
    count, at = _uint(raw, 4, 4)
    for _ in range(count):
        if at >= len(raw):
            return []
        name, at = _uint(raw, at, 4 if wide else 2)
        links, at = _uint(raw, at, 1)
        if name == item:
            width = 2 if long else 1
            mask = 0x7FFF if long else 0x7F
            return [_uint(raw, at + width * n, width)[0] & mask for n in range(links)]
        at += links * (2 if long else 1)
    return []
