"""Whether a file ends where its own container says. A cut file still plays its beginning, and
ffprobe reads a duration from a header whose data never came: so the structure is walked.
"""

import struct
from pathlib import Path
from typing import BinaryIO, Final

from trawler_worker.fetcher.sniff import FileType

_UNKNOWN: Final = -1


def is_whole(path: Path, kind: FileType) -> bool:
    """False where the container announces bytes that are not there. True where it cannot tell."""
    size = path.stat().st_size
    with path.open("rb") as file:
        if kind.demuxer == "mov":
            return _boxes(file, size)
        if kind.demuxer == "matroska":
            return _segment(file, size)
        if kind.extension in {"wav", "avi", "webp"}:
            return _riff(file, size)
        if kind.extension == "jpg":
            return b"\xff\xd9" in _tail(file, size, 4096)
        if kind.extension == "png":
            return b"IEND" in _tail(file, size, 64)
        if kind.extension == "gif":
            return _tail(file, size, 16).rstrip(b"\0").endswith(b"\x3b")
    return True


def _tail(file: BinaryIO, size: int, count: int) -> bytes:
    file.seek(max(0, size - count))
    return file.read(count)


def _boxes(file: BinaryIO, size: int) -> bool:
    """ISO/IEC 14496-12: top-level boxes fill the file, and there is an index and data."""
    at, seen = 0, set()
    while at < size:
        file.seek(at)
        head = file.read(16)
        if len(head) < 8:
            return False
        length, name = struct.unpack(">I4s", head[:8])
        if length == 1:
            if len(head) < 16:
                return False
            length = struct.unpack(">Q", head[8:16])[0]
        elif length == 0:
            length = size - at
        if length < 8 or at + length > size:
            return False
        seen.add(name)
        at += length
    return b"moov" in seen or b"meta" in seen


def _number(file: BinaryIO, *, keep_marker: bool) -> int | None:
    """A variable-length integer of EBML (RFC 8794, section 4); -1 for "unknown"."""
    first = file.read(1)
    if not first or first[0] == 0:
        return None
    length = 9 - first[0].bit_length()
    rest = file.read(length - 1)
    if len(rest) != length - 1:
        return None
    value = first[0] if keep_marker else first[0] & ((1 << (8 - length)) - 1)
    for byte in rest:
        value = value << 8 | byte
    if not keep_marker and value == (1 << (7 * length)) - 1:
        return _UNKNOWN
    return value


def _segment(file: BinaryIO, size: int) -> bool:
    """RFC 9559: the EBML header, then one Segment that must not end beyond the file."""
    for _ in range(2):
        element = _number(file, keep_marker=True)
        length = _number(file, keep_marker=False)
        if element is None or length is None:
            return False
        if length == _UNKNOWN:
            return True
        if file.tell() + length > size:
            return False
        if element == 0x18538067:  # Segment
            return True
        file.seek(length, 1)
    return True


def _riff(file: BinaryIO, size: int) -> bool:
    head = file.read(8)
    if len(head) < 8:
        return False
    announced = struct.unpack("<I", head[4:8])[0]
    return bool(announced == 0xFFFFFFFF or announced + 8 <= size + 1)
