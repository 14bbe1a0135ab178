"""Creates preview pictures of videos and audio files: the site's own picture, otherwise a frame of
the video. Long videos get a contact sheet of several frames.
"""

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import av
import av.error
import av.stream
from PIL import Image, ImageOps

from trawler_worker.fetcher.conversion.pictures import opened
from trawler_worker.fetcher.errors import FetchError
from trawler_worker.fetcher.media.ffmpeg import FORMATS
from trawler_worker.fetcher.media.inspection import Inspected

MOST_SIDE: Final = 1280
COVER_SIDE: Final = 800
"""Maximum side in pixels of a cover that is embedded in an audio file."""
QUALITY: Final = 85
LONG: Final = 120.0
"""Length in seconds from which a single frame says little about a video."""
COLUMNS: Final = 4
_CELL: Final = 320
_MOST_PIXELS: Final = 12_000_000
_KINDS: Final = ("JPEG", "PNG", "WEBP", "GIF", "AVIF")


def of_site(path: Path, out: Path, *, side: int = MOST_SIDE) -> bool:
    """Convert the site's own picture to JPEG. Returns False if it is not a readable picture."""
    try:
        with opened(path, kinds=_KINDS) as picture:
            picture.draft("RGB", (side, side))  # decodes a JPEG at a fraction of its size
            if picture.width * picture.height > _MOST_PIXELS:
                return False
            ImageOps.exif_transpose(picture, in_place=True)
            picture.thumbnail((side, side))
            _plain(picture).save(out, "JPEG", quality=QUALITY)
    except (FetchError, MemoryError):
        return False
    return True


def inside(path: Path, seen: Inspected, out: Path) -> bool:
    """Extract the picture embedded in an audio file, as JPEG. Returns False if there is none."""
    raw = out.with_name(f"{out.name}.raw")
    try:
        with _container(path, seen) as f:
            stream = next(
                each
                for each in f.streams.video
                if each.disposition & av.stream.Disposition.attached_pic
            )
            raw.write_bytes(bytes(next(f.demux(stream))))
    except (av.error.FFmpegError, OSError, StopIteration, MemoryError):
        return False
    return of_site(raw, out, side=COVER_SIDE)


def of_film(path: Path, seen: Inspected, out: Path) -> bool:
    """Save one frame of a video, or a contact sheet of sixteen. Returns False if no frame is
    readable.
    """
    seconds = seen.inside.seconds or 0.0
    count = COLUMNS * COLUMNS if seconds >= LONG else 1
    times = [seconds * (at + 0.5) / count for at in range(count)]
    try:
        found = [_small(each) if count > 1 else each for each in _frames(path, seen, times)]
    except (av.error.FFmpegError, OSError, MemoryError):
        return False
    if not found:
        return False
    shown = found[0] if count == 1 else _sheet(found)
    shown.thumbnail((MOST_SIDE, MOST_SIDE))
    shown.save(out, "JPEG", quality=QUALITY)
    return True


def _frames(path: Path, seen: Inspected, times: list[float]) -> Iterator[Image.Image]:
    """The keyframe before each of the given times, as it is displayed."""
    with _container(path, seen) as f:
        stream = f.streams.video[seen.inside.longest_video]
        for at in times:
            if at:
                f.seek(int(at * av.time_base))
            frame = next(f.decode(stream), None)
            if frame is not None:
                yield _upright(frame.to_image(), seen)


def _container(path: Path, seen: Inspected) -> Any:
    closed = {"protocol_whitelist": "file", "format_whitelist": FORMATS}
    return av.open(str(path), format=seen.kind.demuxer, options=closed, metadata_errors="ignore")


def _upright(picture: Image.Image, seen: Inspected) -> Image.Image:
    """Scale a frame to the video's display aspect ratio, and rotate it by 90 degrees if the video
    is stored that way.
    """
    inside = seen.inside
    if inside.width == inside.coded_height and inside.width != inside.coded_width:
        picture = picture.transpose(Image.Transpose.ROTATE_270)
    if inside.width and inside.height and picture.size != (inside.width, inside.height):
        picture = picture.resize((inside.width, inside.height))
    return _plain(picture)


def _small(picture: Image.Image) -> Image.Image:
    """Shrink a frame to the size of a cell on the contact sheet."""
    picture.thumbnail((_CELL, 2 * _CELL))
    return picture


def _sheet(pictures: list[Image.Image]) -> Image.Image:
    """Arrange the frames in rows of four."""
    wide, high = pictures[0].size
    cell = (_CELL, min(2 * _CELL, max(2, round(_CELL * high / wide))))
    lines = math.ceil(len(pictures) / COLUMNS)
    sheet = Image.new("RGB", (cell[0] * COLUMNS, cell[1] * lines))
    for at, picture in enumerate(pictures):
        place = (at % COLUMNS * cell[0], at // COLUMNS * cell[1])
        sheet.paste(ImageOps.pad(picture, cell), place)
    return sheet


def _plain(picture: Image.Image) -> Image.Image:
    return picture if picture.mode == "RGB" else picture.convert("RGB")
