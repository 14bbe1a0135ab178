"""ISO base media (ISO/IEC 14496-12): MP4, QuickTime, 3GP, HEIC and AVIF.

Whole is a file whose every sample lies inside of it, track by track; of a fragmented one, whose every fragment
does, up to an index that says it is the last.
"""

import re
import struct
from array import array
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from trawler_worker.fetcher.containers.reading import Bytes, Ending

MAX_INDEX: Final = 64 * 1024 * 1024
"""Bytes of one table of samples. Two hours at 60 pictures a second need 2 MB."""
_TOP: Final = frozenset(
    [
        *(b"ftyp", b"styp", b"moov", b"moof", b"mdat", b"mfra", b"sidx", b"ssix", b"prft", b"emsg"),
        *(b"free", b"skip", b"wide", b"meta", b"meco", b"pdin", b"uuid", b"pnot", b"PICT", b"imda"),
    ]
)
_PRINTABLE: Final = re.compile(rb"[ -~\xa9]{4}")
"""What else may be the name of a box. Cameras have their own."""
_TURNED: Final = 0x10000


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


def child(data: Bytes, parent: Box, *path: bytes) -> Box | None:
    """The first box at the end of a path of names; none that reaches beyond its parent."""
    here: Box | None = parent
    for name in path:
        if here is None:
            return None
        inside = (box for box in boxes(data, here.begin, here.end) if box.end <= here.end)
        here = next((box for box in inside if box.name == name), None)
    return here


def ending(data: Bytes) -> Ending:
    """What the file says of its own end."""
    top, cut = _top(data)
    if cut:
        return Ending.CUT
    movie = next((box for box in top if box.name == b"moov"), None)
    if movie is None:
        meta = next((box for box in top if box.name == b"meta"), None)
        return _items(data, meta) if meta is not None else Ending.CUT
    if child(data, movie, b"mvex") is None:
        return _samples(data, movie)
    return _fragments(data, top, movie)


def _top(data: Bytes) -> tuple[list[Box], bool]:
    """The boxes that are there whole, and whether one more was begun. What follows the last box and is none
    is not of the file.
    """
    found: list[Box] = []
    for box in boxes(data, 0, data.size):
        inside = box.end <= data.size
        if box.name not in _TOP and not (inside and _PRINTABLE.fullmatch(box.name)):
            return found, False
        if not inside:
            return found, True
        found.append(box)
    last = found[-1].end if found else 0
    return found, 0 < data.size - last < 8 and data.at(last + 4, 4)[:1] in {b"m", b"s"}


def tracks(data: Bytes, movie: Box) -> list[Box]:
    """Each `trak`."""
    return [box for box in boxes(data, movie.begin, movie.end) if box.name == b"trak"]


def _samples(data: Bytes, movie: Box) -> Ending:
    ends = [_last_byte(data, track) for track in tracks(data, movie)]
    known = [end for end in ends if end is not None]
    if not known or not any(known):
        return Ending.UNKNOWN
    return Ending.WHOLE if max(known) <= data.size else Ending.CUT


def _last_byte(data: Bytes, track: Box) -> int | None:
    """Where the last sample of a track ends; None where its tables do not say."""
    table = child(data, track, b"mdia", b"minf", b"stbl")
    if table is None:
        return None
    found = boxes(data, table.begin, table.end)
    inside = {box.name: box for box in found if box.end <= table.end}
    offsets = _numbers(data, inside.get(b"stco"), each=1, code="I") or _numbers(
        data, inside.get(b"co64"), each=1, code="Q"
    )
    runs = _numbers(data, inside.get(b"stsc"), each=3, code="I")
    if not offsets or not runs:
        return 0 if offsets is not None else None
    sizes = inside.get(b"stsz")
    samples = data.number(sizes.begin + 8, ">I") if sizes is not None else None
    used = len(offsets) if samples is None else _chunks_of(runs, samples, len(offsets))
    if used <= 0:
        return 0
    last = max(range(used), key=offsets.__getitem__)
    first, count = _samples_of(runs, last)
    if samples is not None:
        count = min(count, samples - first)
    return offsets[last] + _size_of(data, sizes, first, count)


def _chunks_of(runs: "array[int]", samples: int, chunks: int) -> int:
    """How many chunks hold all samples. There may be more, and the last may hold fewer than its run says: players go
    by the samples.
    """
    before = 0
    for at in range(0, len(runs) - 2, 3):
        first, each = max(0, runs[at] - 1), runs[at + 1]
        following = runs[at + 3] - 1 if at + 3 < len(runs) - 2 else chunks
        held = max(0, following - first) * each
        if held and before + held >= samples:
            return min(chunks, first - (before - samples) // each)
        before += held
    return chunks


def _samples_of(runs: "array[int]", chunk: int) -> tuple[int, int]:
    """The first sample of a chunk (from 0) and how many are in it."""
    before = 0
    for at in range(0, len(runs) - 2, 3):
        first, each = max(0, runs[at] - 1), runs[at + 1]
        following = runs[at + 3] - 1 if at + 3 < len(runs) - 2 else None
        if following is None or chunk < following:
            return before + (chunk - first) * each, each
        before += (following - first) * each
    return before, 0


def _size_of(data: Bytes, sizes: Box | None, first: int, count: int) -> int:
    if sizes is None:
        return 0
    same = data.number(sizes.begin + 4, ">I")
    if same:
        # QuickTime's packed sound counts samples of sound there, and says 1
        return same * count if same > 1 else 0
    begin = sizes.begin + 12 + 4 * first
    few = data.at(begin, max(0, min(4 * count, sizes.end - begin, MAX_INDEX)))
    return sum(_big_endian(few, "I"))


def _numbers(data: Bytes, box: Box | None, *, each: int, code: str) -> "array[int] | None":
    """A table behind a full box's head: as many entries, of so many numbers `each`, as it says it has."""
    if box is None:
        return None
    entries = data.number(box.begin + 4, ">I") or 0
    there = min(entries * each * struct.calcsize(f">{code}"), box.end - box.begin - 8, MAX_INDEX)
    return _big_endian(data.at(box.begin + 8, max(0, there)), code)


def _big_endian(raw: bytes, code: str) -> "array[int]":
    width = struct.calcsize(f">{code}")
    found = array(code)
    found.frombytes(raw[: len(raw) - len(raw) % width])
    found.byteswap()
    return found


def _fragments(data: Bytes, top: list[Box], movie: Box) -> Ending:
    """Every box is there; whether there should be more, an index at the end or a length says."""
    if top[-1].name == b"mfra" or any(box.name == b"mfra" for box in top):
        return Ending.WHOLE
    index = next((box for box in top if box.name == b"sidx"), None)
    if index is not None and (span := _referenced(data, index)) is not None:
        return Ending.WHOLE if index.end + span <= top[-1].end else Ending.CUT
    return _by_duration(data, top, movie)


def _referenced(data: Bytes, index: Box) -> int | None:
    """How many bytes behind it a segment index speaks of (8.16.3)."""
    head = data.at(index.begin, 32)
    if len(head) < 32:
        return None
    wide = head[0] >= 1
    first = struct.unpack(">Q", head[20:28])[0] if wide else struct.unpack(">I", head[16:20])[0]
    at = index.begin + (28 if wide else 20)
    count = data.number(at + 2, ">H") or 0
    table = _big_endian(data.at(at + 4, 12 * count), "I")
    if len(table) < 3 * count:
        return None
    return int(first) + sum(size & 0x7FFFFFFF for size in table[0::3])


def _by_duration(data: Bytes, top: list[Box], movie: Box) -> Ending:
    """A length in `mehd` against what the fragments hold; a quarter of a second may be missing."""
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
    return Ending.WHOLE if held >= length / scale - 0.25 else Ending.CUT


def _held(data: Bytes, top: list[Box], movie: Box) -> float | None:
    """Seconds up to which the latest track has fragments."""
    scales = {}
    for track in tracks(data, movie):
        head, media = child(data, track, b"tkhd"), child(data, track, b"mdia", b"mdhd")
        if head is None or media is None:
            continue
        number = data.number(head.begin + (20 if data.at(head.begin, 1) == b"\1" else 12), ">I")
        wide = data.at(media.begin, 1) == b"\1"
        scales[number] = data.number(media.begin + (20 if wide else 12), ">I") or 0
    latest = None
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
            latest = max(latest or 0.0, (at + length) / scale)
    return latest


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
        table = _big_endian(data.at(begin, min(4 * width * count, MAX_INDEX)), "I")
        total += sum(table[0::width])
    return total


def _items(data: Bytes, meta: Box) -> Ending:
    """Pictures (8.11.3): every extent of `iloc` lies inside."""
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


def is_turned(data: Bytes) -> bool:
    """Whether the first track of pictures is shown on its side (the matrix of 8.3.2)."""
    movie = next((b for b in boxes(data, 0, data.size) if b.name == b"moov"), None)
    for track in tracks(data, movie) if movie is not None else []:
        head = child(data, track, b"tkhd")
        kind = child(data, track, b"mdia", b"hdlr")
        if head is None or kind is None or data.at(kind.begin + 8, 4) != b"vide":
            continue
        at = head.begin + (52 if data.at(head.begin, 1) == b"\1" else 40)
        matrix = data.at(at, 36)
        if len(matrix) < 36:
            return False
        a, b, _, c, d, *_ = struct.unpack(">9i", matrix)
        return bool(abs(b) >= _TURNED // 2 and abs(c) >= _TURNED // 2 and not a and not d)
    return False
