"""Still pictures: into what browsers show, and no larger than they may be. Pillow reads here what
ffmpeg does not: the tiles of a phone's HEIC, which way up an AVIF is, and colour profiles.
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
"""Of what is decoded at once: some ten bytes of memory each. A larger picture is delivered as it
is.
"""
LONGEST_SIDE: Final = 16_383
"""Of a WebP (its format has 14 bits for it)."""
QUALITIES: Final = (85, 70, 55)
"""Of WebP, tried one after the other where a picture has to become smaller."""
_LEAST_SIDE: Final = 320
_BROKEN: Final = "The file that the site sent is broken."


def frames(path: Path) -> int:
    """How many pictures it holds: more than one moves. Raises FetchError."""
    with opened(path) as picture:
        return int(getattr(picture, "n_frames", 1))


def is_small_enough(path: Path) -> bool:
    """Whether all that it holds can be decoded within a job's memory. Raises FetchError."""
    with opened(path) as picture:
        count = int(getattr(picture, "n_frames", 1))
        return picture.width * picture.height * count <= MOST_PIXELS


def to_webp(path: Path, out: Path, *, limit: int | None = None) -> bool:
    """The same picture, upright, as WebP; of at most so many bytes, if need be with fewer pixels.
    Whether it fits. Raises FetchError.
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
    """A moving picture that ffmpeg cannot read, as one that it can. Raises FetchError."""
    with opened(path) as picture:
        picture.save(out, "PNG", save_all=True)


def _colours(picture: Image.Image) -> Image.Image:
    """In eight bits, red, green and blue."""
    if picture.mode in {"RGB", "RGBA"}:
        return picture
    if picture.mode.startswith("I;16") or picture.mode == "I":
        return picture.point(lambda value: value / 257).convert("L").convert("RGB")
    return picture.convert(_mode(picture))


def _mode(picture: Image.Image) -> str:
    return "RGBA" if "A" in picture.getbands() or "transparency" in picture.info else "RGB"


@contextmanager
def opened(path: Path, *, kinds: tuple[str, ...] | None = None) -> Iterator[Image.Image]:
    """Raises FetchError where it cannot be read."""
    try:
        with Image.open(path, formats=kinds) as picture:
            yield picture
    except FetchError:
        raise
    except MemoryError:
        raise
    except Exception as error:  # its readers raise what they like
        raise FetchError(FailureReason.SITE_ERROR, _BROKEN) from error
