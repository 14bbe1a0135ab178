"""What has to be done to a file so that it plays in Discord: MP4 with H.264 in 8 bits and AAC, its
index in front, upright, of even size; pictures that browsers show. Pure.

By codec, never by what ffmpeg accepts: it puts MPEG-4 Part 2 and AC-3 into an MP4 that no browser
plays (seen).
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
"""Of libavcodec's field orders: unknown, progressive."""
HDR: Final = {16: "smpte2084", 18: "arib-std-b67"}
"""Transfer characteristics (ITU-T H.273) of pictures that a usual screen shows grey."""


class Track(StrEnum):
    """What becomes of a track."""

    NONE = "None"
    COPY = "Copy"
    ENCODE = "Encode"


class Work(StrEnum):
    """What becomes of a file."""

    KEEP = "Keep"
    FILM = "Film"
    SOUND = "Sound"
    PICTURE = "Picture"


@dataclass(frozen=True, kw_only=True)
class Plan:
    """For a film, what becomes of its tracks."""

    work: Work
    video: Track = Track.NONE
    audio: Track = Track.NONE


def plan(seen: Inspected) -> Plan:
    """What a file needs to be playable."""
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
    """Whether its pictures are what every phone plays."""
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
