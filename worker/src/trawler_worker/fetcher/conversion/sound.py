"""Sound by itself, with what it is called and its cover."""

from pathlib import Path
from typing import Final

from trawler_crds.media_job import AudioFormat
from trawler_worker.fetcher import ffmpeg
from trawler_worker.fetcher.conversion.film import Part
from trawler_worker.fetcher.ffmpeg import Heard
from trawler_worker.fetcher.inspection import Inspected

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


def extract(
    path: Path,
    seen: Inspected,
    wanted: AudioFormat | None,
    *,
    part: Part | None = None,
    heard: Heard | None = None,
) -> Path:
    """Only the sound, or a part of it, in the wanted format (else in its own): a new file beside the old, which
    goes. Raises FetchError.
    """
    inside = seen.inside
    own = _CODECS.get(inside.audio_codec or "")
    target = wanted or own or AudioFormat.M4A
    encoder, muxer, extension = _ENCODERS[target]
    out = path.with_name(f"{path.stem}-{'part' if part else 'audio'}.{extension}")
    words = [
        *(part.words if part else ()),
        *("-vn", "-map", "0:a:0", "-map_metadata", "-1"),
        *("-c:a", "copy" if target is own else encoder, "-f", muxer),
    ]
    ffmpeg.run(
        [ffmpeg.Input(path=path, kind=seen.kind, options=part.options if part else ())],
        words,
        out,
        heard=heard,
    )
    path.unlink()
    return out
