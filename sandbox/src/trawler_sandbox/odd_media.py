"""Generate media that few players support, or that are displayed differently from how they are
encoded. People post them all the same.

`{folder}` in a recipe is the folder of plain clips, from which some recipes are built.
"""

import io
from collections.abc import Callable
from typing import Any, Final

import pillow_heif
from PIL import Image, ImageDraw

from trawler_sandbox import spoken

_VIDEO: Final = ("-f", "lavfi", "-i", "testsrc=size=320x240:rate=10:duration=4")
_SOUND: Final = ("-f", "lavfi", "-i", "sine=frequency=440:duration=4")
_OTHER: Final = ("-f", "lavfi", "-i", "sine=frequency=880:duration=4")
_PLAIN: Final = ("-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p", "-g", "10")
_X264: Final = ("-c:v", "libx264", "-preset", "ultrafast")
_X265: Final = (
    *("-c:v", "libx265", "-preset", "ultrafast", "-x265-params", "log-level=error"),
    *("-tag:v", "hvc1"),
)
_AAC: Final = ("-c:a", "aac", "-b:a", "32k")
_VP9: Final = ("-c:v", "libvpx-vp9", "-b:v", "200k", "-deadline", "realtime", "-cpu-used", "8")
_COPIED: Final = ("-i", "{folder}/clip.mp4", "-c", "copy")
_BRIGHT: Final = (
    "zscale=p=bt2020:t={transfer}:m=bt2020nc:r=limited:pin=bt709:tin=bt709:min=bt709:npl=203,"
    "format=yuv420p10le"
)
_TEN: Final = ("-pix_fmt", "yuv420p10le")
_WIDE: Final = ("-color_primaries", "bt2020", "-colorspace", "bt2020nc")


def _film(*words: str, sound: tuple[str, ...] = _AAC) -> tuple[str, ...]:
    return (*_VIDEO, *_SOUND, *words, *sound)


def _at(size: str, rate: int = 10, seconds: int = 4) -> tuple[str, ...]:
    return ("-f", "lavfi", "-i", f"testsrc=size={size}:rate={rate}:duration={seconds}")


RECIPES: Final[dict[str, tuple[str, ...]]] = {
    "subtitled.mkv": (
        *("-i", "{folder}/clip.mp4", "-i", "{folder}/clip.en.srt", "-i", "{folder}/clip.fr.ass"),
        *("-map", "0", "-map", "1", "-map", "2", "-c", "copy"),
        *("-metadata:s:s:0", "language=eng", "-metadata:s:s:1", "language=fre"),
    ),
    "subtitled.mp4": (
        *("-i", "{folder}/clip.mp4", "-i", "{folder}/clip.en.srt", "-map", "0", "-map", "1"),
        *("-c", "copy", "-c:s", "mov_text", "-metadata:s:s:0", "language=eng"),
    ),
    "chapters.mp4": (
        *("-i", "{folder}/clip.mp4", "-i", "{folder}/clip.chapters.txt"),
        *("-map", "0", "-map_metadata", "1", "-c", "copy", "-movflags", "+faststart"),
    ),
    "hevc.mp4": _film(*_X265, "-pix_fmt", "yuv420p"),
    "hevc10.mp4": _film(*_X265, *_TEN),
    "ten.mp4": _film(*_X264, *_TEN),
    "full444.mp4": _film(*_X264, "-pix_fmt", "yuv444p"),
    "full.mp4": _film(*_X264, "-pix_fmt", "yuvj420p"),
    "pq.mp4": (
        *(*_VIDEO, *_SOUND, "-vf", _BRIGHT.format(transfer="smpte2084"), *_X265, *_TEN, *_WIDE),
        *("-color_trc", "smpte2084", *_AAC),
    ),
    "hlg.mp4": (
        *(*_VIDEO, *_SOUND, "-vf", _BRIGHT.format(transfer="arib-std-b67"), *_X265, *_TEN, *_WIDE),
        *("-color_trc", "arib-std-b67", *_AAC),
    ),
    "tagged.mp4": _film(*_X265, *_TEN, "-color_trc", "smpte2084"),
    "turned.mp4": (*_COPIED, "-metadata:s:v", "rotate=90"),
    "upsidedown.mp4": (*_COPIED, "-metadata:s:v", "rotate=180"),
    "odd444.mp4": (*_at("321x241"), *_SOUND, *_X264, "-pix_fmt", "yuv444p", *_AAC),
    "odd.webm": (*_at("321x241"), *_SOUND, *_VP9, "-pix_fmt", "yuv420p", "-c:a", "libopus"),
    "lossless.mkv": (*_at("321x241"), *_SOUND, "-c:v", "ffv1", "-c:a", "flac"),
    "varying.mp4": (
        *(*_at("320x240", 30), *_SOUND, "-vf", "select='if(lt(t,2),1,not(mod(n,5)))'"),
        *("-vsync", "vfr", *_PLAIN, *_AAC),
    ),
    "fast.mp4": (*_at("320x240", 120), *_SOUND, *_X265, "-pix_fmt", "yuv420p", *_AAC),
    "interlaced.ts": (
        *(*_at("720x576", 50), *_SOUND, "-vf"),
        "interlace=scan=tff,setfield=tff,fieldorder=tff,setsar=16/15",
        *("-flags", "+ilme+ildct", "-c:v", "mpeg2video", "-b:v", "4M", "-pix_fmt", "yuv420p"),
        *("-c:a", "mp2"),
    ),
    "narrow.mp4": (*_at("360x360"), *_SOUND, "-vf", "setsar=4/3", *_PLAIN, *_AAC),
    "large.mp4": (*_at("2560x1440", 10, 2), *_X264, *_TEN),
    "prores.mov": _film("-c:v", "prores_ks", "-profile:v", "0", sound=("-c:a", "pcm_s16le")),
    "pcm.mov": _film(*_PLAIN, sound=("-c:a", "pcm_s16le")),
    "ac3.mp4": _film(*_PLAIN, sound=("-c:a", "ac3")),
    "eac3.mp4": _film(*_PLAIN, sound=("-c:a", "eac3")),
    "alac.mp4": _film(*_PLAIN, sound=("-c:a", "alac")),
    "opus.mp4": _film(*_PLAIN, sound=("-c:a", "libopus")),
    "flac.mp4": _film(*_PLAIN, sound=("-c:a", "flac", "-strict", "-2")),
    "mp3.mp4": _film(*_PLAIN, sound=("-c:a", "libmp3lame")),
    "vorbis.mp4": _film(*_PLAIN, sound=("-c:a", "libvorbis")),
    "mono.mp4": _film(*_X265, "-pix_fmt", "yuv420p", sound=("-c:a", "aac", "-ac", "1")),
    "surround.mp4": _film(*_PLAIN, sound=("-c:a", "aac", "-ac", "6")),
    "two.mp4": (
        *(*_VIDEO, *_SOUND, *_OTHER, "-map", "0", "-map", "1", "-map", "2", *_PLAIN, *_AAC),
    ),
    "silent.webm": (*_VIDEO, *_VP9, "-pix_fmt", "yuv420p"),
    "alpha.webm": (*_VIDEO, "-vf", "format=yuva420p", *_VP9, "-pix_fmt", "yuva420p"),
    "cover.m4a": (
        *(*_SOUND, "-i", "{folder}/clip.jpg", "-map", "0", "-map", "1", *_AAC, "-c:v", "copy"),
        *("-disposition:v", "attached_pic", "-metadata", "title=A tone"),
    ),
}


def _shown(number: int = 0, size: tuple[int, int] = (640, 480)) -> Image.Image:
    """A picture whose upper left corner differs from the others."""
    picture = Image.new("RGB", size, (40, 90, 160))
    drawing = ImageDraw.Draw(picture)
    drawing.rectangle((0, 0, size[0] // 4, size[1] // 4), fill=(240, 200, 40))
    drawing.ellipse((60 + 20 * number, 200, 160 + 20 * number, 300), fill=(200, 40, 40))
    return picture


def _saved(kind: str, **more: Any) -> bytes:
    held = io.BytesIO()
    _shown().save(held, kind, **more)
    return held.getvalue()


def _moving(kind: str) -> bytes:
    held = io.BytesIO()
    pictures = [_shown(n) for n in range(10)]
    pictures[0].save(held, kind, save_all=True, append_images=pictures[1:], duration=100)
    return held.getvalue()


def _phone(tile: int) -> bytes:
    """A HEIF picture as phones save it. `tile`: size of its grid tiles in pixels; 0: no grid."""
    pillow_heif.register_heif_opener()
    usual, pillow_heif.options.GRID_TILE_SIZE = pillow_heif.options.GRID_TILE_SIZE, tile
    try:
        return _saved("HEIF", quality=60)
    finally:
        pillow_heif.options.GRID_TILE_SIZE = usual


def _cmyk() -> bytes:
    held = io.BytesIO()
    _shown().convert("CMYK").save(held, "JPEG")
    return held.getvalue()


def _on_its_side(kind: str) -> bytes:
    """A picture whose Exif orientation turns it by 90 degrees."""
    exif = Image.Exif()
    exif[0x0112] = 6
    return _saved(kind, exif=exif)


_SVG: Final = (
    b'<svg xmlns="http://www.w3.org/2000/svg" width="320" height="240">'
    b'<rect width="320" height="240" fill="#28a"/><circle cx="160" cy="120" r="60"'
    b' fill="#c33"/></svg>'
)

_TEXTS: Final = tuple(f"{language}.{ending}" for language, ending in spoken.ENDINGS.items())
_CHAPTERS: Final = b""";FFMETADATA1
title=With chapters
[CHAPTER]
TIMEBASE=1/1000
START=0
END=2000
title=The first half
[CHAPTER]
TIMEBASE=1/1000
START=2000
END=4000
title=The second half
"""


def _text(name: str) -> Callable[[], bytes]:
    return lambda: spoken.subtitles(*name.split(".")).encode()


DRAWN: Final[dict[str, Callable[[], bytes]]] = {
    "phone.heic": lambda: _phone(0),
    "tiled.heic": lambda: _phone(256),
    "turned.avif": lambda: _on_its_side("AVIF"),
    "turned.jpg": lambda: _on_its_side("JPEG"),
    "moving.avif": lambda: _moving("AVIF"),
    "animated.webp": lambda: _moving("WEBP"),
    "cmyk.jpg": _cmyk,
    "drawing.svg": lambda: _SVG,
    "chapters.txt": lambda: _CHAPTERS,
    **{name: _text(name) for name in _TEXTS},
}
"""Files that ffmpeg cannot write, or not in this form."""
ODD: Final = (*RECIPES, *DRAWN)
