"""What a file says of itself, for players: title, author, date, where it is from, and the names of
its parts. Pure.
"""

from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import Final

from trawler_crds.media_job import Source
from trawler_crds.sidecar import About, Chapter
from trawler_worker.fetcher.conversion import chapters
from trawler_worker.fetcher.media.inspection import Inspected

MOST: Final = 1000
"""Bytes of a description that go into a file; the sidecar has more of it."""


@dataclass(frozen=True, kw_only=True)
class Labels:
    """What is written into a file that is made anew."""

    tags: tuple[str, ...] = ()
    """As ffmpeg is told."""
    chapters: tuple[Chapter, ...] = ()

    def of(self, seen: Inspected, *, start: float = 0.0, seconds: float | None = None) -> "Labels":
        """As they are for this file, or for a part of it: the site's chapters, else those inside of
        the file.
        """
        known: Collection[Chapter] = self.chapters or seen.inside.chapters
        lasts = seconds if seconds is not None else seen.inside.seconds
        fitting = chapters.within(known, lasts, start=start) if lasts else ()
        return replace(self, chapters=fitting)


NO_LABELS: Final = Labels()


def tags(source: Source, about: About, url: str) -> tuple[str, ...]:
    """As ffmpeg is told; all of it was cleaned where it came in. Of the address that was asked for
    only what leads there: its query may be signed, or somebody's own.
    """
    said = {
        "title": source.title,
        "artist": source.author,
        "date": about.published,
        "description": about.description and about.description[:MOST],
        "copyright": about.licence,
        "comment": source.page if source.page not in {None, url} else url.partition("?")[0],
    }
    return tuple(
        word for name, value in said.items() if value for word in ("-metadata", f"{name}={value}")
    )
