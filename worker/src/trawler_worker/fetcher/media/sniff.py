"""What a file is, by its first bytes. Names and announced types are not believed. Pure."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import BinaryIO, Final

from trawler_worker.fetcher.media.containers import id3, matroska, mpeg_audio, ogg
from trawler_worker.fetcher.media.containers.reading import Bytes

HEAD: Final = 8192
"""Bytes that tell what it is: of sound without a beginning, three of its longest frames; what is in
an Ogg.
"""


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
MATROSKA_SOUND: Final = _type("audio/x-matroska", "mka", "matroska")
WEBM: Final = _type("video/webm", "webm", "matroska")
WEBM_SOUND: Final = _type("audio/webm", "webm", "matroska")
MP3: Final = _type("audio/mpeg", "mp3", "mp3")
OGG: Final = _type("audio/ogg", "ogg", "ogg")
OGG_VIDEO: Final = _type("video/ogg", "ogv", "ogg")
FLAC: Final = _type("audio/flac", "flac", "flac")
WAV: Final = _type("audio/wav", "wav", "wav")
AAC: Final = _type("audio/aac", "aac", "aac")
AVI: Final = _type("video/x-msvideo", "avi", "avi")
FLV: Final = _type("video/x-flv", "flv", "flv")
MPEG_TS: Final = _type("video/mp2t", "ts", "mpegts")
M2TS: Final = _type("video/mp2t", "m2ts", "mpegts")
GIF: Final = _type("image/gif", "gif", "gif")
JPEG: Final = _type("image/jpeg", "jpg", "jpeg_pipe")
PNG: Final = _type("image/png", "png", "png_pipe")
MOVING_PNG: Final = _type("image/png", "png", "apng")
"""Nothing that is sniffed: who made one reads all of its pictures so."""
WEBP: Final = _type("image/webp", "webp", "webp_pipe")
AVIF: Final = _type("image/avif", "avif", "mov")
HEIC: Final = _type("image/heic", "heic", "mov")

_BY_MAGIC: Final[tuple[tuple[bytes, FileType], ...]] = (
    (b"ID3", MP3),
    (b"fLaC", FLAC),
    (b"FLV\x01", FLV),
    (b"GIF87a", GIF),
    (b"GIF89a", GIF),
    (b"\xff\xd8\xff", JPEG),
    (b"\x89PNG\r\n\x1a\n", PNG),
)
_RIFF: Final = {b"WAVE": WAV, b"AVI ": AVI, b"WEBP": WEBP}
_HEIC: Final = frozenset([b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx"])
_NO_MEDIA: Final = frozenset([b"crx "])
"""Boxes with something else in them: raw pictures of Canon's cameras."""
_HOLDERS: Final = (
    *(b"PK", b"Rar!", b"7z\xbc\xaf", b"\x1f\x8b", b"BZh", b"\xfd7zXZ"),
    *(b"FWS", b"CWS", b"ZWS", b"\0\0\1", b"\x30\x26\xb2\x75", b".RMF", b"FORM", b"RIFX", b"caff"),
    *(b"BM", b"II*\0", b"MM\0*", b"%PDF", b"\x7fELF", b"MZ"),
)
"""What archives, films of other kinds, bitmaps and programs begin with: there may be sound inside
of them.
"""
_OLD_QUICKTIME: Final = frozenset([b"moov", b"mdat", b"wide", b"free", b"skip", b"pnot"])
"""What a QuickTime film begins with that is older than `ftyp`."""


def _ftyp(head: bytes) -> FileType | None:
    length = min(int.from_bytes(head[:4], "big"), len(head))
    brands = [head[8:12], *(head[at : at + 4] for at in range(16, length, 4))]
    major = brands[0]
    if major in _NO_MEDIA:
        return None
    if major == b"qt  ":
        return MOV
    if major in {b"mif1", b"msf1", b"avif", b"avis", *_HEIC}:
        # `mif1` says only "a picture"; the others that it lists say which
        return AVIF if {b"avif", b"avis"} & {*brands} else HEIC
    return M4A if major in {b"M4A ", b"M4B "} else MP4


def _matroska(head: bytes) -> FileType:
    return WEBM if matroska.doc_type(head) == b"webm" else MATROSKA


def _ogg(head: bytes) -> FileType:
    return OGG_VIDEO if {"theora"} & ogg.codecs(head) else OGG


def _mpeg_ts(head: bytes) -> bool:
    return _in_step(head, 188, 0)


def _m2ts(head: bytes) -> bool:
    """Each packet has a time in front of it: what cameras and Blu-rays write."""
    return _in_step(head, 192, 4)


def _in_step(head: bytes, width: int, at: int) -> bool:
    """Whether each of the first packets, three to eight of them, begins with its mark."""
    marks = head[at::width][: min(8, len(head) // width)]
    return len(marks) > 2 and not marks.strip(b"G")


def _quicktime(head: bytes) -> bool:
    return head[4:8] in _OLD_QUICKTIME and int.from_bytes(head[:4], "big") != 0


def _mpeg_audio(head: bytes) -> FileType | None:
    if mpeg_audio.is_adts(head):
        return AAC
    if _is_utf16(head):
        return None
    if mpeg_audio.frame(head) is not None:
        return MP3
    return MP3 if not _begins_otherwise(head) and mpeg_audio.follows(head) else None


def _begins_otherwise(head: bytes) -> bool:
    """Whether it is something else that may hold frames of MPEG audio."""
    return head.startswith(_HOLDERS) or head[257:262] == b"ustar"


def _is_utf16(head: bytes) -> bool:
    """Text in Latin letters that begins as a frame of MPEG audio might."""
    return head[:2] == b"\xff\xfe" and not any(head[3:32:2])


_BY_SHAPE: Final[tuple[tuple[Callable[[bytes], bool], Callable[[bytes], FileType | None]], ...]] = (
    (lambda head: head[4:8] == b"ftyp", _ftyp),
    (_quicktime, lambda _: MOV),
    (lambda head: head[:4] == b"\x1aE\xdf\xa3", _matroska),
    (lambda head: head[:4] == b"OggS", _ogg),
    (lambda head: head[:4] in {b"RIFF", b"RF64", b"BW64"}, lambda head: _RIFF.get(head[8:12])),
    (_mpeg_ts, lambda _: MPEG_TS),
    (_m2ts, lambda _: M2TS),
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


def sniff_file(file: BinaryIO, size: int) -> FileType | None:
    """The same of a whole file: what stands behind a tag of any length counts, not the tag."""
    head = file.read(HEAD)
    kind = sniff(head)
    if kind is not MP3 or not head.startswith(b"ID3"):
        return kind
    data = Bytes(file, size)
    inner = sniff(data.at(id3.behind(data), HEAD))
    return inner if inner in {AAC, FLAC} else MP3
