"""libavformat and ffmpeg on a downloaded file: told what it is, allowed to open nothing else.

Reading goes through PyAV, in the job process that is forked with the library loaded: an ffprobe
process costs 80 ms of start-up, this 2 ms (measured; ADR 0004).
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import av
import av.error
import av.stream

from trawler_crds.failures import FailureReason
from trawler_crds.media_job import AudioFormat
from trawler_worker.fetcher import ffmpeg
from trawler_worker.fetcher.errors import FetchError
from trawler_worker.fetcher.ffmpeg import FORMATS
from trawler_worker.fetcher.sniff import FileType


@dataclass(frozen=True, kw_only=True)
class Probe:
    """What is inside a file."""

    video: bool
    audio: bool
    video_codec: str | None
    audio_codec: str | None
    width: int | None
    height: int | None
    seconds: float | None
    """Of the longest track."""
    shortest: float | None
    """Seconds of the shortest track of pictures or sound, where each says its own."""


def probe(path: Path, kind: FileType) -> Probe:
    """Read a file's streams. Raises FetchError (SiteError) where it is broken."""
    closed = {"protocol_whitelist": "file", "format_whitelist": FORMATS}
    try:
        with av.open(str(path), format=kind.demuxer, options=closed, metadata_errors="ignore") as f:
            return _read(f, kind)
    except (av.error.FFmpegError, OSError) as error:
        raise FetchError(
            FailureReason.SITE_ERROR, "The file that the site sent is broken."
        ) from error


def _read(container: Any, kind: FileType) -> Probe:
    pictures = [
        stream
        for stream in container.streams.video
        if not stream.disposition & av.stream.Disposition.attached_pic
    ]
    sounds = list(container.streams.audio)
    if not pictures and not sounds:
        raise FetchError(FailureReason.SITE_ERROR, "The file that the site sent is broken.")
    timed = container.duration is not None and not kind.image
    lengths = [
        float(stream.duration * stream.time_base)
        for stream in (*pictures, *sounds)
        if stream.duration and stream.time_base
    ]
    return Probe(
        video=bool(pictures) and not kind.image,
        audio=bool(sounds),
        video_codec=_codec(pictures),
        audio_codec=_codec(sounds),
        # a stream that libavcodec has no decoder for has no such attributes
        width=(getattr(pictures[0], "width", None) or None) if pictures else None,
        height=(getattr(pictures[0], "height", None) or None) if pictures else None,
        seconds=container.duration / av.time_base if timed else None,
        shortest=min(lengths) if len(lengths) == len(pictures) + len(sounds) else None,
    )


def _codec(streams: list[Any]) -> str | None:
    context = streams[0].codec_context if streams else None
    return str(context.name) if context is not None else None


_ENCODERS: Final = {
    AudioFormat.MP3: ("libmp3lame", "mp3", "mp3"),
    AudioFormat.M4A: ("aac", "ipod", "m4a"),
    AudioFormat.OPUS: ("libopus", "ogg", "opus"),
    AudioFormat.FLAC: ("flac", "flac", "flac"),
    AudioFormat.WAV: ("pcm_s16le", "wav", "wav"),
}
_CODECS: Final = {
    "mp3": AudioFormat.MP3,
    "mp3float": AudioFormat.MP3,
    "aac": AudioFormat.M4A,
    "opus": AudioFormat.OPUS,
    "libopus": AudioFormat.OPUS,
    "flac": AudioFormat.FLAC,
    "pcm_s16le": AudioFormat.WAV,
}


def extract_audio(path: Path, kind: FileType, inside: Probe, wanted: AudioFormat | None) -> Path:
    """Only the sound, in the wanted format (else in its own): a new file beside the old, which
    goes. Raises FetchError.
    """
    own = _CODECS.get(inside.audio_codec or "")
    target = wanted or own or AudioFormat.M4A
    encoder, muxer, extension = _ENCODERS[target]
    out = path.with_name(f"{path.stem}-audio.{extension}")
    words = [
        *("-vn", "-map", "0:a:0", "-map_metadata", "-1"),
        *("-c:a", "copy" if target is own else encoder, "-f", muxer),
    ]
    ffmpeg.run([ffmpeg.Input(path=path, kind=kind)], words, out)
    path.unlink()
    return out
