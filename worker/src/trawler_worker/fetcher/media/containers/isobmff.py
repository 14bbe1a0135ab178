"""MP4, QuickTime and 3GP by their tables of samples (ISO/IEC 14496-12): whole is a file whose every
sample lies inside of it, track by track. What is made of fragments, and pictures, have modules of
their own.
"""

import re
from array import array
from typing import Final

from trawler_worker.fetcher.media.containers import fragments, heif
from trawler_worker.fetcher.media.containers.boxes import (
    MAX_INDEX,
    Box,
    big_endian,
    boxes,
    child,
    numbers,
    tracks,
)
from trawler_worker.fetcher.media.containers.reading import Bytes, Ending

_TOP: Final = frozenset(
    [
        *(b"ftyp", b"styp", b"moov", b"moof", b"mdat", b"mfra", b"sidx", b"ssix", b"prft", b"emsg"),
        *(b"free", b"skip", b"wide", b"meta", b"meco", b"pdin", b"uuid", b"pnot", b"PICT", b"imda"),
    ]
)
_PRINTABLE: Final = re.compile(rb"[ -~\xa9]{4}")
"""What else may be the name of a box. Cameras have their own."""


def ending(data: Bytes) -> Ending:
    """What the file says of its own end."""
    top, cut = _top(data)
    if cut:
        return Ending.CUT
    movie = next((box for box in top if box.name == b"moov"), None)
    if movie is None:
        meta = next((box for box in top if box.name == b"meta"), None)
        return heif.ending(data, meta) if meta is not None else Ending.CUT
    if child(data, movie, b"mvex") is None:
        return _samples(data, movie)
    return fragments.ending(data, top, movie)


def _top(data: Bytes) -> tuple[list[Box], bool]:
    """The boxes that are there whole, and whether one more was begun. What follows the last box and
    is none is not of the file.
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
    offsets = numbers(data, inside.get(b"stco"), each=1, code="I") or numbers(
        data, inside.get(b"co64"), each=1, code="Q"
    )
    runs = numbers(data, inside.get(b"stsc"), each=3, code="I")
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
    """How many chunks hold all samples. There may be more, and the last may hold fewer than its run
    says: players go by the samples.
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
    return sum(big_endian(few, "I"))
