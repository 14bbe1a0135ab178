"""Still pictures: into what browsers show, and no larger than they may be. Pillow reads here what ffmpeg does not: the
tiles of a phone's HEIC, which way up an AVIF is, and colour profiles.
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

MOST_PIXELS: Final = 100_000_000
QUALITIES: Final = (85, 70, 55)
"""Of WebP, tried one after the other where a picture has to become smaller."""
_LEAST_SIDE: Final = 320
_BROKEN: Final = "The file that the site sent is broken."


def frames(path: Path) -> int:
    """How many pictures it holds: more than one moves. Raises FetchError."""
    with _opened(path) as picture:
        return int(getattr(picture, "n_frames", 1))


def to_webp(path: Path, out: Path, *, limit: int | None = None) -> bool:
    """The same picture, upright, as WebP; of at most so many bytes, if need be with fewer pixels. Whether it fits.
    Raises FetchError.
    """
    with _opened(path) as picture:
        upright = ImageOps.exif_transpose(picture)
        profile = picture.info.get("icc_profile")
        shown = upright if upright.mode in {"RGB", "RGBA"} else upright.convert(_mode(upright))
        while True:
            for quality in QUALITIES if limit is not None else QUALITIES[:1]:
                shown.save(out, "WEBP", quality=quality, method=4, icc_profile=profile)
                if limit is None or out.stat().st_size <= limit:
                    return True
            scale = math.sqrt((limit or 1) / out.stat().st_size) * 0.9
            width, height = round(shown.width * scale), round(shown.height * scale)
            if min(width, height) < _LEAST_SIDE:
                return False
            shown = shown.resize((width, height))


def to_moving_png(path: Path, out: Path) -> None:
    """A moving picture that ffmpeg cannot read, as one that it can. Raises FetchError."""
    with _opened(path) as picture:
        picture.save(out, "PNG", save_all=True)


def _mode(picture: Image.Image) -> str:
    return "RGBA" if "A" in picture.getbands() or "transparency" in picture.info else "RGB"


@contextmanager
def _opened(path: Path) -> Iterator[Image.Image]:
    """Raises FetchError where it cannot be read."""
    try:
        with Image.open(path) as picture:
            if picture.width * picture.height > MOST_PIXELS:
                raise FetchError(FailureReason.TOO_LARGE, "This picture has too many pixels.")
            yield picture
    except FetchError:
        raise
    except MemoryError:
        raise
    except Exception as error:  # its readers raise what they like
        raise FetchError(FailureReason.SITE_ERROR, _BROKEN) from error
