"""What a file is, by its first bytes. Names and announced types are not believed. Pure."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

HEAD: Final = 512
"""Bytes that are enough to tell."""


@dataclass(frozen=True, kw_only=True)
class FileType:
    """A kind of file we deliver."""

    type: str
    extension: str
    demuxer: str
    """What ffprobe is told to read it with; it never guesses."""
    image: bool = False


def _type(kind: str, extension: str, demuxer: str) -> FileType:
    return FileType(
        type=kind, extension=extension, demuxer=demuxer, image=kind.startswith("image/")
    )


MP4: Final = _type("video/mp4", "mp4", "mov")
M4A: Final = _type("audio/mp4", "m4a", "mov")
MOV: Final = _type("video/quicktime", "mov", "mov")
MATROSKA: Final = _type("video/x-matroska", "mkv", "matroska")
WEBM: Final = _type("video/webm", "webm", "matroska")
MP3: Final = _type("audio/mpeg", "mp3", "mp3")
OGG: Final = _type("audio/ogg", "ogg", "ogg")
FLAC: Final = _type("audio/flac", "flac", "flac")
WAV: Final = _type("audio/wav", "wav", "wav")
AAC: Final = _type("audio/aac", "aac", "aac")
AVI: Final = _type("video/x-msvideo", "avi", "avi")
FLV: Final = _type("video/x-flv", "flv", "flv")
MPEG_TS: Final = _type("video/mp2t", "ts", "mpegts")
GIF: Final = _type("image/gif", "gif", "gif")
JPEG: Final = _type("image/jpeg", "jpg", "jpeg_pipe")
PNG: Final = _type("image/png", "png", "png_pipe")
WEBP: Final = _type("image/webp", "webp", "webp_pipe")
AVIF: Final = _type("image/avif", "avif", "mov")

_BY_MAGIC: Final[tuple[tuple[bytes, FileType], ...]] = (
    (b"ID3", MP3),
    (b"OggS", OGG),
    (b"fLaC", FLAC),
    (b"FLV\x01", FLV),
    (b"GIF87a", GIF),
    (b"GIF89a", GIF),
    (b"\xff\xd8\xff", JPEG),
    (b"\x89PNG\r\n\x1a\n", PNG),
)
_RIFF: Final = {b"WAVE": WAV, b"AVI ": AVI, b"WEBP": WEBP}


def _ftyp(head: bytes) -> FileType:
    brand = head[8:12]
    if brand in {b"avif", b"avis"}:
        return AVIF
    if brand == b"qt  ":
        return MOV
    return M4A if brand in {b"M4A ", b"M4B "} else MP4


def _matroska(head: bytes) -> FileType:
    return WEBM if b"webm" in head[:64] else MATROSKA


def _mpeg_ts(head: bytes) -> bool:
    return len(head) > 376 and head[0] == head[188] == head[376] == 0x47


def _mpeg_audio(head: bytes) -> FileType | None:
    if len(head) < 2 or head[0] != 0xFF:
        return None
    if head[1] & 0xF6 == 0xF0:
        return AAC
    return MP3 if head[1] & 0xE0 == 0xE0 and head[1] & 0x06 else None


_BY_SHAPE: Final[tuple[tuple[Callable[[bytes], bool], Callable[[bytes], FileType | None]], ...]] = (
    (lambda head: head[4:8] == b"ftyp", _ftyp),
    (lambda head: head[:4] == b"\x1aE\xdf\xa3", _matroska),
    (lambda head: head[:4] == b"RIFF", lambda head: _RIFF.get(head[8:12])),
    (_mpeg_ts, lambda _: MPEG_TS),
    (lambda _: True, _mpeg_audio),
)


def sniff(head: bytes) -> FileType | None:
    """The type of a file with these first bytes; None where it is no media we know."""
    for magic, found in _BY_MAGIC:
        if head.startswith(magic):
            return found
    for matches, name in _BY_SHAPE:
        if matches(head) and (kind := name(head)) is not None:
            return kind
    return None
