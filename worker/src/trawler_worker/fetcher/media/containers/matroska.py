"""Matroska and WebM (RFC 8794, RFC 9559): one Segment, which knows its length unless it was sent as
it was made.
"""

import struct
from collections.abc import Iterator
from typing import Final

from trawler_worker.fetcher.media.containers.reading import Bytes, Ending

_UNKNOWN: Final = -1
_SEGMENT: Final = 0x18538067
_CLUSTER: Final = 0x1F43B675
_TOP: Final = frozenset(
    [
        *(0x114D9B74, 0x1549A966, 0x1654AE6B, _CLUSTER, 0x1C53BB6B),
        *(0x1941A469, 0x1043A770, 0x1254C367, 0xEC, 0xBF),
    ]
)
_TRACKS: Final = 0x1654AE6B
_TRACK: Final = 0xAE
_VIDEO: Final = 0xE0
_PROJECTION: Final = 0x7670
_PROJECTION_TYPE: Final = 0x7671
_ROLL: Final = 0x7675
_FEW: Final = 256
"""Elements beside each other among which one is looked for: in front of the pictures there are few.
"""
_BLOCK: Final = 0xA3
_BLOCKS: Final = 0xA0
_IN_CLUSTER: Final = frozenset([0xE7, 0xA7, 0xAB, 0xA3, 0xA0, 0x5854, 0xAF, 0xEC, 0xBF])


def element(data: Bytes, at: int) -> tuple[int, int, int] | None:
    """(id, where its content begins, how long that is) of the element there. -1 for a length left
    open; None where the file ends inside of its head, or there is none.
    """
    head = data.at(at, 12)
    name, width = _number(head, 0, keep_marker=True)
    if name is None:
        return None
    length, more = _number(head, width, keep_marker=False)
    return None if length is None else (name, at + width + more, length)


def _number(head: bytes, at: int, *, keep_marker: bool) -> tuple[int | None, int]:
    """A variable-length integer of EBML (RFC 8794, section 4) and its width."""
    if at >= len(head) or not head[at]:
        return None, 0
    width = 9 - head[at].bit_length()
    raw = head[at : at + width]
    if len(raw) < width:
        return None, 0
    value = int.from_bytes(raw, "big")
    if keep_marker:
        return value, width
    value &= (1 << 7 * width) - 1
    return (_UNKNOWN if value == (1 << 7 * width) - 1 else value), width


def doc_type(head: bytes) -> bytes:
    """Which of the two it says it is, webm or matroska."""
    at = head.find(b"\x42\x82")
    return head[at + 3 : at + 3 + (head[at + 2] & 0x7F)] if 0 <= at < len(head) - 3 else b""


def ending(data: Bytes) -> Ending:
    """By the length of the Segment; of one without, whether its last element is there."""
    at = 0
    for _ in range(64):  # the header, and what nobody knows
        found = element(data, at)
        if found is None:
            return Ending.CUT
        name, begin, length = found
        if name == _SEGMENT and length == _UNKNOWN:
            return _open_ended(data, begin)
        if length == _UNKNOWN or begin + length > data.size:
            return Ending.CUT
        if name == _SEGMENT:
            return Ending.WHOLE
        at = begin + length
    return Ending.CUT


def _open_ended(data: Bytes, at: int) -> Ending:
    """A Segment that was sent while it was made."""
    while at < data.size:
        found = element(data, at)
        if found is None or (found[0] not in _TOP and found[0] not in _IN_CLUSTER):
            # something behind the end, or the first bytes of a part that is missing as a whole
            break
        name, begin, length = found
        if length == _UNKNOWN or (name == _CLUSTER and begin + length > data.size):
            at = begin  # look inside: the cluster's own parts say more
        elif begin + length > data.size:
            return Ending.CUT if _is_block(data, name, begin) else Ending.UNKNOWN
        else:
            at = begin + length
    return Ending.UNKNOWN


def _is_block(data: Bytes, name: int, begin: int) -> bool:
    """Whether that is surely a block, and not something behind the end: one of the first 15
    tracks.
    """
    first = data.at(begin, 1)
    return name == _BLOCKS or (name == _BLOCK and first[:1] != b"" and 0x80 < first[0] < 0x90)


def roll(data: Bytes) -> float | None:
    """Degrees by which the first track of pictures is turned; None where it does not say."""
    tracks = _inside(data, 0, data.size, _SEGMENT, _TRACKS)
    if tracks is None:
        return None
    for begin, end in _all(data, *tracks, _TRACK):
        found = _inside(data, begin, end, _VIDEO)
        if found is None:
            continue
        projection = _inside(data, *found, _PROJECTION)
        angle = _inside(data, *projection, _ROLL) if projection is not None else None
        if projection is None or angle is None or _is_round(data, *projection):
            return None
        form = {4: ">f", 8: ">d"}.get(angle[1] - angle[0])
        raw = data.at(angle[0], 8)
        if form is None or len(raw) < struct.calcsize(form):
            return None
        return float(struct.unpack_from(form, raw)[0])
    return None


def _is_round(data: Bytes, begin: int, end: int) -> bool:
    """A film of all sides: its roll is that of the sphere."""
    kind = _inside(data, begin, end, _PROJECTION_TYPE)
    return kind is not None and any(data.at(kind[0], min(8, kind[1] - kind[0])))


def _inside(data: Bytes, begin: int, end: int, *path: int) -> tuple[int, int] | None:
    """Where the first element at the end of a path begins and ends."""
    for name in path:
        found = next(iter(_all(data, begin, end, name)), None)
        if found is None:
            return None
        begin, end = found
    return begin, end


def _all(data: Bytes, begin: int, end: int, name: int) -> Iterator[tuple[int, int]]:
    """The elements of a name that lie between two places, as far as they can be followed."""
    at = begin
    for _ in range(_FEW):
        found = element(data, at) if at < end else None
        if found is None:
            return
        here, content, length = found
        behind = end if length == _UNKNOWN else min(end, content + length)
        if here == name:
            yield content, behind
        at = behind
