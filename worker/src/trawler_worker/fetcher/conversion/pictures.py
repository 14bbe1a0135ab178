"""Converts still pictures to formats that browsers show, within the size limit. Pillow handles what
ffmpeg does not: tiled HEIC from phones, the orientation of AVIF, and colour profiles.
"""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import pillow_heif
from PIL import Image, ImageOps

from trawler_crds.failures import FailureReason
from trawler_worker.fetcher.errors import FetchError

pillow_heif.register_heif_opener()

MOST_PIXELS: Final = 30_000_000
"""Maximum number of pixels to decode at once, at about ten bytes of memory each. A larger picture
is delivered as it is.
"""
LONGEST_SIDE: Final = 16_383
"""Maximum side in pixels of a WebP (its format stores 14 bits)."""
QUALITIES: Final = (85, 70, 55)
"""WebP qualities to try in order when a picture must become smaller."""
_LEAST_SIDE: Final = 320
_BROKEN: Final = "The file that the site sent is broken."


def frames(path: Path) -> int:
    """The number of frames; more than one means that the picture is animated. Raises FetchError."""
    with opened(path) as picture:
        return int(getattr(picture, "n_frames", 1))


def is_small_enough(path: Path) -> bool:
    """Whether all frames can be decoded within a job's memory. Raises FetchError."""
    with opened(path) as picture:
        count = int(getattr(picture, "n_frames", 1))
        return picture.width * picture.height * count <= MOST_PIXELS


def to_webp(path: Path, out: Path, *, limit: int | None = None) -> bool:
    """Convert a picture to WebP in its upright orientation. With a limit in bytes, reduce quality
    and then pixels until it fits. Returns whether it fits. Raises FetchError.
    """
    with opened(path) as picture:
        profile = picture.info.get("icc_profile") if picture.mode in {"RGB", "RGBA"} else None
        ImageOps.exif_transpose(picture, in_place=True)
        shown = _colours(picture)
        scale = min(1.0, LONGEST_SIDE / max(shown.size))
        while True:
            if scale < 1.0:
                shown = shown.resize(
                    (max(1, round(shown.width * scale)), max(1, round(shown.height * scale)))
                )
            for quality in QUALITIES if limit is not None else QUALITIES[:1]:
                shown.save(out, "WEBP", quality=quality, method=4, icc_profile=profile)
                if limit is None or out.stat().st_size <= limit:
                    return True
            scale = min(0.9, math.sqrt((limit or 1) / out.stat().st_size) * 0.9)
            if min(shown.size) * scale < _LEAST_SIDE:
                return False


def to_moving_png(path: Path, out: Path) -> None:
    """Convert an animated picture that ffmpeg cannot read to animated PNG. Raises FetchError."""
    with opened(path) as picture:
        picture.save(out, "PNG", save_all=True)


def _colours(picture: Image.Image) -> Image.Image:
    """Convert to 8-bit RGB or RGBA."""
    if picture.mode in {"RGB", "RGBA"}:
        return picture
    if picture.mode.startswith("I;16") or picture.mode == "I":
        return picture.point(lambda value: value / 257).convert("L").convert("RGB")
    return picture.convert(_mode(picture))


def _mode(picture: Image.Image) -> str:
    return "RGBA" if "A" in picture.getbands() or "transparency" in picture.info else "RGB"


@contextmanager
def opened(path: Path, *, kinds: tuple[str, ...] | None = None) -> Iterator[Image.Image]:
    """Open a picture. Raises FetchError if it cannot be read."""
    try:
        with Image.open(path, formats=kinds) as picture:
            yield picture
    except FetchError:
        raise
    except MemoryError:
        raise
    except Exception as error:  # Pillow's decoders raise anything
        raise FetchError(FailureReason.SITE_ERROR, _BROKEN) from error
