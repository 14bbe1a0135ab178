"""Computes the size of pictures and the bit rates they need. Pure."""

from dataclasses import dataclass
from typing import Final

LEAST_BITS: Final = 0.018
"""Minimum bits per pixel and frame. H.264 with fewer is not worth watching. At this rate, one
minute of 1080p at 30 frames per second takes 8 MB.
"""
SIDES: Final = (1080, 720, 540, 480, 360, 240)
"""Candidate lengths of the shorter side in pixels, from large to small."""
MOST_SOUND: Final = 96_000
LEAST_SOUND: Final = 32_000
_SPEED: Final = 60e6
"""Pixels per second that one core encodes (measured): 1080p at 30 frames per second takes as long
as it plays.
"""
_READING: Final = 0.4
"""Cost of decoding a pixel, relative to encoding one."""
_SOUND_SHARE: Final = 0.15
_RESERVE: Final = 0.94
"""Share of the limit to aim for. The rest covers the container and the error of libx264's rate
control.
"""


@dataclass(frozen=True)
class Size:
    """Width and height in pixels."""

    width: int
    height: int

    def within(self, long: int, short: int) -> "Size":
        """Scale down to fit these sides, with the same shape and even sides."""
        longer, shorter = max(self.width, self.height), min(self.width, self.height)
        scale = min(1.0, long / longer, short / shorter)
        return even(Size(round(self.width * scale), round(self.height * scale)))

    @property
    def shorter(self) -> int:
        return min(self.width, self.height)


def even(size: Size) -> Size:
    """Round both sides down to even numbers, as H.264 requires."""
    return Size(max(2, size.width // 2 * 2), max(2, size.height // 2 * 2))


@dataclass(frozen=True, kw_only=True)
class Budget:
    """Bit rates in bits per second."""

    video: int
    sound: int


def budget(limit: int, seconds: float, *, sound: bool) -> Budget:
    """The bit rates at which a video of this length stays below `limit` bytes."""
    bits = limit * 8 * _RESERVE / max(seconds, 0.1)
    share = 0
    if sound:
        share = int(min(MOST_SOUND, max(LEAST_SOUND, bits * _SOUND_SHARE)))
    return Budget(video=int(bits) - share, sound=share)


def worth_watching(size: Size, rate: float, video: int) -> Size | None:
    """The largest size, up to the video's own, for which this bit rate is enough; None if there is
    none.
    """
    for side in SIDES:
        smaller = size.within(10_000, side)
        if video >= LEAST_BITS * smaller.width * smaller.height * rate:
            return smaller
    return None


def coding_seconds(source: Size, to: Size, *, rate: float, seconds: float, passes: int) -> float:
    """Estimated time in seconds to re-encode a video."""
    pixels = _READING * source.width * source.height + to.width * to.height
    return pixels * rate * seconds * passes / _SPEED
