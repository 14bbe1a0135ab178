"""Reads subtitles in any format that sites use, cuts them to a section, and writes them as every
player reads them.

Subtitles are untrusted text: they are read with bounds, and never by a program that follows
references in them. SRT and WebVTT are parsed here, line by line. A library parses styled text (ASS)
and XML (TTML).
"""

import html
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import Final

import pysubs2

from trawler_crds.failures import FailureReason
from trawler_worker.fetcher.conversion.film import Part
from trawler_worker.fetcher.errors import FetchError

MOST_BYTES: Final = 2 * 1024 * 1024
"""Maximum size of a subtitle file in bytes. A film of three hours has about 200 KB."""
MOST_LINES: Final = 20_000
MOST_WORDS: Final = 500
"""Maximum characters of one cue. It protects the parsers from a line as long as a book."""
AT_ONCE: Final = 12
"""Maximum number of lines drawn into one frame."""
SIZE: Final = 16
"""Default font size, relative to a frame height of 288 (libass)."""
_HEAD: Final = 4096
_LONGEST: Final = 100 * 3600 * 1000
_TIME: Final = r"(?:(\d{1,3}):)?(\d{1,2}):(\d{1,2})[.,](\d{1,3})"
_TIMES: Final = re.compile(rf"\s*{_TIME}\s*-->\s*{_TIME}(?:\s.*)?")
_TAG: Final = re.compile(r"<(/?)([A-Za-z\d:.]{1,40})(?:[ .][^<>]{0,200})?>")
_KEPT: Final = frozenset("ibu")
_OLD_TTML: Final = re.compile(r"http://www\.w3\.org/200\d/\d\d/ttaf1(?=[\"'])")
_BLOCK: Final = re.compile(r"\{[^{}]{0,500}\}")
_LOOKS: Final = re.compile(
    r"\\(?:[ibus]\d?|an\d|[1-4]?c&H[0-9A-Fa-f]{1,8}&|pos\([\d.,\s-]{1,30}\))(?=[\\}])"
)
"""Style overrides that are kept: none that moves, blurs, clips or draws."""
_DRAWING: Final = re.compile(r"\\p[1-9]")


class TextFormat(StrEnum):
    """A subtitle format. The value is the file extension."""

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
class Line:
    """One cue: start and end in milliseconds, and its text with <i>, <b> and <u>."""

    start: int
    end: int
    words: str


@dataclass
class Subtitles:
    """The cues of one subtitle file."""

    format: TextFormat
    lines: list[Line]
    styled: pysubs2.SSAFile | None = None
    """The same cues with their original styles."""

    def cut(self, part: Part) -> None:
        """Keep the cues within a section. Times become relative to its beginning."""
        start, end = round(part.start * 1000), round(part.end * 1000)
        self.lines = [
            replace(line, start=max(0, line.start - start), end=min(line.end, end) - start)
            for line in self.lines
            if line.end > start and line.start < end
        ]
        if self.styled is not None:
            kept = [each for each in self.styled if each.end > start and each.start < end]
            for each in kept:
                each.start, each.end = max(0, each.start - start), min(each.end, end) - start
            self.styled.events = kept

    def write_srt(self, path: Path) -> bool:
        """Write SRT, which every player reads. Returns False if there are no cues."""
        text = "\n".join(
            f"{number}\n{_clock(line.start)} --> {_clock(line.end)}\n{line.words}\n"
            for number, line in enumerate(self.lines, 1)
        )
        path.write_text(text, encoding="utf-8", newline="\n")
        return bool(self.lines)

    def write_ass(self, path: Path) -> None:
        """Write ASS for burning in. Keeps a limited set of the original styles, and drops embedded
        fonts and pictures.
        """
        made = self.styled or _plain(self.lines)
        made.fonts_opaque.clear()
        made.graphics_opaque.clear()
        for style in made.styles.values():
            style.fontsize = min(max(style.fontsize, 1.0), 96.0)
            style.outline, style.shadow = min(style.outline, 4.0), min(style.shadow, 4.0)
            style.scalex, style.scaley = min(style.scalex, 200.0), min(style.scaley, 200.0)
            style.spacing = style.angle = 0.0
        made.events = list(_drawable(made.events))
        path.write_text(made.to_string("ass"), encoding="utf-8", newline="\n")


def read(path: Path) -> Subtitles:
    """Read a subtitle file. A file without spoken text has no lines. Raises FetchError (SiteError)
    if it is not subtitles, or is larger than those of any film.
    """
    if path.stat().st_size > MOST_BYTES:
        raise _unreadable()
    text = _text(path.read_bytes())
    kind = _format(text)
    if kind is None:
        raise _unreadable()
    styled = None
    if kind in {TextFormat.ASS, TextFormat.TTML}:
        styled = _by_library(text, kind)
        text = styled.to_string("srt")
    lines = sorted(_lines(text, kind), key=lambda line: line.start)
    if len(lines) > MOST_LINES:
        raise _unreadable()
    return Subtitles(kind, lines, styled if kind is TextFormat.ASS else None)


def _unreadable() -> FetchError:
    return FetchError(FailureReason.SITE_ERROR, "The subtitles that the site sent are broken.")


def _text(data: bytes) -> str:
    """Decode the bytes. Most files are UTF-8; those from old discs are not."""
    if data[:2] in {b"\xff\xfe", b"\xfe\xff"}:
        text = data.decode("utf-16", errors="replace")
    else:
        try:
            text = data.decode("utf-8-sig")
        except UnicodeDecodeError:
            text = data.decode("cp1252", errors="replace")
    return text.replace("\r\n", "\n").replace("\r", "\n").replace("\0", "")


def _format(text: str) -> TextFormat | None:
    """Detect the format by the first characters."""
    head = text[:_HEAD].lstrip()
    if head.startswith("WEBVTT"):
        return TextFormat.VTT
    if "[script info]" in head.lower():
        return TextFormat.ASS
    if head.startswith("<") and ("/ttml" in head or "/ttaf1" in head):
        return TextFormat.TTML
    return TextFormat.SRT if any(map(_TIMES.fullmatch, head.split("\n"))) else None


def _by_library(text: str, kind: TextFormat) -> pysubs2.SSAFile:
    """Parse with pysubs2. Long lines of ASS are cut first: some of its patterns take quadratic
    time (observed).
    """
    lines = (
        line[: 4 * MOST_WORDS] if kind is TextFormat.ASS else line for line in text.split("\n")
    )
    given = _OLD_TTML.sub("http://www.w3.org/ns/ttml", "\n".join(lines))
    try:
        found = pysubs2.SSAFile.from_string(given, format_=kind.value)
    except Exception as error:  # hostile text can raise anything in the library
        raise _unreadable() from error
    found.events = [each for each in found.events if 0 <= each.start <= each.end < _LONGEST]
    for each in found.events:
        each.text = each.text[: 2 * MOST_WORDS]
    if len(found.events) > MOST_LINES:
        raise _unreadable()
    return found


def _lines(text: str, kind: TextFormat) -> Iterator[Line]:
    """Parse the cues of SRT or WebVTT. The text of a cue ends at an empty line. Notes, styles and
    cue identifiers are not text (W3C WebVTT, section 4).
    """
    times: re.Match[str] | None = None
    words: list[str] = []
    for line in [*text.split("\n"), ""]:
        begins = _TIMES.fullmatch(line[:200]) if "-->" in line else None
        if times is None:
            times, words = begins, []
            continue
        if line.strip() and begins is None:
            words.append(line)
            continue
        if begins is not None and words and words[-1].strip().isdecimal():
            words.pop()  # the number of the next cue, if the empty line before it is missing
        found = _line(times, words, kind)
        if found is not None:
            yield found
        times, words = begins, []


def _line(times: re.Match[str], words: list[str], kind: TextFormat) -> Line | None:
    start, end = _milliseconds(times.groups()[:4]), _milliseconds(times.groups()[4:])
    said = "\n".join(words)[:MOST_WORDS]
    said = _TAG.sub(_kept, said)
    if kind is TextFormat.VTT:
        said = html.unescape(said)
    said = "\n".join(line.strip() for line in said.split("\n") if line.strip())
    return Line(start, end, said) if said and start <= end < _LONGEST else None


def _kept(tag: re.Match[str]) -> str:
    """Keep italic, bold and underline tags; drop speakers and colours."""
    name = tag[2].partition(".")[0].lower()
    return f"<{tag[1]}{name}>" if name in _KEPT else ""


def _milliseconds(said: Iterable[str | None]) -> int:
    hours, minutes, seconds, rest = said
    whole = int(hours or 0) * 3600 + int(minutes or 0) * 60 + int(seconds or 0)
    return whole * 1000 + int((rest or "0").ljust(3, "0"))


def _clock(milliseconds: int) -> str:
    seconds, rest = divmod(milliseconds, 1000)
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours:02}:{minutes:02}:{seconds:02},{rest:03}"


def _plain(lines: Iterable[Line]) -> pysubs2.SSAFile:
    """Build an ASS file with the default style. Text is escaped so that none of it acts as a
    command.
    """
    found = pysubs2.SSAFile()
    found.styles["Default"].fontsize = SIZE
    for line in lines:
        words = line.words.replace("\\", "\u29f5").replace("{", "\\{").replace("}", "\\}")
        words = re.sub(r"<(/?)([ibu])>", lambda t: f"{{\\{t[2]}{0 if t[1] else 1}}}", words)
        found.append(pysubs2.SSAEvent(line.start, line.end, words.replace("\n", "\\N")))
    return found


def _drawable(events: Iterable[pysubs2.SSAEvent]) -> Iterator[pysubs2.SSAEvent]:
    """The events that may be drawn: text only, a few at a time, with harmless styles."""
    under_way: list[int] = []
    for event in sorted(events, key=lambda each: each.start):
        if event.is_comment or _DRAWING.search(event.text):
            continue
        under_way = [end for end in under_way if end > event.start]
        if len(under_way) >= AT_ONCE:
            continue
        under_way.append(event.end)
        event.text = _BLOCK.sub(_looks, event.text)
        event.effect = ""
        yield event


def _looks(block: re.Match[str]) -> str:
    if block.start() and block.string[block.start() - 1] == "\\":
        return block[0]  # an escaped brace is text
    kept = "".join(_LOOKS.findall(block[0]))
    return f"{{{kept}}}" if kept else ""
