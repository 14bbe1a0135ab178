"""What a file says of itself, put inside of it: with what else is done to it, or by itself."""

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
"""Without what a file said of itself before. (Without `g` and `s` chapters would lose their titles,
too.)
"""
_MUXERS: Final = {
    MP4: TO_MP4,
    M4A: ("-movflags", "+faststart", "-f", "ipod"),
    MP3: ("-f", "mp3"),
    OGG: ("-f", "ogg"),
    FLAC: ("-f", "flac"),
}
"""Of what takes the names of its parts; WAV does not."""
_BY_TAGS: Final = frozenset([".opus", ".ogg", ".flac"])
"""ffmpeg 5.1 writes none of its own into FLAC, and into Ogg half of them a second late (seen)."""


def labelled(
    inputs: Sequence[Input], labels: Labels, out: Path
) -> tuple[list[Input], tuple[str, ...]]:
    """The inputs, with one more where there are chapters, and what ffmpeg is told of the labels."""
    if not labels.chapters or out.suffix in _BY_TAGS:
        # in front: ffmpeg moves the last tag before all others, and reads a name only
        # behind its time (seen)
        named = chapters.comments(labels.chapters)
        return [*inputs], (*named, *labels.tags, "-map_chapters", "-1")
    said = chapters.metadata(labels.chapters)
    written = ffmpeg.chapters(said, out.with_name(f"{out.stem}-chapters.txt"))
    return [*inputs, written], (*labels.tags, "-map_chapters", str(len(inputs)))


def takes(seen: Inspected) -> bool:
    """Whether such a file can have labels, without being made anew."""
    return seen.kind in _MUXERS


def label(path: Path, seen: Inspected, labels: Labels, out: Path) -> None:
    """The same with all its tracks, and with labels. Raises FetchError."""
    inputs, said = labelled([Input(path=path, kind=seen.kind)], labels, out)
    ffmpeg.run(inputs, ["-map", "0", "-c", "copy", *said, *_MUXERS[seen.kind]], out)
