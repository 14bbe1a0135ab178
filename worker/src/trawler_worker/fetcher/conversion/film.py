"""Converts videos: remuxes them where that is enough, otherwise re-encodes them, and keeps them
within the size limit.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from trawler_worker.fetcher.conversion.labelling import ANONYMOUS, TO_MP4, labelled
from trawler_worker.fetcher.conversion.labels import NO_LABELS, Labels
from trawler_worker.fetcher.conversion.plans import HDR, Plan, Track
from trawler_worker.fetcher.conversion.sizes import Size, even
from trawler_worker.fetcher.media import ffmpeg
from trawler_worker.fetcher.media.ffmpeg import Heard, Input
from trawler_worker.fetcher.media.inspection import Inspected
from trawler_worker.fetcher.media.sniff import AVIF

LONG_SIDE, SHORT_SIDE = 1920, 1080
"""Maximum size in pixels of a re-encoded video: more takes minutes, and no phone shows it."""
MOST_RATE: Final = 60
QUALITY: Final = 22
"""Constant rate factor of libx264 at which people see no difference (18 is nearly lossless, 28 is
poor).
"""
PRESET: Final = "veryfast"
SOUND_RATE: Final = 128_000
_PLAIN: Final = ("-sn", "-dn", *ANONYMOUS)
_SDR: Final = (
    "zscale=t=linear:npl=100,format=gbrpf32le,zscale=p=bt709,"
    "tonemap=tonemap=hable:desat=0,zscale=t=bt709:m=bt709:r=tv"
)
"""Filters that map HDR to SDR for an ordinary screen."""


@dataclass(frozen=True, kw_only=True)
class Target:
    """The size and bit rates to encode a video to."""

    size: Size
    video_rate: int | None = None
    """Bits per second. None: as many as the quality needs."""
    sound_rate: int = SOUND_RATE


@dataclass(frozen=True, kw_only=True)
class Added:
    """What a conversion adds to a video."""

    drawn: Path | None = None
    """Subtitles (ASS) to burn in."""
    labels: Labels = NO_LABELS
    """Labels for exactly this video, or this section of it."""


PLAIN: Final = Added()


@dataclass(frozen=True)
class Part:
    """A section of a file, in seconds."""

    start: float
    end: float

    @property
    def options(self) -> list[str]:
        """Input options. Decoding begins at the keyframe before `start`, so the first frame shown
        is the requested one.
        """
        return ["-ss", f"{self.start:.3f}"] if self.start else []

    @property
    def words(self) -> list[str]:
        return ["-t", f"{self.end - self.start:.3f}"]


def convert(
    path: Path,
    seen: Inspected,
    plan: Plan,
    out: Path,
    *,
    part: Part | None = None,
    added: Added = PLAIN,
    heard: Heard | None = None,
) -> None:
    """Convert a video, or a section of it, so that it plays everywhere. Raises FetchError."""
    video: Sequence[str] = ("-c:v", "copy")
    if plan.video is Track.ENCODE:
        video = ("-vf", filters(seen, size_of(seen), added.drawn), *_codec(), "-crf", str(QUALITY))
    sound = _sound(plan.audio, SOUND_RATE)
    given = Input(path=path, kind=seen.kind, options=part.options if part else ())
    inputs, labels = labelled([given], added.labels, out)
    words = [*_tracks(seen), *_PLAIN, *labels, *video, *sound, *TO_MP4]
    ffmpeg.run(inputs, [*(part.words if part else ()), *words], out, heard=heard)


def size_of(seen: Inspected) -> Size:
    """The size of a video when it is re-encoded: square pixels, even sides, and no larger than
    phones show.
    """
    inside = seen.inside
    width, height = inside.width or 2, inside.height or 2
    turned = width != inside.coded_width and height == inside.coded_width
    shown = (
        Size(width, round(height * inside.aspect))
        if turned
        else Size(round(width * inside.aspect), height)
    )
    return even(shown).within(LONG_SIDE, SHORT_SIDE)


def _tracks(seen: Inspected) -> list[str]:
    """Map the video track and the first audio track. An animated AVIF has a still image as its
    first video track, which ffmpeg would use otherwise (observed).
    """
    at = seen.inside.longest_video if seen.kind is AVIF else 0
    return ["-map", f"0:V:{at}", "-map", "0:a:0?"]


def _codec() -> list[str]:
    return ["-c:v", "libx264", "-preset", PRESET, "-profile:v", "high", "-fps_mode", "vfr"]


def _sound(track: Track, rate: int) -> list[str]:
    if track is Track.NONE:
        return ["-an"]
    if track is Track.COPY:
        return ["-c:a", "copy"]
    return ["-c:a", "aac", "-b:a", str(rate), "-ac", "2", "-ar", "48000"]


def filters(seen: Inspected, size: Size, drawn: Path | None = None) -> str:
    """The filter chain from any source to playable frames: progressive, SDR, even-sized, with
    square pixels and 8 bits, optionally with subtitles. ffmpeg applies rotation by itself.
    """
    inside = seen.inside
    steps = ["bwdif=mode=send_frame:deint=interlaced"]
    transfer = HDR.get(inside.transfer)
    if transfer is not None:
        known = f"color_primaries=bt2020:color_trc={transfer}:colorspace=bt2020nc"
        steps += [f"setparams={known}", _SDR]
    if inside.rate is not None and inside.rate > MOST_RATE + 1:
        steps.append(f"fps={MOST_RATE}")
    steps += [f"scale=w={size.width}:h={size.height}:out_range=tv", "setsar=1", "format=yuv420p"]
    if drawn is not None:
        steps.append(f"ass=filename={_quoted(str(drawn))}")
    return ",".join(steps)


def _quoted(text: str) -> str:
    """Quote a filter argument inside a filter graph. Each of the two levels removes one layer of
    backslashes (ffmpeg-filters, 4.1).
    """
    return re.sub(r"[\\'\[\],;]", r"\\\g<0>", re.sub(r"[\\':]", r"\\\g<0>", text))


def squeeze(
    path: Path,
    seen: Inspected,
    target: Target,
    out: Path,
    *,
    audio: Track,
    seconds: float,
    again: bool = False,
    added: Added = PLAIN,
    heard: Heard | None = None,
) -> None:
    """Encode to a target bit rate in two passes. With `again`, reuse the log of the first pass.
    Raises FetchError.
    """
    assert target.video_rate is not None
    log = out.with_name(f"{out.stem}-pass")
    video = [
        *(
            "-vf",
            filters(seen, target.size, added.drawn),
            *_codec(),
            "-b:v",
            str(target.video_rate),
        ),
        *("-passlogfile", str(log)),
    ]
    inputs, labels = labelled([Input(path=path, kind=seen.kind)], added.labels, out)
    if not again:
        first = [*_tracks(seen)[:2], *_PLAIN, *video, "-pass", "1", "-an", "-f", "null"]
        ffmpeg.run(inputs[:1], first, None, heard=heard)
    sound = _sound(audio, target.sound_rate)
    second = [*_tracks(seen), *_PLAIN, *labels, *video, "-pass", "2", *sound, *TO_MP4]
    told = (lambda at: heard(seconds + at)) if heard is not None else None
    ffmpeg.run(inputs, second, out, heard=told)
