"""Chooses the video quality to request next. A quality is the number of pixels of the shorter side,
as people name it. Pure.
"""

from collections.abc import Iterable
from typing import Final

from trawler_crds.media_job import MediaFile

HEIGHTS: Final = (2160, 1440, 1080, 720, 480, 360, 240, 144)
"""Qualities that sites offer, in pixels of the shorter side."""
MIDDLING: Final = 480
"""The quality to request if nothing is known about the video: seldom the largest, and seldom too
small to watch.
"""
GROWTH: Final = 1.5
"""Exponent by which the bytes of a video grow with its quality: sites give 1080p some 3.2 times the
bits of 480p.
"""
MARGIN: Final = 0.9
"""Share of a size limit to aim at: bit rates are not exact multiples of each other."""


def smaller_than(files: Iterable[MediaFile], asked: int | None) -> int | None:
    """The next quality (pixels of the shorter side) below that of the files and below the requested
    one. A medium quality if neither is known; None if there is no lower one.
    """
    videos = (file for file in files if file.type.startswith("video/"))
    seen = [quality for file in videos if (quality := quality_of(file))]
    least = min([*seen, *([asked] if asked else [])], default=None)
    if least is None:
        return MIDDLING
    return next((each for each in HEIGHTS if each < least), None)


def smaller_to_fit(files: Iterable[MediaFile], asked: int | None, limit: int) -> int | None:
    """The highest quality that is expected to fit the limit and is lower than the current one; None
    as in `smaller_than`.
    """
    videos = [file for file in files if file.type.startswith("video/")]
    lower = smaller_than(videos, asked)
    if lower is None:
        return None
    fitting = [lower]
    for file in videos:
        quality = quality_of(file)
        if quality and file.bytes > limit:
            room = quality * (limit * MARGIN / file.bytes) ** (1 / GROWTH)
            fitting.append(next((each for each in HEIGHTS if each <= room), HEIGHTS[-1]))
    return min(fitting)


def quality_of(file: MediaFile) -> int | None:
    """The quality as people name it: pixels of the shorter side."""
    sides = [side for side in (file.width, file.height) if side]
    return min(sides, default=None)
