"""The picture that stands for a video or a piece of music: as a file of its own, or inside of
sound.
"""

import importlib
from pathlib import Path
from types import ModuleType

from trawler_crds.media_job import Media, MediaKind
from trawler_worker.fetcher.engines.base import Fetched
from trawler_worker.fetcher.media.inspection import Inspected


def thumbnail(file: Fetched, path: Path, seen: Inspected, media: Media) -> Path | None:
    """Where it was asked for: the site's own, else one of the film."""
    if not media.thumbnail or seen.kind.image:
        return None
    out = path.with_name(f"{path.stem}-thumbnail.jpg")
    covers = _library()
    own = file.picture()
    if own is not None and covers.of_site(own, out):
        return out
    return out if seen.inside.video and covers.of_film(path, seen, out) else None


def cover(file: Fetched, path: Path, seen: Inspected, media: Media) -> Path | None:
    """For sound that is made here: the site's own, else what the file carries."""
    if seen.kind.image or (seen.inside.video and media.kind is not MediaKind.AUDIO):
        return None
    out = path.with_name(f"{path.stem}-cover.jpg")
    covers = _library()
    own = file.picture()
    if own is not None and covers.of_site(own, out, side=covers.COVER_SIDE):
        return out
    return out if not seen.inside.video and covers.inside(path, seen, out) else None


def _library() -> ModuleType:
    """Loaded by who needs it: each fork would carry it, and few jobs have pictures to make."""
    return importlib.import_module("trawler_worker.fetcher.conversion.covers")
