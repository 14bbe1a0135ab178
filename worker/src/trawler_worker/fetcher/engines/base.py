"""What an engine is: Direct, Cobalt, YtDlp and GalleryDl."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from trawler_crds.media_job import EngineName, Source
from trawler_crds.sidecar import About
from trawler_worker.fetcher.network.http import Waiter
from trawler_worker.protocol import Fetch


class Report(Waiter, Protocol):
    """How an engine says how far it is, and that it waits."""

    def __call__(self, done: int, total: int | None, /) -> None:
        """Bytes so far, and in all if known."""
        ...

    def told(self, title: str | None, thumbnail: str | None, age_limit: int | None) -> None:
        """What the site says of it, before the bytes come."""
        ...


Picture = Callable[[], Path | None]


def no_picture() -> None:
    """Where a site has none."""


@dataclass(frozen=True, kw_only=True)
class Text:
    """Subtitles in scratch, not yet read."""

    path: Path
    language: str


@dataclass(frozen=True, kw_only=True)
class Fetched:
    """One file in scratch, not yet proved."""

    path: Path
    seconds: float | None = None
    """As the site announced, if it did."""
    called: str | None = None
    """What the site calls the file."""
    measured: bool = False
    """Every body that it was made of came to the end that its own framing announced."""
    assembled: bool = False
    """It was put together here, so that its structure says nothing of what came."""
    repaired: bool = False
    """It was written anew here: neither does that structure say anything, but its bodies may."""
    texts: tuple[Text, ...] = ()
    """Its subtitles in the languages that were asked for."""
    picture: Picture = no_picture
    """Fetches the site's own picture of it, not yet looked at."""
    caption: str | None = None
    """What a post says of this file."""


@dataclass(frozen=True, kw_only=True)
class Found:
    """What an engine brought."""

    files: list[Fetched]
    unsorted: bool = False
    """All that some page shows, icons and logos too: nobody chose."""
    source: Source = field(default_factory=Source)
    about: About = field(default_factory=About)
    languages: tuple[str, ...] = ()
    """Of the subtitles that the site has."""


class Engine(Protocol):
    """One way to turn an address into files. Runs in a job process that may be killed any time."""

    name: EngineName
    second_hand: bool
    """What it brings was passed on by somebody else, and may be broken where the site's own is
    whole: then another engine is asked.
    """

    def fetch(self, order: Fetch, scratch: Path, report: Report) -> Found:
        """Fetch into scratch. Raises FetchError; EngineDeclined, or one that is `elsewhere`, where
        another engine should try.
        """
        ...
