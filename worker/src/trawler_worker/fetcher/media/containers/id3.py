"""Tags before and behind sound: ID3v2 (id3.org, ID3v2.4 structure, section 3.1)."""

from typing import Final

from trawler_worker.fetcher.media.containers.reading import Bytes

HEADER: Final = 10
MAX_TAGS: Final = 16


def length(head: bytes) -> int | None:
    """Bytes of the tag that begins here, with its header and footer; None where none does."""
    if len(head) < HEADER or head[:3] != b"ID3" or max(head[6:10]) > 127 or 0xFF in head[3:5]:
        return None
    size = head[6] << 21 | head[7] << 14 | head[8] << 7 | head[9]
    return HEADER + size + (HEADER if head[5] & 0x10 else 0)


def behind(data: Bytes) -> int:
    """Where the sound begins: behind all tags, which may be behind the end of a cut file."""
    at = 0
    for _ in range(MAX_TAGS):
        found = length(data.at(at, HEADER))
        if found is None:
            break
        at += found
    return at
