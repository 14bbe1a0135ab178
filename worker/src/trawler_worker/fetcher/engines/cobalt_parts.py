"""Implements Cobalt's "local processing": assembles the parts that Cobalt names, as its answer
specifies.
"""

from pathlib import Path
from typing import Final

from trawler_crds.failures import FailureReason
from trawler_worker.fetcher.engines.base import Fetched
from trawler_worker.fetcher.engines.cobalt_api import Local
from trawler_worker.fetcher.errors import FetchError
from trawler_worker.fetcher.media import ffmpeg
from trawler_worker.fetcher.media.sniff import sniff_file

_MUXERS: Final = {
    "mp4": "mp4",
    "webm": "webm",
    "mkv": "matroska",
    "mp3": "mp3",
    "m4a": "ipod",
    "opus": "opus",
    "ogg": "ogg",
    "wav": "wav",
}
"""ffmpeg muxers by the extension of Cobalt's name for the file."""
_SOUND: Final = {"mp3": "libmp3lame", "opus": "libopus", "ogg": "libvorbis", "wav": "pcm_s16le"}
_BITRATES: Final = frozenset(["8", "64", "96", "128", "256", "320"])


def assemble(said: Local, parts: list[Fetched]) -> Fetched:
    """Assemble all parts into one file. Raises FetchError if the kind of processing is unknown."""
    if said.type == "proxy":
        return parts[0]
    inputs = [_input(part.path) for part in parts]
    ending = _ending(said)
    words = _words(said, ending, len(inputs))
    out = parts[0].path.with_name(f"{parts[0].path.name}-made.{ending}")
    ffmpeg.run(inputs, [*words, "-map_metadata", "-1", "-f", _MUXERS[ending]], out)
    for part in parts:
        part.path.unlink()
    return Fetched(
        path=out,
        called=parts[0].called,
        measured=all(part.measured for part in parts),
        assembled=True,
    )


def _input(path: Path) -> ffmpeg.Input:
    with path.open("rb") as file:
        kind = sniff_file(file, path.stat().st_size)
    if kind is None:
        raise FetchError(FailureReason.SITE_ERROR, "What Cobalt sent is not media that we know.")
    return ffmpeg.Input(path=path, kind=kind)


def _ending(said: Local) -> str:
    named = (said.output.filename or "").rpartition(".")[2].lower()
    usual = "mp3" if said.type == "audio" else "mp4"
    return named if named in _MUXERS else usual


def _words(said: Local, ending: str, count: int) -> list[str]:
    """The arguments for ffmpeg. Raises FetchError."""
    match said.type:
        case "merge" if count >= 2:
            return ["-map", "0:v:0", "-map", "1:a:0", "-c", "copy"]
        case "remux" | "gif":
            return ["-map", "0:v?", "-map", "0:a?", "-c", "copy"]
        case "mute":
            return ["-map", "0:v:0", "-an", "-c", "copy"]
        case "audio":
            return ["-map", "0:a:0", "-vn", *_sound(said, ending)]
    raise FetchError(
        FailureReason.SITE_ERROR,
        "Cobalt wants something done that Trawler does not know.",
        elsewhere=True,
        note="unknown processing",
    )


def _sound(said: Local, ending: str) -> list[str]:
    if said.audio is None or said.audio.copied:
        return ["-c:a", "copy"]
    encoder = _SOUND.get(ending, "aac")
    rate = said.audio.bitrate if said.audio.bitrate in _BITRATES else "128"
    return ["-c:a", encoder] + (["-b:a", f"{rate}k"] if encoder != "pcm_s16le" else [])
