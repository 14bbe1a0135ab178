"""Subtitles: read in whatever way a site writes them, cut to a part, and written as every player reads them.

They are text from a site: read by a library, with bounds, and never by a program that follows what they name.
"""

import html
import re
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Final

import pysubs2

from trawler_crds.failures import FailureReason
from trawler_worker.fetcher.conversion.film import Part
from trawler_worker.fetcher.errors import FetchError

MOST_BYTES: Final = 8 * 1024 * 1024
"""A film of three hours has some 200 KB."""
MOST_LINES: Final = 50_000
SIZE: Final = 16
"""Of letters, where the subtitles do not say: of a picture that is 288 high (libass)."""
_HEAD: Final = 4096
_BLANK: Final = re.compile(r"\n[ \t]*\n")
_SPANS: Final = re.compile(r"<(?:[\d:.]+|/?(?:v|c|lang|ruby|rt)\b[^>]{0,200})>")


class TextFormat(StrEnum):
    """How subtitles are written; the value is the file's ending."""

    SRT = "srt"
    VTT = "vtt"
    ASS = "ass"
    TTML = "ttml"

    @property
    def type(self) -> str:
        return _TYPES[self]


_TYPES: Final = {
    TextFormat.SRT: "application/x-subrip",
    TextFormat.VTT: "text/vtt",
    TextFormat.ASS: "text/x-ssa",
    TextFormat.TTML: "application/ttml+xml",
}


@dataclass(frozen=True)
class Subtitles:
    """What is said when."""

    format: TextFormat
    lines: pysubs2.SSAFile

    def cut(self, part: Part) -> None:
        """Keep those of a part, from its beginning on."""
        start, end = round(part.start * 1000), round(part.end * 1000)
        kept = [line for line in self.lines if line.end > start and line.start < end]
        for line in kept:
            line.start, line.end = max(0, line.start - start), min(line.end, end) - start
        self.lines.events = kept

    def write_srt(self, path: Path) -> bool:
        """As every player reads them; False where nothing is said."""
        text = self.lines.to_string("srt")
        if not text.strip():
            return False
        path.write_text(text, encoding="utf-8", newline="\n")
        return True

    def write_ass(self, path: Path) -> None:
        """For drawing: with its own looks where it has some, but no fonts and pictures of its own."""
        if self.format is not TextFormat.ASS:
            self.lines.styles["Default"].fontsize = SIZE
        self.lines.fonts_opaque.clear()
        self.lines.graphics_opaque.clear()
        path.write_text(self.lines.to_string("ass"), encoding="utf-8", newline="\n")


def read(path: Path) -> Subtitles:
    """Raises FetchError (SiteError) for what are no subtitles, or more than any film has."""
    if path.stat().st_size > MOST_BYTES:
        raise _unreadable()
    text = _text(path.read_bytes())
    kind = _format(text)
    if kind is None:
        raise _unreadable()
    try:
        lines = pysubs2.SSAFile.from_string(
            _cues(text) if kind is TextFormat.VTT else text, format_=kind.value
        )
    except Exception as error:  # whatever the library makes of hostile text
        raise _unreadable() from error
    if not 0 < len(lines) <= MOST_LINES:
        raise _unreadable()
    if kind in {TextFormat.VTT, TextFormat.TTML}:
        for line in lines:
            line.text = html.unescape(line.text)
    return Subtitles(kind, lines)


def _unreadable() -> FetchError:
    return FetchError(FailureReason.SITE_ERROR, "The subtitles that the site sent are broken.")


def _text(data: bytes) -> str:
    """Most is UTF-8; what old discs left behind is not."""
    if data[:2] in {b"\xff\xfe", b"\xfe\xff"}:
        text = data.decode("utf-16", errors="replace")
    else:
        try:
            text = data.decode("utf-8-sig")
        except UnicodeDecodeError:
            text = data.decode("cp1252", errors="replace")
    return text.replace("\r\n", "\n").replace("\r", "\n").replace("\0", "")


def _format(text: str) -> TextFormat | None:
    """By what it begins with."""
    head = text[:_HEAD].lstrip()
    if head.startswith("WEBVTT"):
        return TextFormat.VTT
    if "[script info]" in head.lower():
        return TextFormat.ASS
    if head.startswith("<") and "/ttml" in head:
        return TextFormat.TTML
    return TextFormat.SRT if "-->" in head else None


def _cues(text: str) -> str:
    """WebVTT with nothing but cues in it: notes, styles and names of cues are no words (W3C WebVTT, section 4)."""
    cues = []
    for block in _BLANK.split(text):
        lines = block.split("\n")
        at = next((number for number, line in enumerate(lines) if "-->" in line), None)
        if at is not None:
            cues.append("\n".join([lines[at], *(_SPANS.sub("", line) for line in lines[at + 1 :])]))
    return "WEBVTT\n\n" + "\n\n".join(cues) + "\n"
