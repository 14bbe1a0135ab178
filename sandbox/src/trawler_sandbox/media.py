"""Generate media from a seed: one clip per kind by ffmpeg, plus bytes that are unique to the seed.

The seed's bytes go where each container allows padding, so every file stays complete and playable.
Another seed gives other bytes and another hash, at any size.
"""

import functools
import random
import struct
import subprocess
import threading
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from trawler_sandbox import odd_media

_VIDEO: Final = ("-f", "lavfi", "-i", "testsrc=size=320x240:rate=10:duration=4")
_SOUND: Final = ("-f", "lavfi", "-i", "sine=frequency=440:duration=4")
_H264: Final = ("-c:v", "libx264", "-pix_fmt", "yuv420p", "-preset", "ultrafast", "-g", "10")
_ONE: Final = ("-frames:v", "1")

_AAC: Final = ("-c:a", "aac", "-b:a", "32k")
_VP8: Final = ("-c:v", "libvpx", "-b:v", "200k", "-deadline", "realtime")
_VP9: Final = ("-c:v", "libvpx-vp9", "-b:v", "200k", "-deadline", "realtime", "-cpu-used", "8")
_OPUS: Final = ("-c:a", "libopus", "-b:a", "32k")
_VORBIS: Final = ("-c:a", "libvorbis")

_RECIPES: Final = {
    "mp4": (*_VIDEO, *_SOUND, *_H264, *_AAC, "-movflags", "+faststart"),
    "late.mp4": (*_VIDEO, *_SOUND, *_H264, *_AAC),
    "fragmented.mp4": (*_VIDEO, *_SOUND, *_H264, *_AAC, "-movflags", "frag_keyframe+empty_moov"),
    "segments.mp4": (*_VIDEO, *_SOUND, *_H264, *_AAC, "-movflags", "frag_keyframe+empty_moov+dash"),
    "dash.mp4": (*_VIDEO, *_SOUND, *_H264, *_AAC, "-movflags", "dash+global_sidx"),
    "upright.mp4": (
        *(*_VIDEO[:3], "testsrc=size=240x320:rate=10:duration=4"),
        *(*_SOUND, *_H264, *_AAC, "-movflags", "+faststart"),
    ),
    "silent.mp4": (*_VIDEO, *_H264, "-movflags", "+faststart"),
    "small.mp4": (*_VIDEO, *_H264, "-s", "160x120", "-movflags", "+faststart"),
    "av1.mp4": (*_VIDEO, "-c:v", "libsvtav1", "-preset", "12"),
    "mov": (*_VIDEO, *_SOUND, *_H264, *_AAC),
    "m4a": (*_SOUND, *_AAC),
    "3gp": (*_VIDEO, "-c:v", "h263", "-s", "352x288"),
    "mkv": (*_VIDEO, *_SOUND, *_H264, *_OPUS),
    "live.mkv": (*_VIDEO, *_SOUND, *_H264, *_OPUS, "-live", "1"),
    "mka": (*_SOUND, "-c:a", "flac"),
    "webm": (*_VIDEO, *_SOUND, *_VP8, *_VORBIS),
    "vp9.webm": (*_VIDEO, *_SOUND, *_VP9, *_OPUS),
    "sound.webm": (*_SOUND, *_OPUS),
    "ts": (*_VIDEO, *_SOUND, *_H264, *_AAC),
    "flv": (*_VIDEO, *_SOUND, *_H264, *_AAC, "-ar", "44100"),
    "avi": (*_VIDEO, *_SOUND, "-c:v", "mpeg4", "-c:a", "libmp3lame"),
    "mp3": (*_SOUND, "-c:a", "libmp3lame", "-b:a", "64k", "-id3v2_version", "0"),
    "tagged.mp3": (*_SOUND, "-c:a", "libmp3lame", "-q:a", "4", "-metadata", "title=A tone"),
    "plain.mp3": (*_SOUND, "-c:a", "libmp3lame", "-b:a", "64k", "-write_xing", "0"),
    "aac": (*_SOUND, *_AAC, "-f", "adts"),
    "ogg": (*_SOUND, *_VORBIS),
    "opus": (*_SOUND, *_OPUS),
    "ogv": (*_VIDEO, *_SOUND, "-c:v", "libtheora", *_VORBIS),
    "flac": (*_SOUND, "-c:a", "flac"),
    "wav": (*_SOUND, "-c:a", "pcm_s16le"),
    "long.wav": (*_SOUND, "-c:a", "pcm_s16le", "-rf64", "always"),
    "jpg": (*_VIDEO, *_ONE),
    "png": (*_VIDEO, *_ONE),
    "icon.png": (*_VIDEO, *_ONE, "-s", "32x32"),
    "moving.png": (*_VIDEO, "-f", "apng"),
    "gif": (*_VIDEO[:3], "testsrc=size=160x120:rate=5:duration=1"),
    "webp": (*_VIDEO, *_ONE),
    "moving.webp": (*_VIDEO, "-c:v", "libwebp_anim"),
    "avif": (*_VIDEO, *_ONE, "-c:v", "libaom-av1", "-still-picture", "1", "-cpu-used", "8"),
}
"""The last part of a name is the file extension; the part before it names the variant."""
KINDS: Final = tuple(_RECIPES)
SECONDS: Final = 4.0
TYPES: Final = {
    "mp4": "video/mp4",
    "mov": "video/quicktime",
    "m4a": "audio/mp4",
    "3gp": "video/3gpp",
    "mkv": "video/x-matroska",
    "mka": "audio/x-matroska",
    "webm": "video/webm",
    "ts": "video/mp2t",
    "flv": "video/x-flv",
    "avi": "video/x-msvideo",
    "mp3": "audio/mpeg",
    "aac": "audio/aac",
    "ogg": "audio/ogg",
    "opus": "audio/ogg",
    "ogv": "video/ogg",
    "flac": "audio/flac",
    "wav": "audio/wav",
    "jpg": "image/jpeg",
    "png": "image/png",
    "gif": "image/gif",
    "webp": "image/webp",
    "avif": "image/avif",
    "heic": "image/heic",
    "svg": "image/svg+xml",
}
"""File extension → content type."""
_NOISE: Final = 1024 * 1024
"""Number of bytes that are unique to a seed; a larger file repeats them."""


@dataclass(frozen=True)
class Body:
    """A file that is generated only as it is read: first bytes, then noise up to its length."""

    begin: bytes
    noise: bytes
    length: int

    def part(self, begin: int, end: int) -> bytes:
        """The bytes from `begin` to `end`, as in the slice `[begin:end]`."""
        begin, end = max(0, begin), min(end, self.length)
        found = [self.begin[begin:end]]
        at = max(begin, len(self.begin))
        while at < end:
            offset = (at - len(self.begin)) % len(self.noise)
            found.append(self.noise[offset : offset + end - at])
            at += len(found[-1])
        return b"".join(found)


class Studio:
    """Generates each clip once, in a folder of its own."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._alone = threading.Lock()

    def clip(self, extension: str) -> bytes:
        """The clip without the bytes of a seed. Raises KeyError for an unknown kind."""
        path = self._folder / f"clip.{extension}"
        if path.exists():
            return path.read_bytes()
        if extension in odd_media.DRAWN:
            return self._draw(path, odd_media.DRAWN[extension])
        recipe = _RECIPES.get(extension) or odd_media.RECIPES[extension]
        for word in recipe:  # generate its sources first
            if word.startswith("{folder}/clip."):
                self.clip(word.removeprefix("{folder}/clip."))
        with self._alone:  # several requests may need the first one at once
            self._ensure(path, [word.replace("{folder}", str(self._folder)) for word in recipe])
        return path.read_bytes()

    def _draw(self, path: Path, draw: Callable[[], bytes]) -> bytes:
        with self._alone:
            if not path.exists():
                fresh = path.with_name(f"new.{path.name}")
                fresh.write_bytes(draw())
                fresh.rename(path)
        return path.read_bytes()

    def _ensure(self, path: Path, recipe: Sequence[str]) -> None:
        if not path.exists():
            fresh = path.with_name(f"new.{path.name}")
            argv = ["ffmpeg", "-v", "error", "-nostdin", "-y", "-bitexact", *recipe, str(fresh)]
            subprocess.run(argv, check=True, timeout=60)
            fresh.rename(path)

    def make(self, extension: str, seed: str, size: int = 0) -> bytes:
        """A file of this kind that is unique to the seed, of about `size` bytes or more."""
        body = self.body(extension, seed, size)
        return body.part(0, body.length)

    def body(self, extension: str, seed: str, size: int = 0) -> Body:
        """The same file as from `make`, to be read in parts."""
        return _body(self.clip(extension), extension, seed, size)


@functools.lru_cache(maxsize=64)
def _body(clip: bytes, extension: str, seed: str, size: int) -> Body:
    wanted = max(64, size - len(clip))
    noise = random.Random(f"{extension} {seed}").randbytes(min(wanted, _NOISE))  # noqa: S311 - repeatable
    ending = extension.rpartition(".")[2]
    if ending in {"mp4", "mov", "m4a"}:  # ISO/IEC 14496-12 8.1.2: a `free` box may hold anything
        begin = clip + struct.pack(">I4s", wanted + 8, b"free")
        return Body(begin, noise, len(begin) + wanted)
    whole = _PADDERS.get(ending, _pad_behind)(clip, (noise * (wanted // len(noise) + 1))[:wanted])
    return Body(whole, b"\0", len(whole))


def _pad_behind(clip: bytes, noise: bytes) -> bytes:
    """Append bytes after the file's end, which no reader interprets."""
    return clip + noise


def _pad_ts(clip: bytes, noise: bytes) -> bytes:
    """Append null packets (PID 0x1FFF), which readers must ignore (ISO/IEC 13818-1)."""
    parts = [noise[at : at + 184].ljust(184, b"\xff") for at in range(0, len(noise), 184)]
    return clip + b"".join(b"\x47\x1f\xff\x10" + part for part in parts)


def _pad_mp3(clip: bytes, noise: bytes) -> bytes:
    """Prepend an ID3v2.3 tag with a private frame; its length has seven bits per byte."""
    frame = b"PRIV" + struct.pack(">I", len(noise) + 2) + b"\0\0" + b"t\0" + noise
    length = len(frame)
    seven = bytes((length >> shift) & 0x7F for shift in (21, 14, 7, 0))
    return b"ID3\x03\0\0" + seven + frame + clip


def _pad_jpg(clip: bytes, noise: bytes) -> bytes:
    """Insert comment segments after the first marker (ITU T.81 B.2.4.5)."""
    parts = [noise[at : at + 60_000] for at in range(0, len(noise), 60_000)]
    comments = b"".join(b"\xff\xfe" + struct.pack(">H", len(part) + 2) + part for part in parts)
    return clip[:2] + comments + clip[2:]


def _pad_png(clip: bytes, noise: bytes) -> bytes:
    """Insert an ancillary private chunk before the end chunk (PNG 11.2)."""
    body = b"trWl" + noise
    chunk = struct.pack(">I", len(noise)) + body + struct.pack(">I", zlib.crc32(body))
    return clip[:-12] + chunk + clip[-12:]


def _pad_gif(clip: bytes, noise: bytes) -> bytes:
    """Insert a comment extension before the trailer (GIF89a 24)."""
    parts = [noise[at : at + 255] for at in range(0, len(noise), 255)]
    comment = b"\x21\xfe" + b"".join(bytes([len(part)]) + part for part in parts) + b"\0"
    return clip[:-1] + comment + clip[-1:]


_PADDERS: Final = {
    "ts": _pad_ts,
    "mp3": _pad_mp3,
    "jpg": _pad_jpg,
    "png": _pad_png,
    "gif": _pad_gif,
}
