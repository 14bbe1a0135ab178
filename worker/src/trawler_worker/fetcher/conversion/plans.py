"""Decides what a file needs in order to play in Discord: MP4 with 8-bit H.264 and AAC, the index at
the front, upright, with even sides; pictures that browsers show. Pure.

The decision depends on the codec, never on what ffmpeg accepts: ffmpeg puts MPEG-4 Part 2 and AC-3
into an MP4 that no browser plays (observed).
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from trawler_worker.fetcher.media.inspection import Inspected
from trawler_worker.fetcher.media.sniff import AAC, AVIF, HEIC, MATROSKA_SOUND, MP4, WEBM_SOUND
from trawler_worker.fetcher.media.streams import Probe

_PIXELS: Final = frozenset(["yuv420p", "yuvj420p"])
_PROFILES: Final = frozenset(["Baseline", "Constrained Baseline", "Main", "High"])
_AAC: Final = frozenset([None, "LC", "HE-AAC", "HE-AACv2"])
_PROGRESSIVE: Final = frozenset([0, 1])
"""libavcodec's field orders: unknown and progressive."""
HDR: Final = {16: "smpte2084", 18: "arib-std-b67"}
"""Transfer characteristics (ITU-T H.273) of HDR video, which looks grey on an ordinary screen."""


class Track(StrEnum):
    """What to do with a track."""

    NONE = "None"
    COPY = "Copy"
    ENCODE = "Encode"


class Work(StrEnum):
    """What to do with a file."""

    KEEP = "Keep"
    FILM = "Film"
    SOUND = "Sound"
    PICTURE = "Picture"


@dataclass(frozen=True, kw_only=True)
class Plan:
    """The work that a file needs and, for a video, what to do with its tracks."""

    work: Work
    video: Track = Track.NONE
    audio: Track = Track.NONE


def plan(seen: Inspected) -> Plan:
    """Decide what a file needs to be playable."""
    if seen.kind.image:
        return Plan(work=Work.PICTURE if seen.kind in {AVIF, HEIC} else Work.KEEP)
    if not seen.inside.video:
        rare = seen.kind in {AAC, MATROSKA_SOUND, WEBM_SOUND}
        return Plan(work=Work.SOUND if rare else Work.KEEP)
    video = Track.COPY if is_plain_h264(seen) else Track.ENCODE
    audio = _audio(seen.inside)
    whole = seen.kind is MP4 and seen.indexed and video is Track.COPY
    if whole and audio is not Track.ENCODE:
        return Plan(work=Work.KEEP)
    return Plan(work=Work.FILM, video=video, audio=audio)


def is_plain_h264(seen: Inspected) -> bool:
    """Whether every phone plays the video track as it is."""
    inside = seen.inside
    return (
        inside.video_codec == "h264"
        and inside.pixels in _PIXELS
        and inside.profile in _PROFILES
        and inside.field_order in _PROGRESSIVE
        and inside.aspect == 1.0
        and inside.transfer not in HDR
        and seen.upright
        and not ((inside.coded_width or 0) % 2 or (inside.coded_height or 0) % 2)
    )


def _audio(inside: Probe) -> Track:
    if not inside.audio:
        return Track.NONE
    plain = inside.audio_codec == "aac" and inside.audio_profile in _AAC
    return Track.COPY if plain and (inside.channels or 2) <= 2 else Track.ENCODE
