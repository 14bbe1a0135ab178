"""Media from a seed: one clip per kind by ffmpeg, then bytes that only this seed has.

The seed's bytes go where each container allows padding, so every file stays whole and playable:
another seed, other bytes, another hash, at any wanted size.
"""

import functools
import random
import struct
import subprocess
import threading
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Final

_VIDEO: Final = ("-f", "lavfi", "-i", "testsrc=size=320x240:rate=10:duration=4")
_SOUND: Final = ("-f", "lavfi", "-i", "sine=frequency=440:duration=4")
_H264: Final = ("-c:v", "libx264", "-pix_fmt", "yuv420p", "-preset", "ultrafast", "-g", "10")
_ONE: Final = ("-frames:v", "1")

_RECIPES: Final = {
    "mp4": (*_VIDEO, *_SOUND, *_H264, "-c:a", "aac", "-b:a", "32k", "-movflags", "+faststart"),
    "ts": (*_VIDEO, *_SOUND, *_H264, "-c:a", "aac", "-b:a", "32k"),
    "mp3": (*_SOUND, "-c:a", "libmp3lame", "-b:a", "64k", "-id3v2_version", "0"),
    "jpg": (*_VIDEO, *_ONE),
    "png": (*_VIDEO, *_ONE),
    "gif": (*_VIDEO[:3], "testsrc=size=160x120:rate=5:duration=1"),
}
SECONDS: Final = 4.0
TYPES: Final = {
    "mp4": "video/mp4",
    "ts": "video/mp2t",
    "mp3": "audio/mpeg",
    "jpg": "image/jpeg",
    "png": "image/png",
    "gif": "image/gif",
}


class Studio:
    """Makes each clip once, in a folder of its own."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._alone = threading.Lock()

    def clip(self, extension: str) -> bytes:
        """The clip without a seed. Raises KeyError for a kind that is not made here."""
        recipe = _RECIPES[extension]
        path = self._folder / f"clip.{extension}"
        with self._alone:  # many may ask for the first one at once
            self._ensure(path, extension, recipe)
        return path.read_bytes()

    def _ensure(self, path: Path, extension: str, recipe: Sequence[str]) -> None:
        if not path.exists():
            fresh = path.with_name(f"new.{extension}")
            argv = ["ffmpeg", "-v", "error", "-nostdin", "-y", "-bitexact", *recipe, str(fresh)]
            subprocess.run(argv, check=True, timeout=60)
            fresh.rename(path)

    def make(self, extension: str, seed: str, size: int = 0) -> bytes:
        """A file of this kind that only this seed has, of about `size` bytes or more."""
        return _make(self.clip(extension), extension, seed, size)


@functools.lru_cache(maxsize=64)
def _make(clip: bytes, extension: str, seed: str, size: int) -> bytes:
    wanted = max(64, size - len(clip))
    noise = random.Random(f"{extension} {seed}").randbytes(wanted)  # noqa: S311 - repeatable
    return _PADDERS[extension](clip, noise)


def _pad_mp4(clip: bytes, noise: bytes) -> bytes:
    """ISO/IEC 14496-12 8.1.2: a `free` box may hold anything."""
    return clip + struct.pack(">I4s", len(noise) + 8, b"free") + noise


def _pad_ts(clip: bytes, noise: bytes) -> bytes:
    """ISO/IEC 13818-1: null packets (PID 0x1FFF) are to be ignored."""
    parts = [noise[at : at + 184].ljust(184, b"\xff") for at in range(0, len(noise), 184)]
    return clip + b"".join(b"\x47\x1f\xff\x10" + part for part in parts)


def _pad_mp3(clip: bytes, noise: bytes) -> bytes:
    """ID3v2.3: a private frame before the sound; lengths in seven-bit bytes."""
    frame = b"PRIV" + struct.pack(">I", len(noise) + 2) + b"\0\0" + b"t\0" + noise
    length = len(frame)
    seven = bytes((length >> shift) & 0x7F for shift in (21, 14, 7, 0))
    return b"ID3\x03\0\0" + seven + frame + clip


def _pad_jpg(clip: bytes, noise: bytes) -> bytes:
    """ITU T.81 B.2.4.5: comment segments after the first marker."""
    parts = [noise[at : at + 60_000] for at in range(0, len(noise), 60_000)]
    comments = b"".join(b"\xff\xfe" + struct.pack(">H", len(part) + 2) + part for part in parts)
    return clip[:2] + comments + clip[2:]


def _pad_png(clip: bytes, noise: bytes) -> bytes:
    """PNG 11.2: an ancillary private chunk before the end."""
    body = b"trWl" + noise
    chunk = struct.pack(">I", len(noise)) + body + struct.pack(">I", zlib.crc32(body))
    return clip[:-12] + chunk + clip[-12:]


def _pad_gif(clip: bytes, noise: bytes) -> bytes:
    """GIF89a 24: a comment extension before the trailer."""
    parts = [noise[at : at + 255] for at in range(0, len(noise), 255)]
    comment = b"\x21\xfe" + b"".join(bytes([len(part)]) + part for part in parts) + b"\0"
    return clip[:-1] + comment + clip[-1:]


_PADDERS: Final = {
    "mp4": _pad_mp4,
    "ts": _pad_ts,
    "mp3": _pad_mp3,
    "jpg": _pad_jpg,
    "png": _pad_png,
    "gif": _pad_gif,
}
