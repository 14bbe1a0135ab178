"""Labels that players show for a file: title, author, date, origin and chapters. Pure."""

from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import Final

from trawler_crds.media_job import Source
from trawler_crds.sidecar import About, Chapter
from trawler_worker.fetcher.conversion import chapters
from trawler_worker.fetcher.media.inspection import Inspected

MOST: Final = 1000
"""Maximum length of the description inside a file. The sidecar holds more of it."""


@dataclass(frozen=True, kw_only=True)
class Labels:
    """The tags and chapters that are written into a converted file."""

    tags: tuple[str, ...] = ()
    """As ffmpeg options."""
    chapters: tuple[Chapter, ...] = ()

    def of(self, seen: Inspected, *, start: float = 0.0, seconds: float | None = None) -> "Labels":
        """The labels for this file, or for a section of it. Uses the site's chapters, otherwise
        those embedded in the file.
        """
        known: Collection[Chapter] = self.chapters or seen.inside.chapters
        lasts = seconds if seconds is not None else seen.inside.seconds
        fitting = chapters.within(known, lasts, start=start) if lasts else ()
        return replace(self, chapters=fitting)


NO_LABELS: Final = Labels()


def tags(source: Source, about: About, url: str) -> tuple[str, ...]:
    """The tags as ffmpeg options. All values were sanitized on arrival. The query of the requested
    URL is dropped: it may be signed or private.
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
