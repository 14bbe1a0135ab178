"""Films: into another container where that is enough, else coded anew, and no larger than they may
be.
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
"""Pixels of what is coded anew: more costs minutes, and no phone shows it."""
MOST_RATE: Final = 60
QUALITY: Final = 22
"""Constant rate factor of libx264: people see no difference (18 is nearly lossless, 28 is poor)."""
PRESET: Final = "veryfast"
SOUND_RATE: Final = 128_000
_PLAIN: Final = ("-sn", "-dn", *ANONYMOUS)
_SDR: Final = (
    "zscale=t=linear:npl=100,format=gbrpf32le,zscale=p=bt709,"
    "tonemap=tonemap=hable:desat=0,zscale=t=bt709:m=bt709:r=tv"
)
"""Bright pictures as a usual screen shows them."""


@dataclass(frozen=True, kw_only=True)
class Target:
    """What a film is coded to."""

    size: Size
    video_rate: int | None = None
    """Bits per second; None: as many as the quality takes."""
    sound_rate: int = SOUND_RATE


@dataclass(frozen=True, kw_only=True)
class Added:
    """What a film has when it is made anew, and had not before."""

    drawn: Path | None = None
    """Subtitles (ASS) in its pictures."""
    labels: Labels = NO_LABELS
    """Of exactly this film, or this part of it."""


PLAIN: Final = Added()


@dataclass(frozen=True)
class Part:
    """From where to where, in seconds."""

    start: float
    end: float

    @property
    def options(self) -> list[str]:
        """Of an input: decoding begins at the picture before, so the first one shown is the one
        that was asked for.
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
    """One film that plays everywhere, or a part of it. Raises FetchError."""
    video: Sequence[str] = ("-c:v", "copy")
    if plan.video is Track.ENCODE:
        video = ("-vf", filters(seen, size_of(seen), added.drawn), *_codec(), "-crf", str(QUALITY))
    sound = _sound(plan.audio, SOUND_RATE)
    given = Input(path=path, kind=seen.kind, options=part.options if part else ())
    inputs, labels = labelled([given], added.labels, out)
    words = [*_tracks(seen), *_PLAIN, *labels, *video, *sound, *TO_MP4]
    ffmpeg.run(inputs, [*(part.words if part else ()), *words], out, heard=heard)


def size_of(seen: Inspected) -> Size:
    """How large a film is when it is coded anew: with square pixels, even, and no larger than
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
    """The pictures and the first sound. Moving AVIFs have a still in front, which would be taken
    (seen).
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
    """From pictures of any kind to those that are played: whole, upright, of usual brightness,
    even, with square pixels, 8 bits, perhaps with subtitles. ffmpeg turns them upright by itself.
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
    """A value in a filter in a graph of filters: each reads away one layer of backslashes
    (ffmpeg-filters, 4.1).
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
    """Code it to a number of bits per second, in two passes; `again` with the first one's notes.
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
