"""MP3 and raw AAC (ISO/IEC 11172-3, 13818-7): frames one behind the other, without an end.

What an MP3 knows of its length stands in its first frame: Xing or Info (gabriel-bouvigne.net, "Xing
VBR header"), or VBRI (Fraunhofer).
"""

import struct
from dataclasses import dataclass
from typing import Final

from trawler_worker.fetcher.media.containers import id3
from trawler_worker.fetcher.media.containers.reading import Bytes, Ending

_RATES: Final = {3: (44100, 48000, 32000), 2: (22050, 24000, 16000), 0: (11025, 12000, 8000)}
_KBPS_1: Final = (
    (0, 32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448),
    (0, 32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384),
    (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
)
_KBPS_2: Final = (
    (0, 32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256),
    (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
    (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
)
_LONGEST: Final = 1728
"""Bytes of a frame of layer II or III at most."""
_IN_A_ROW: Final = 3
_SEARCH: Final = 64 * 1024
"""Bytes behind the tags in which the first frame is looked for."""


@dataclass(frozen=True)
class Frame:
    """One frame of MPEG audio."""

    length: int
    side: int
    """Bytes between its header and what Xing writes."""


def frame(head: bytes) -> Frame | None:
    """What four bytes say, if they are the head of a frame of layer I to III."""
    if len(head) < 4 or head[0] != 0xFF or head[1] & 0xE0 != 0xE0:
        return None
    version, layer = head[1] >> 3 & 3, head[1] >> 1 & 3
    rate, kind = head[2] >> 4, head[2] >> 2 & 3
    if version == 1 or layer == 0 or rate in {0, 15} or kind == 3:
        return None
    hertz = _RATES[version][kind]
    bits = 1000 * (_KBPS_1 if version == 3 else _KBPS_2)[3 - layer][rate]
    padding = head[2] >> 1 & 1
    if layer == 3:
        length = (12 * bits // hertz + padding) * 4
    else:
        samples = 72 if layer == 1 and version != 3 else 144
        length = samples * bits // hertz + padding
    mono = head[3] >> 6 == 3
    side = (17 if mono else 32) if version == 3 else (9 if mono else 17)
    return Frame(length=length, side=side)


def first(data: Bytes) -> tuple[int, Frame] | None:
    """Where the sound begins: a frame that another one follows, or the end."""
    begin = id3.behind(data)
    window = data.at(begin, _SEARCH)
    at = window.find(b"\xff")
    while at >= 0:
        found = frame(window[at : at + 4])
        if found is not None:
            behind = begin + at + found.length
            if behind >= data.size or frame(data.at(behind, 4)) is not None:
                return begin + at, found
        at = window.find(b"\xff", at + 1)
    return None


def follows(head: bytes) -> bool:
    """Whether frames follow each other behind the rest of one: a recording of a station begins
    anywhere.
    """
    at = head.find(b"\xff", 0, _LONGEST)
    while at >= 0:
        if _go_on(head, at):
            return True
        at = head.find(b"\xff", at + 1, _LONGEST)
    return False


def _go_on(head: bytes, begin: int) -> bool:
    at = begin
    for _ in range(_IN_A_ROW):
        found = frame(head[at : at + 4])
        if found is None or not _alike(head, begin, at):
            return False
        at += found.length
    return True


def _alike(head: bytes, one: int, other: int) -> bool:
    """Two frames of one stream: the same version, layer and rate of samples (ISO/IEC 11172-3,
    2.4.2.3).
    """
    same = head[one + 1] & 0xFE == head[other + 1] & 0xFE
    return same and head[one + 2] & 0x0C == head[other + 2] & 0x0C


def ending(data: Bytes) -> Ending:
    """Of an MP3."""
    if id3.behind(data) >= data.size:
        return Ending.CUT
    found = first(data)
    if found is None:
        return Ending.UNKNOWN
    at, opening = found
    announced = _announced(data.at(at, 512), opening)
    if announced is None:
        return Ending.UNKNOWN
    missing = at + announced - data.size
    if missing > 2 * opening.length:
        return Ending.CUT
    # some count the first frame and some do not: a fortieth of a second nobody can tell
    return Ending.WHOLE if missing <= 0 else Ending.UNKNOWN


def _announced(opening: bytes, head: Frame) -> int | None:
    """Bytes of all frames, by the first one."""
    xing = opening[4 + head.side :]
    if xing[:4] in {b"Xing", b"Info"} and len(xing) >= 16:
        flags = xing[7]
        at = 8 + 4 * bool(flags & 1)
        if flags & 2:
            return int(struct.unpack(">I", xing[at : at + 4])[0]) or None
        return None
    vbri = opening[36:]
    if vbri[:4] == b"VBRI" and len(vbri) >= 14:
        return int(struct.unpack(">I", vbri[10:14])[0]) or None
    return None


def is_adts(head: bytes) -> bool:
    """Whether raw AAC begins here: two frames in a row, or one that is all there is."""
    if len(head) < 7 or head[0] != 0xFF or head[1] & 0xF6 != 0xF0:
        return False
    length = (head[3] & 3) << 11 | head[4] << 3 | head[5] >> 5
    if length < 7:
        return False
    following = head[length : length + 2]
    return len(following) < 2 or (following[0] == 0xFF and following[1] & 0xF6 == 0xF0)
