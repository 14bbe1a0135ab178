"""What a file is: one look at its head, its structure and its streams, from which everything else
follows.
"""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from trawler_crds.failures import FailureReason
from trawler_worker.fetcher.errors import FetchError
from trawler_worker.fetcher.media import streams
from trawler_worker.fetcher.media.containers.boxes import is_indexed
from trawler_worker.fetcher.media.containers.ending import ending_of
from trawler_worker.fetcher.media.containers.reading import Bytes, Ending
from trawler_worker.fetcher.media.containers.upright import Shown, shown
from trawler_worker.fetcher.media.sniff import (
    M4A,
    MATROSKA,
    MATROSKA_SOUND,
    MP4,
    OGG,
    OGG_VIDEO,
    WEBM,
    WEBM_SOUND,
    FileType,
    sniff_file,
)

_ONLY_SOUND: Final = {MP4: M4A, MATROSKA: MATROSKA_SOUND, WEBM: WEBM_SOUND, OGG_VIDEO: OGG}
_WITH_PICTURES: Final = {M4A: MP4, OGG: OGG_VIDEO}


_OFTEN_CUT: Final = frozenset(["mp3", "ogg", "flac"])
"""Previews and re-cut podcasts keep the first frame of the whole, what is cut without coding it
anew keeps its count of samples, and radio stations break off.
"""


@dataclass(frozen=True, kw_only=True)
class Inspected:
    """A file of ours in scratch."""

    kind: FileType
    inside: streams.Probe
    """Width and height are those of the upright picture."""
    ending: Ending
    upright: bool = True
    """Its pictures are coded as they are shown."""
    indexed: bool = True
    """Of an MP4: its index stands in front of all else, and is one for the whole."""

    @property
    def quality(self) -> int | None:
        """What people call its quality: pixels of the shorter side."""
        sides = [side for side in (self.inside.width, self.inside.height) if side]
        return min(sides) if sides else None


def inspect(path: Path, *, measured: bool = False) -> Inspected:
    """Look at a file, of which all came that was announced or not. Raises FetchError: NotSupported
    where it is nothing that we know, SiteError where it is empty, cut or broken.
    """
    if (size := path.stat().st_size) == 0:
        raise FetchError(FailureReason.SITE_ERROR, "The site sent an empty file.")
    with path.open("rb") as file:
        kind = sniff_file(file, size)
        seen = Shown()
        indexed = True
        if kind is not None:
            seen = shown(Bytes(file, size), kind.demuxer, image=kind.image)
            indexed = kind.demuxer != "mov" or kind.image or is_indexed(Bytes(file, size))
    if kind is None:
        raise FetchError(
            FailureReason.NOT_SUPPORTED, "What the site sent is not media that we know."
        )
    ending = ending_of(path, kind)
    if ending is Ending.CUT and measured and kind.demuxer in _OFTEN_CUT:
        ending = Ending.UNKNOWN
    if ending is Ending.CUT:
        raise FetchError(FailureReason.SITE_ERROR, "The site sent only a part of the file.")
    inside = streams.probe(path, kind)
    if seen.size is not None:
        inside = replace(inside, width=seen.size[0], height=seen.size[1])
    elif seen.turned:
        inside = replace(inside, width=inside.height, height=inside.width)
    return Inspected(
        kind=_named(kind, inside),
        inside=inside,
        ending=ending,
        upright=not seen.tilted,
        indexed=indexed,
    )


def _named(kind: FileType, inside: streams.Probe) -> FileType:
    """A container for both, by what is in it."""
    if kind.image:
        return kind
    by = _WITH_PICTURES if inside.video else _ONLY_SOUND if inside.audio else {}
    return by.get(kind, kind)
