"""The picture that stands for a video or a piece of music: as a file of its own, or inside of sound."""

import importlib
import threading
from contextlib import closing
from pathlib import Path
from types import ModuleType
from typing import Final

from trawler_crds import addresses
from trawler_crds.media_job import Limits, Media, MediaKind
from trawler_worker.fetcher.engines.base import Fetched
from trawler_worker.fetcher.engines.direct import Download
from trawler_worker.fetcher.errors import FetchError
from trawler_worker.fetcher.http import Client
from trawler_worker.fetcher.inspection import Inspected

WITHIN: Final = 10.0
"""Seconds for a site's own picture."""
LIMITS: Final = Limits(max_bytes=10_000_000)


def is_wanted(media: Media) -> bool:
    """Whether a site's own picture is worth a request."""
    return media.thumbnail or media.kind is MediaKind.AUDIO


def fetch(client: Client, address: object, path: Path) -> Path | None:
    """The site's own picture, unless it is long in coming: nothing fails for want of it."""
    if not isinstance(address, str) or not address or addresses.fault(address):
        return None
    own = client.sibling()
    clock = threading.Timer(WITHIN, own.interrupt)
    clock.start()
    try:
        with closing(own):
            Download(address, LIMITS, path, lambda *_: None).run(own)
    except (FetchError, OSError):
        path.unlink(missing_ok=True)
        return None
    finally:
        clock.cancel()
    return path


def thumbnail(file: Fetched, path: Path, seen: Inspected, media: Media) -> Path | None:
    """Where it was asked for: the site's own, else one of the film."""
    if not media.thumbnail or seen.kind.image:
        return None
    out = path.with_name(f"{path.stem}-thumbnail.jpg")
    covers = _library()
    if file.picture is not None and covers.of_site(file.picture, out):
        return out
    return out if seen.inside.video and covers.of_film(path, seen, out) else None


def cover(file: Fetched, path: Path, seen: Inspected, media: Media) -> Path | None:
    """For sound that is made here: the site's own, else what the file carries."""
    if seen.kind.image or (seen.inside.video and media.kind is not MediaKind.AUDIO):
        return None
    out = path.with_name(f"{path.stem}-cover.jpg")
    covers = _library()
    if file.picture is not None and covers.of_site(file.picture, out, side=covers.COVER_SIDE):
        return out
    return out if not seen.inside.video and covers.inside(path, seen, out) else None


def _library() -> ModuleType:
    """Loaded by who needs it: each fork would carry it, and few jobs have pictures to make."""
    return importlib.import_module("trawler_worker.fetcher.conversion.covers")
