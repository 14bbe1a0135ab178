"""Extracts the audio track into a file of its own, with tags and a cover."""

import base64
import importlib
import struct
from pathlib import Path
from typing import Final

from trawler_crds.media_job import AudioFormat
from trawler_worker.fetcher.conversion.film import Part
from trawler_worker.fetcher.conversion.labelling import ANONYMOUS, labelled
from trawler_worker.fetcher.conversion.labels import NO_LABELS, Labels
from trawler_worker.fetcher.media import ffmpeg
from trawler_worker.fetcher.media.ffmpeg import Heard
from trawler_worker.fetcher.media.inspection import Inspected
from trawler_worker.fetcher.media.sniff import JPEG

_ENCODERS: Final = {
    AudioFormat.MP3: ("libmp3lame", "mp3", "mp3"),
    AudioFormat.M4A: ("aac", "ipod", "m4a"),
    AudioFormat.OPUS: ("libopus", "ogg", "opus"),
    AudioFormat.FLAC: ("flac", "flac", "flac"),
    AudioFormat.WAV: ("pcm_s16le", "wav", "wav"),
}
_WITH_PICTURE: Final = frozenset([AudioFormat.MP3, AudioFormat.M4A, AudioFormat.FLAC])
_FRONT: Final = 3
_MOST_PICTURE: Final = 90_000
"""Maximum size of a cover in bytes. Its base64 must stay below 131,072 bytes, the limit of one
command-line argument (Linux, MAX_ARG_STRLEN).
"""
_CODECS: Final = {
    "mp3": AudioFormat.MP3,
    "mp3float": AudioFormat.MP3,
    "aac": AudioFormat.M4A,
    "opus": AudioFormat.OPUS,
    "libopus": AudioFormat.OPUS,
    "flac": AudioFormat.FLAC,
    "pcm_s16le": AudioFormat.WAV,
}


def extract(
    path: Path,
    seen: Inspected,
    wanted: AudioFormat | None,
    *,
    part: Part | None = None,
    labels: Labels = NO_LABELS,
    cover: Path | None = None,
    heard: Heard | None = None,
) -> Path:
    """Extract the audio, or a section of it, in the wanted format (by default its own), with labels
    and a cover (JPEG). The new file replaces the old one. Raises FetchError.
    """
    inside = seen.inside
    own = _CODECS.get(inside.audio_codec or "")
    target = wanted or own or AudioFormat.M4A
    encoder, muxer, extension = _ENCODERS[target]
    out = path.with_name(f"{path.stem}-{'part' if part else 'audio'}.{extension}")
    cover = _fitting(cover, target)
    inputs = [
        ffmpeg.Input(path=path, kind=seen.kind, options=part.options if part else ()),
        *([ffmpeg.Input(path=cover, kind=JPEG)] if cover and target in _WITH_PICTURE else []),
    ]
    inputs, said = labelled(inputs, labels, out)
    words = [
        *(part.words if part else ()),
        *("-map", "0:a:0", *ANONYMOUS, *said, *_picture(target, cover)),
        *("-c:a", "copy" if target is own else encoder, "-f", muxer),
    ]
    ffmpeg.run(inputs, words, out, heard=heard)
    path.unlink()
    return out


def _picture(target: AudioFormat, cover: Path | None) -> list[str]:
    """Options for ffmpeg that embed a cover in each format. WAV supports none."""
    if cover is None:
        return []
    if target in _WITH_PICTURE:
        return ["-map", "1:v:0", "-c:v", "copy", "-disposition:v:0", "attached_pic"]
    if target is AudioFormat.OPUS:
        return ["-metadata:s:a:0", f"METADATA_BLOCK_PICTURE={_block(cover.read_bytes())}"]
    return []


def _fitting(cover: Path | None, target: AudioFormat) -> Path | None:
    """The cover, shrunk if the format is Opus: there it is passed as a command-line argument."""
    if cover is None or target is not AudioFormat.OPUS or cover.stat().st_size < _MOST_PICTURE:
        return cover
    covers = importlib.import_module("trawler_worker.fetcher.conversion.covers")
    small = cover.with_name(f"{cover.stem}-small.jpg")
    for side in (600, 400, 250):
        if covers.of_site(cover, small, side=side) and small.stat().st_size < _MOST_PICTURE:
            return small
    return None


def _block(picture: bytes) -> str:
    """A cover as an Ogg comment (RFC 9639, section 8.8, and the Vorbis convention for it)."""
    kind, description = b"image/jpeg", b""
    head = struct.pack(">II", _FRONT, len(kind)) + kind + struct.pack(">I", len(description))
    block = head + struct.pack(">IIIII", 0, 0, 0, 0, len(picture)) + picture
    return base64.b64encode(block).decode()
