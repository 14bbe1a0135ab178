"""MP4 in fragments (ISO/IEC 14496-12, 8.8 and 8.16): whole is one whose every fragment is there, up
to where an index or a length says that it ends.
"""

import struct
from typing import Final

from trawler_worker.fetcher.media.containers.boxes import (
    MAX_INDEX,
    Box,
    big_endian,
    boxes,
    child,
    tracks,
)
from trawler_worker.fetcher.media.containers.reading import Bytes, Ending

_MISSING: Final = 0.25
"""Seconds that a length may be longer than what there is."""


def ending(data: Bytes, top: list[Box], movie: Box) -> Ending:
    """Every box is there; whether there should be more, an index or a length says. One that has an
    index before each fragment says it nowhere: an index of a single fragment may be one of those.
    One of several fragments is believed.
    """
    if any(box.name == b"mfra" for box in top):
        return Ending.WHOLE
    indexes = [
        (box.end + span, count)
        for box in top
        if box.name == b"sidx"
        for span, count in [_referenced(data, box)]
        if count
    ]
    if any(end > top[-1].end for end, _ in indexes):
        return Ending.CUT
    by_length = _by_duration(data, top, movie)
    last = max((box.end for box in top if box.name in {b"moof", b"mdat"}), default=0)
    if not indexes or indexes[0][0] < last or indexes[0][1] < 2:
        return by_length
    return Ending.UNKNOWN if by_length is Ending.CUT else Ending.WHOLE


def _referenced(data: Bytes, index: Box) -> tuple[int, int]:
    """How many bytes behind it a segment index speaks of, and of how many parts (8.16.3); (0, 0)
    where it is none.
    """
    head = data.at(index.begin, 32)
    if len(head) < 32:
        return 0, 0
    wide = head[0] >= 1
    first = struct.unpack(">Q", head[20:28])[0] if wide else struct.unpack(">I", head[16:20])[0]
    at = index.begin + (28 if wide else 20)
    count = data.number(at + 2, ">H") or 0
    if at + 4 + 12 * count > index.end:
        return 0, 0
    table = big_endian(data.at(at + 4, 12 * count), "I")
    return int(first) + sum(size & 0x7FFFFFFF for size in table[0::3]), count


def _by_duration(data: Bytes, top: list[Box], movie: Box) -> Ending:
    """A length in `mehd` against what the fragments hold; a quarter of a second may be missing.
    Where their clock does not begin at zero, it may be the length or where the film ends.
    """
    header = child(data, movie, b"mvhd")
    extends = child(data, movie, b"mvex", b"mehd")
    if header is None or extends is None:
        return Ending.UNKNOWN
    wide = data.at(header.begin, 1) == b"\1"
    scale = data.number(header.begin + (20 if wide else 12), ">I")
    long = data.at(extends.begin, 1) == b"\1"
    length = data.number(extends.begin + 4, ">Q" if long else ">I")
    held = _held(data, top, movie)
    if not scale or not length or held is None:
        return Ending.UNKNOWN
    begin, end = held
    wanted = length / scale
    if end - begin >= wanted - _MISSING:
        return Ending.WHOLE
    return Ending.CUT if end < wanted - _MISSING or end > wanted + 1 else Ending.UNKNOWN


def _held(data: Bytes, top: list[Box], movie: Box) -> tuple[float, float] | None:
    """Seconds from which the earliest track has fragments, and up to which the latest does."""
    scales = {}
    for track in tracks(data, movie):
        head, media = child(data, track, b"tkhd"), child(data, track, b"mdia", b"mdhd")
        if head is None or media is None:
            continue
        number = data.number(head.begin + (20 if data.at(head.begin, 1) == b"\1" else 12), ">I")
        wide = data.at(media.begin, 1) == b"\1"
        scales[number] = data.number(media.begin + (20 if wide else 12), ">I") or 0
    spans: list[tuple[float, float]] = []
    for moof in (box for box in top if box.name == b"moof"):
        for traf in (box for box in boxes(data, moof.begin, moof.end) if box.name == b"traf"):
            head, begin = child(data, traf, b"tfhd"), child(data, traf, b"tfdt")
            scale = scales.get(data.number(head.begin + 4, ">I")) if head is not None else 0
            if not scale or head is None or begin is None:
                return None
            wide = data.at(begin.begin, 1) == b"\1"
            at = data.number(begin.begin + 4, ">Q" if wide else ">I") or 0
            length = _run_length(data, traf, head)
            if length is None:
                return None
            spans.append((at / scale, (at + length) / scale))
    if not spans:
        return None
    return min(begin for begin, _ in spans), max(end for _, end in spans)


def _run_length(data: Bytes, traf: Box, head: Box) -> int | None:
    """Ticks of all samples of a fragment of one track (8.8.7, 8.8.8)."""
    flags = data.number(head.begin, ">I") or 0
    at = head.begin + 8 + 8 * bool(flags & 1) + 4 * bool(flags & 2)
    usual = data.number(at, ">I") if flags & 8 else None
    total = 0
    for run in (box for box in boxes(data, traf.begin, traf.end) if box.name == b"trun"):
        word, count = data.number(run.begin, ">I") or 0, data.number(run.begin + 4, ">I") or 0
        if not word & 0x100:
            if usual is None:
                return None
            total += usual * count
            continue
        begin = run.begin + 8 + 4 * bool(word & 1) + 4 * bool(word & 4)
        width = sum(bool(word & bit) for bit in (0x100, 0x200, 0x400, 0x800))
        table = big_endian(data.at(begin, min(4 * width * count, MAX_INDEX)), "I")
        total += sum(table[0::width])
    return total
