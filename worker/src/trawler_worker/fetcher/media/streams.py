"""libavformat on a downloaded file: told what it is, allowed to open nothing else.

Reading goes through PyAV, in the job process that is forked with the library loaded: an ffprobe
process costs 80 ms of start-up, this 2 ms (measured; ADR 0004).
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import av
import av.error
import av.stream

from trawler_common.text import sanitize
from trawler_crds.failures import FailureReason
from trawler_crds.sidecar import MOST_CHAPTERS, MOST_TITLE, Chapter
from trawler_worker.fetcher.errors import FetchError
from trawler_worker.fetcher.media.ffmpeg import FORMATS
from trawler_worker.fetcher.media.sniff import FileType


@dataclass(frozen=True, kw_only=True)
class TextTrack:
    """Subtitles inside of a file."""

    at: int
    """Among its tracks of subtitles."""
    codec: str
    language: str | None


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
    coded_width: int | None = None
    coded_height: int | None = None
    """Of the pictures as they are coded, upright or not."""
    pixels: str | None = None
    """Their format, as libavcodec calls it."""
    profile: str | None = None
    field_order: int = 0
    """0 unknown, 1 progressive, else interlaced (libavcodec)."""
    transfer: int = 2
    """Transfer characteristics of ITU-T H.273; 2: not said."""
    aspect: float = 1.0
    """How wide a pixel is, for its height."""
    rate: float | None = None
    """Pictures per second, on average."""
    audio_profile: str | None = None
    channels: int | None = None
    longest_video: int = 0
    """Which of several tracks of pictures has most of them."""
    texts: tuple[TextTrack, ...] = ()
    chapters: tuple[Chapter, ...] = ()


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
    seconds = container.duration / av.time_base if timed else None
    lengths = [
        float(stream.duration * stream.time_base)
        for stream in (*pictures, *sounds)
        if stream.duration and stream.time_base
    ]
    # a stream that libavcodec has no decoder for has no such attributes
    first, sound = _Stream(pictures), _Stream(sounds)
    width, height = first.of("width") or None, first.of("height") or None
    aspect = first.of("sample_aspect_ratio", stream=True)
    return Probe(
        video=bool(pictures) and not kind.image,
        audio=bool(sounds),
        video_codec=first.codec,
        audio_codec=sound.codec,
        width=width,
        height=height,
        seconds=seconds if seconds is not None and seconds > 0 else None,
        shortest=min(lengths) if len(lengths) == len(pictures) + len(sounds) else None,
        coded_width=width,
        coded_height=height,
        pixels=first.of("pix_fmt"),
        profile=first.of("profile"),
        field_order=int(first.of("field_order") or 0),
        transfer=int(first.of("color_trc") or 2),
        aspect=float(aspect) if aspect else 1.0,
        rate=float(rate) if (rate := first.of("average_rate", stream=True)) else None,
        audio_profile=sound.of("profile"),
        channels=len(layout.channels) if (layout := sound.of("layout")) is not None else None,
        longest_video=max(range(len(pictures)), key=lambda at: pictures[at].frames, default=0),
        texts=tuple(
            TextTrack(
                at=at,
                codec=stream.codec_context.codec.canonical_name,
                language=stream.metadata.get("language"),
            )
            for at, stream in enumerate(container.streams.subtitles)
            if stream.codec_context is not None
        ),
        chapters=tuple(islice(_chapters(container), MOST_CHAPTERS)),
    )


def _chapters(container: Any) -> Iterator[Chapter]:
    """Those that have a name and begin at a time."""
    for each in container.chapters():
        title = sanitize(str(each["metadata"].get("title", "")), limit=MOST_TITLE)
        start = float(each["start"] * each["time_base"]) if each["time_base"] else math.nan
        if title and math.isfinite(start):
            yield Chapter(title=title, start_seconds=max(start, 0.0))


class _Stream:
    """The first of some streams, where there is one."""

    def __init__(self, streams: list[Any]) -> None:
        self._stream = streams[0] if streams else None
        self._context = streams[0].codec_context if streams else None

    @property
    def codec(self) -> str | None:
        """Of the format, not of the decoder that this library has for it."""
        return str(self._context.codec.canonical_name) if self._context is not None else None

    def of(self, name: str, *, stream: bool = False) -> Any:
        return getattr(self._stream if stream else self._context, name, None)
