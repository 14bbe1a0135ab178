"""FLAC (RFC 9639): STREAMINFO counts the samples, each frame says where it is and carries a
checksum.
"""

from typing import Final

from trawler_worker.fetcher.media.containers import id3
from trawler_worker.fetcher.media.containers.reading import Bytes, Ending

_TAIL: Final = 1024 * 1024
_BLOCKS: Final = {1: 192, 2: 576, 3: 1152, 4: 2304, 5: 4608}


def _table(polynomial: int, bits: int) -> tuple[int, ...]:
    top, mask = 1 << bits - 1, (1 << bits) - 1
    found = []
    for byte in range(256):
        value = byte << bits - 8
        for _ in range(8):
            value = (value << 1 ^ polynomial if value & top else value << 1) & mask
        found.append(value)
    return tuple(found)


_CRC_8: Final = _table(0x07, 8)
_CRC_16: Final = _table(0x8005, 16)


def ending(data: Bytes) -> Ending:
    """By the number of the last frame; whole only where that frame's checksum is right."""
    begin = id3.behind(data)
    head = data.at(begin, 42)
    if len(head) < 42 or head[4] & 0x7F:
        return Ending.CUT
    info = head[8:]
    block = int.from_bytes(info[0:2], "big")
    total = int.from_bytes(info[13:18], "big") & 0xFFFFFFFFF
    biggest = int.from_bytes(info[7:10], "big") or 64 * 1024
    if not total:
        return Ending.UNKNOWN
    _, tail = data.tail(min(_TAIL, 2 * biggest + 8192))
    last = _last_frame(tail, block, total)
    if last is None:
        return Ending.CUT
    # a tag behind the last frame, or a last frame that is cut: less than one frame is in doubt
    return Ending.WHOLE if _crc_16(tail[last:]) == 0 else Ending.UNKNOWN


def _last_frame(tail: bytes, block: int, total: int) -> int | None:
    """Where the frame begins that has the last sample. Sound may look like the head of another
    frame.
    """
    at = len(tail)
    while (at := tail.rfind(b"\xff", 0, at)) >= 0:
        if at + 1 < len(tail) and tail[at + 1] in {0xF8, 0xF9}:
            samples = _samples_at(tail[at : at + 18], block)
            if samples is not None and samples >= total:
                return at
    return None


def _samples_at(head: bytes, block: int) -> int | None:
    """Samples up to the end of the frame that begins here; None where none does (9.1)."""
    if len(head) < 6:
        return None
    size, rate = head[2] >> 4, head[2] & 15
    number, at = _coded_number(head, 4)
    if number is None or size == 0 or rate == 15:
        return None
    if size in {6, 7}:
        length = int.from_bytes(head[at : at + size - 5], "big") + 1
        at += size - 5
    else:
        length = _BLOCKS.get(size) or 256 << size - 8
    at += {12: 1, 13: 2, 14: 2}.get(rate, 0)
    if at >= len(head):
        return None
    crc = 0
    for byte in head[:at]:
        crc = _CRC_8[crc ^ byte]
    if crc != head[at]:
        return None
    return number + length if head[1] & 1 else number * block + length


def _coded_number(head: bytes, at: int) -> tuple[int | None, int]:
    """Written as UTF-8 writes characters, up to seven bytes."""
    first = head[at]
    if first < 0x80:
        return first, at + 1
    more = 7 - (first ^ 0xFF).bit_length()
    if not 1 <= more <= 6:
        return None, at
    value = first & (1 << 6 - more) - 1
    rest = head[at + 1 : at + 1 + more]
    if len(rest) < more or any(byte & 0xC0 != 0x80 for byte in rest):
        return None, at
    for byte in rest:
        value = value << 6 | byte & 0x3F
    return value, at + 1 + more


def _crc_16(data: bytes) -> int:
    crc = 0
    for byte in data:
        crc = (crc << 8 & 0xFFFF) ^ _CRC_16[crc >> 8 ^ byte]
    return crc
