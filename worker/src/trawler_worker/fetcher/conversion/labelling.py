"""Writes labels (tags and chapters) into media files, during another conversion or on their own."""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from trawler_worker.fetcher.conversion import chapters
from trawler_worker.fetcher.conversion.labels import Labels
from trawler_worker.fetcher.media import ffmpeg
from trawler_worker.fetcher.media.ffmpeg import Input
from trawler_worker.fetcher.media.inspection import Inspected
from trawler_worker.fetcher.media.sniff import FLAC, M4A, MP3, MP4, OGG

TO_MP4: Final = ("-movflags", "+faststart", "-f", "mp4")
ANONYMOUS: Final = ("-map_metadata:g", "-1", "-map_metadata:s", "-1")
"""Options that drop the existing metadata. (Without `g` and `s`, chapters would lose their titles,
too.)
"""
_MUXERS: Final = {
    MP4: TO_MP4,
    M4A: ("-movflags", "+faststart", "-f", "ipod"),
    MP3: ("-f", "mp3"),
    OGG: ("-f", "ogg"),
    FLAC: ("-f", "flac"),
}
"""ffmpeg options of the formats that support chapters. WAV does not."""
_BY_TAGS: Final = frozenset([".opus", ".ogg", ".flac"])
"""Formats whose chapters are written as tags. ffmpeg 5.1 writes no chapters of its own into FLAC,
and half of those in Ogg are a second late (observed).
"""


def labelled(
    inputs: Sequence[Input], labels: Labels, out: Path
) -> tuple[list[Input], tuple[str, ...]]:
    """The inputs, with a metadata file added if there are chapters, and the ffmpeg options for the
    labels.
    """
    if not labels.chapters or out.suffix in _BY_TAGS:
        # chapters come first: ffmpeg moves the last tag before all others, and reads a chapter's
        # name only after its time (observed)
        named = chapters.comments(labels.chapters)
        return [*inputs], (*named, *labels.tags, "-map_chapters", "-1")
    said = chapters.metadata(labels.chapters)
    written = ffmpeg.chapters(said, out.with_name(f"{out.stem}-chapters.txt"))
    return [*inputs, written], (*labels.tags, "-map_chapters", str(len(inputs)))


def takes(seen: Inspected) -> bool:
    """Whether this kind of file can be labelled without re-encoding."""
    return seen.kind in _MUXERS


def label(path: Path, seen: Inspected, labels: Labels, out: Path) -> None:
    """Copy all tracks into a new file with labels. Raises FetchError."""
    inputs, said = labelled([Input(path=path, kind=seen.kind)], labels, out)
    ffmpeg.run(inputs, ["-map", "0", "-c", "copy", *said, *_MUXERS[seen.kind]], out)
