"""Selects the subtitles of one video: those that the site provides, otherwise those embedded in the
file.
"""

import importlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Final

from trawler_crds.media_job import DeliverAs, Media
from trawler_worker.fetcher import languages
from trawler_worker.fetcher.conversion.film import Part
from trawler_worker.fetcher.engines.base import Fetched
from trawler_worker.fetcher.errors import FetchError
from trawler_worker.fetcher.media import ffmpeg
from trawler_worker.fetcher.media.inspection import Inspected
from trawler_worker.fetcher.media.streams import TextTrack

if TYPE_CHECKING:
    from trawler_worker.fetcher.conversion.subtitles import Subtitles, TextFormat

_LETTERS: Final = frozenset(["subrip", "ass", "ssa", "webvtt", "mov_text", "text"])
"""Codecs of text subtitles. Other codecs store pictures of the text."""
_STYLED: Final = frozenset(["ass", "ssa"])


@dataclass(frozen=True, kw_only=True)
class Spoken:
    """Subtitles that were read."""

    language: str
    path: Path
    subtitles: "Subtitles"


@dataclass(frozen=True, kw_only=True)
class Written:
    """Subtitles in the form in which they are stored."""

    language: str
    path: Path
    format: "TextFormat"


def wanted(file: Fetched, path: Path, seen: Inspected, media: Media) -> list[Spoken]:
    """The readable subtitles in the requested languages. For a section of the media, only the lines
    within it.
    """
    sent = {text.language: text.path for text in file.texts}
    tracks, found = _tracks(seen), dict[str, Spoken]()
    for each in media.subtitles or ():
        language = languages.best(each, sent) or languages.best(each, tracks)
        if language is None or language in found:
            continue
        try:
            source = sent.get(language) or _taken_out(tracks[language], path, seen)
            subtitles: Subtitles = _library().read(source)
        except FetchError:
            continue  # broken in one language; another one may be readable
        if media.clip is not None:
            subtitles.cut(Part(media.clip.start_seconds, media.clip.end_seconds))
        found[language] = Spoken(language=language, path=source, subtitles=subtitles)
    return list(found.values())


def inside(seen: Inspected) -> set[str]:
    """The languages of the subtitles embedded in a file."""
    return _tracks(seen).keys() - {languages.UNKNOWN}


def _tracks(seen: Inspected) -> dict[str, TextTrack]:
    """Text tracks by language. The first track of a language wins."""
    return {
        languages.tag(track.language): track
        for track in reversed(seen.inside.texts)
        if track.codec in _LETTERS
    }


def _taken_out(track: TextTrack, path: Path, seen: Inspected) -> Path:
    """Extract a track into a file of its own. Raises FetchError."""
    ending = "ass" if track.codec in _STYLED else "srt"
    out = path.with_name(f"{path.stem}-track{track.at}.{ending}")
    words = ["-map", f"0:s:{track.at}", "-f", ending]
    ffmpeg.run([ffmpeg.Input(path=path, kind=seen.kind)], words, out)
    return out


def write(spoken: Sequence[Spoken], media: Media) -> list[Written]:
    """Write subtitles as SRT, which every player reads. If originals were requested for the whole
    media, keep the files as they came.
    """
    kinds = _library().TextFormat if spoken else None
    written = []
    for each in spoken:
        path, kind = each.path, each.subtitles.format
        if not each.subtitles.lines:
            continue  # no lines in this section
        if media.deliver_as is DeliverAs.PLAYABLE or media.clip is not None:
            assert kinds is not None
            path, kind = path.with_name(f"{path.stem}-made.srt"), kinds.SRT
            each.subtitles.write_srt(path)
        written.append(Written(language=each.language, path=path, format=kind))
    return written


def _library() -> ModuleType:
    """Imported on demand: every fork would carry the module, and few jobs want subtitles."""
    return importlib.import_module("trawler_worker.fetcher.conversion.subtitles")
