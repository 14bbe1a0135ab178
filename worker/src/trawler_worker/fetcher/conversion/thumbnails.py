"""Selects the picture that represents a video or an audio file: as a separate thumbnail, or as a
cover embedded in audio.
"""

import importlib
from pathlib import Path
from types import ModuleType

from trawler_crds.media_job import Media, MediaKind
from trawler_worker.fetcher.engines.base import Fetched
from trawler_worker.fetcher.media.inspection import Inspected


def thumbnail(file: Fetched, path: Path, seen: Inspected, media: Media) -> Path | None:
    """Create the thumbnail, if requested: from the site's own picture, otherwise from the video."""
    if not media.thumbnail or seen.kind.image:
        return None
    out = path.with_name(f"{path.stem}-thumbnail.jpg")
    covers = _library()
    own = file.picture()
    if own is not None and covers.of_site(own, out):
        return out
    return out if seen.inside.video and covers.of_film(path, seen, out) else None


def cover(file: Fetched, path: Path, seen: Inspected, media: Media) -> Path | None:
    """Create the cover for an extracted audio file: from the site's own picture, otherwise from the
    one embedded in the source.
    """
    if seen.kind.image or (seen.inside.video and media.kind is not MediaKind.AUDIO):
        return None
    out = path.with_name(f"{path.stem}-cover.jpg")
    covers = _library()
    own = file.picture()
    if own is not None and covers.of_site(own, out, side=covers.COVER_SIDE):
        return out
    return out if not seen.inside.video and covers.inside(path, seen, out) else None


def _library() -> ModuleType:
    """Imported on demand: otherwise every fork would carry the module, and few jobs create
    pictures.
    """
    return importlib.import_module("trawler_worker.fetcher.conversion.covers")
