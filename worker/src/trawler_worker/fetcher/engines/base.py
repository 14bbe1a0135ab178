"""The interface of an engine, which Direct, Cobalt, YtDlp and GalleryDl implement, and the types of
its results.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from trawler_crds.media_job import EngineName, Source
from trawler_crds.sidecar import About
from trawler_worker.fetcher.network.http import Waiter
from trawler_worker.protocol import Fetch


class Report(Waiter, Protocol):
    """How an engine reports its progress, and that it waits for a site."""

    def __call__(self, done: int, total: int | None, /) -> None:
        """Report the bytes fetched so far, and the total if it is known."""
        ...

    def told(self, title: str | None, thumbnail: str | None, age_limit: int | None) -> None:
        """Report what the site says about the media, before the bytes arrive."""
        ...


Picture = Callable[[], Path | None]


def no_picture() -> None:
    """The `Picture` of a site that has none."""


@dataclass(frozen=True, kw_only=True)
class Text:
    """A subtitle file in scratch that has not been read yet."""

    path: Path
    language: str


@dataclass(frozen=True, kw_only=True)
class Fetched:
    """One file in scratch that has not been validated yet."""

    path: Path
    seconds: float | None = None
    """Duration in seconds as the site announced it, if it did."""
    called: str | None = None
    """The site's name for the file."""
    measured: bool = False
    """Whether every response body of the file ended where its own framing announced."""
    assembled: bool = False
    """Whether the file was assembled here. Its structure then proves nothing about the bytes that
    arrived.
    """
    repaired: bool = False
    """Whether the file was rewritten here. Its structure then proves nothing either, but the
    framing of its response bodies may.
    """
    texts: tuple[Text, ...] = ()
    """Its subtitles in the requested languages."""
    picture: Picture = no_picture
    """Fetches the site's own picture of the media, which has not been validated yet."""
    caption: str | None = None
    """The post's caption of this file."""


@dataclass(frozen=True, kw_only=True)
class Found:
    """The result of an engine."""

    files: list[Fetched]
    unsorted: bool = False
    """Whether the files are everything that a page shows, icons and logos included, because nothing
    selected among them.
    """
    source: Source = field(default_factory=Source)
    about: About = field(default_factory=About)
    languages: tuple[str, ...] = ()
    """Languages of the subtitles that the site offers."""


class Engine(Protocol):
    """Turns an address into files. Runs in a job process that may be killed at any time."""

    name: EngineName
    second_hand: bool
    """Whether the files are relayed by a third party. A relayed file may be broken where the site's
    own is intact, so another engine tries if the validation fails.
    """

    def fetch(self, order: Fetch, scratch: Path, report: Report) -> Found:
        """Fetch into scratch. Raises FetchError. If another engine should try, this is an
        EngineDeclined or an error with `elsewhere` set.
        """
        ...
