"""How large pictures may be, and how many bits they need. Pure."""

from dataclasses import dataclass
from typing import Final

LEAST_BITS: Final = 0.018
"""Bits for each pixel of each picture below which H.264 is not worth watching: of 1080p with 30
pictures a second, a minute in 8 MB.
"""
SIDES: Final = (1080, 720, 540, 480, 360, 240)
"""Pixels of the shorter side, from large to small."""
MOST_SOUND: Final = 96_000
LEAST_SOUND: Final = 32_000
_SPEED: Final = 60e6
"""Pixels a second that one core codes, from what was measured: 1080p with 30 pictures a second as
fast as it plays.
"""
_READING: Final = 0.4
"""What reading a pixel costs, for coding one."""
_SOUND_SHARE: Final = 0.15
_RESERVE: Final = 0.94
"""Of the limit: containers, and what libx264 misses its aim by."""


@dataclass(frozen=True)
class Size:
    """Pixels."""

    width: int
    height: int

    def within(self, long: int, short: int) -> "Size":
        """The same shape, no larger than that; even."""
        longer, shorter = max(self.width, self.height), min(self.width, self.height)
        scale = min(1.0, long / longer, short / shorter)
        return even(Size(round(self.width * scale), round(self.height * scale)))

    @property
    def shorter(self) -> int:
        return min(self.width, self.height)


def even(size: Size) -> Size:
    """As H.264 takes it: what is odd loses a line."""
    return Size(max(2, size.width // 2 * 2), max(2, size.height // 2 * 2))


@dataclass(frozen=True, kw_only=True)
class Budget:
    """Bits per second."""

    video: int
    sound: int


def budget(limit: int, seconds: float, *, sound: bool) -> Budget:
    """How many bits a second of a film may have, so that all of it stays below so many bytes."""
    bits = limit * 8 * _RESERVE / max(seconds, 0.1)
    share = 0
    if sound:
        share = int(min(MOST_SOUND, max(LEAST_SOUND, bits * _SOUND_SHARE)))
    return Budget(video=int(bits) - share, sound=share)


def worth_watching(size: Size, rate: float, video: int) -> Size | None:
    """The largest size, up to its own, at which so many bits a second are enough; None where none
    is.
    """
    for side in SIDES:
        smaller = size.within(10_000, side)
        if video >= LEAST_BITS * smaller.width * smaller.height * rate:
            return smaller
    return None


def coding_seconds(source: Size, to: Size, *, rate: float, seconds: float, passes: int) -> float:
    """About how long it takes to code a film anew."""
    pixels = _READING * source.width * source.height + to.width * to.height
    return pixels * rate * seconds * passes / _SPEED
