"""Whether a file ends where its own container says."""

from collections.abc import Callable
from pathlib import Path
from typing import Final

from trawler_worker.fetcher.media.containers import (
    flac,
    flv,
    isobmff,
    matroska,
    mpeg_audio,
    ogg,
    pictures,
    riff,
)
from trawler_worker.fetcher.media.containers.reading import Bytes, Ending, TooManyParts
from trawler_worker.fetcher.media.sniff import FileType

_READERS: Final[dict[str, Callable[[Bytes], Ending]]] = {
    "mov": isobmff.ending,
    "matroska": matroska.ending,
    "mp3": mpeg_audio.ending,
    "flac": flac.ending,
    "ogg": ogg.ending,
    "wav": riff.wave_ending,
    "avi": riff.ending,
    "webp_pipe": riff.ending,
    "flv": flv.ending,
    "jpeg_pipe": pictures.jpeg_ending,
    "png_pipe": pictures.png_ending,
    "gif": pictures.gif_ending,
}
"""By demuxer. Raw AAC and MPEG-TS say nothing of their end."""


def ending_of(path: Path, kind: FileType) -> Ending:
    """What the file says of its own end. One that is made of absurdly many parts is not read to its
    end: a long recording may be, a picture is not.
    """
    reader = _READERS.get(kind.demuxer)
    if reader is None:
        return Ending.UNKNOWN
    with path.open("rb") as file:
        try:
            return reader(Bytes(file, path.stat().st_size))
        except TooManyParts:
            return Ending.CUT if kind.image else Ending.UNKNOWN
