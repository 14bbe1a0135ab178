"""How a picture or a film is to be shown: turned on its side or not, and how large, where its
streams say only something else.
"""

import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from trawler_worker.fetcher.media.containers import heif, matroska
from trawler_worker.fetcher.media.containers.boxes import boxes, child, tracks
from trawler_worker.fetcher.media.containers.reading import Bytes, TooManyParts

_ONE: Final = 0x10000
"""1.0 in the matrix of a film."""
_SCAN: Final = 0xDA
_EXIF: Final = 0xE1
_ORIENTATION: Final = 0x0112
_ON_ITS_SIDE: Final = frozenset([5, 6, 7, 8])


@dataclass(frozen=True)
class Shown:
    """What the file says of it."""

    turned: bool = False
    """Width and height of the streams change places."""
    tilted: bool = False
    """It is shown in another way than it is coded: turned, upside down or mirrored."""
    size: tuple[int, int] | None = None
    """Of the upright picture, where the file says it by itself."""


def shown(data: Bytes, demuxer: str, *, image: bool) -> Shown:
    """What a picture or a film that is read with a demuxer says; nothing where it is made of
    absurdly many parts.
    """
    reader = _tiles if image and demuxer == "mov" else _READERS.get(demuxer)
    try:
        return reader(data) if reader is not None else Shown()
    except TooManyParts:
        return Shown()


def _tiles(data: Bytes) -> Shown:
    return Shown(size=heif.size(data))


def _film(data: Bytes) -> Shown:
    matrix = _matrix(data)
    if matrix is None:
        return Shown()
    a, b, _, c, d, *_ = matrix
    turned = abs(b) >= _ONE // 2 and abs(c) >= _ONE // 2 and not a and not d
    return Shown(turned=turned, tilted=bool(b or c or a < 0 or d < 0))


def _matrix(data: Bytes) -> tuple[int, ...] | None:
    """How the first track of pictures is shown (ISO/IEC 14496-12, 8.3.2)."""
    movie = next((b for b in boxes(data, 0, data.size) if b.name == b"moov"), None)
    for track in tracks(data, movie) if movie is not None else []:
        head = child(data, track, b"tkhd")
        kind = child(data, track, b"mdia", b"hdlr")
        if head is None or kind is None or data.at(kind.begin + 8, 4) != b"vide":
            continue
        at = head.begin + (52 if data.at(head.begin, 1) == b"\1" else 40)
        matrix = data.at(at, 36)
        return struct.unpack(">9i", matrix) if len(matrix) == 36 else None
    return None


def _matroska(data: Bytes) -> Shown:
    """The roll of the projection of the first track of pictures (RFC 9559, 5.1.4.1.28.46)."""
    roll = matroska.roll(data)
    turned = roll is not None and 45 < abs(roll) % 180 < 135
    return Shown(turned=turned, tilted=bool(roll))


def _jpeg(data: Bytes) -> Shown:
    """The orientation in Exif (CIPA DC-008): browsers and Discord show it so."""
    at = 2
    for _ in range(256):
        head = data.at(at, 4)
        if head[:2] == b"\xff\xff":
            at += 1  # a fill byte
            continue
        if len(head) < 4 or head[0] != 0xFF or head[1] == _SCAN:
            break
        length = struct.unpack(">H", head[2:])[0]
        body = data.at(at + 4, length - 2) if head[1] == _EXIF and length > 2 else b""
        if body.startswith(b"Exif\0\0"):
            return Shown(turned=_orientation(body[6:]) in _ON_ITS_SIDE)
        at += 2 + length
    return Shown()


def _orientation(tiff: bytes) -> int | None:
    """Of the first directory of a TIFF; None where it does not say."""
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(tiff[:4])
    if order is None or len(tiff) < 8:
        return None
    at = struct.unpack(f"{order}I", tiff[4:8])[0]
    count = tiff[at : at + 2]
    if len(count) < 2:
        return None
    for number in range(struct.unpack(f"{order}H", count)[0]):
        entry = tiff[at + 2 + 12 * number : at + 14 + 12 * number]
        if len(entry) < 12:
            return None
        tag, kind, _, value = struct.unpack(f"{order}HHIH2x", entry)
        if tag == _ORIENTATION:
            return int(value) if kind == 3 else None
    return None


_READERS: Final[dict[str, Callable[[Bytes], Shown]]] = {
    "mov": _film,
    "matroska": _matroska,
    "jpeg_pipe": _jpeg,
}
