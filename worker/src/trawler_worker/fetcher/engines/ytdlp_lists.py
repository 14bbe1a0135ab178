"""Detects playlists, channels and profiles before any of their entries is fetched."""

import itertools
from collections.abc import Callable, Mapping
from typing import Any, Final

from yt_dlp.utils import LazyList, PagedList

from trawler_common.text import sanitize
from trawler_crds import addresses
from trawler_crds.media_job import (
    MOST_ENTRIES,
    MOST_ENTRY_TITLE,
    MOST_ENTRY_URL,
    Playlist,
    PlaylistEntry,
)
from trawler_worker.fetcher.errors import IsPlaylist
from trawler_worker.protocol import Fetch

EMBEDDED: Final = 10
"""Maximum number of videos of other sites on a page that still counts as one post: as many as a
message can hold.
"""
_PAGES: Final = frozenset(["Generic", "HTML5MediaEmbed"])
"""Extractors that read any page."""
_REFERENCES: Final = frozenset(["url", "url_transparent"])
_MOST_SECONDS: Final = 10_000_000


class PlaylistJudge:
    """Wraps yt-dlp's `process_ie_result`, which would otherwise fetch every entry of a list."""

    def __init__(self, process: Callable[..., Any], order: Fetch) -> None:
        self._process = process
        self._embedded = max(EMBEDDED, order.limits.max_files)
        self._inside = False
        """Whether an album is being processed. Lists inside it were judged together with it."""

    def judged(self, found: Any, *rest: Any, **more: Any) -> Any:
        """Process a result that is not a playlist. Raises IsPlaylist for one that is."""
        is_list = isinstance(found, dict) and found.get("_type") == "playlist"
        if not is_list or self._inside:
            return self._process(found, *rest, **more)
        self._judge(found)
        self._inside = True
        try:
            return self._process(found, *rest, **more)
        finally:
            self._inside = False

    def _judge(self, found: dict[str, Any]) -> None:
        """Raise IsPlaylist for a list that only refers to other pages. Several media of one post
        are an album.
        """
        entries = found.get("entries")
        if entries is None:
            return
        if not isinstance(entries, list | PagedList | LazyList):
            entries = found["entries"] = LazyList(entries)  # can be iterated again
        first = _first(entries, self._embedded + 1)
        references = [each for each in first if each and each.get("_type") in _REFERENCES]
        if len(first) <= 1 or len(references) < len(first):
            return
        if len(first) <= self._most_embedded(found, references):
            return
        named = [entry for each in references if (entry := _entry(each)) is not None]
        if named:
            raise IsPlaylist(
                Playlist(
                    title=_title(found),
                    count=_count(found, entries),
                    age_limit=_age(found, references),
                    entries=named[:MOST_ENTRIES],
                )
            )

    def _most_embedded(self, found: Mapping[str, Any], references: list[Any]) -> int:
        """How many videos of other sites still make a post and not a list. A page without an
        extractor of its own may show many, unless it is a feed. A post of a known site may show a
        few, if all of them are on other sites.
        """
        here = _host(found.get("webpage_url") or found.get("original_url"))
        if found.get("extractor_key") in _PAGES:
            is_feed = str(found.get("id")).startswith(("http://", "https://"))
            return EMBEDDED if is_feed else self._embedded
        others = [_host(each.get("url")) for each in references]
        return EMBEDDED if here and all(other not in {"", here} for other in others) else 0


def _age(found: Mapping[str, Any], references: list[Any]) -> int | None:
    """The highest age limit that the site states, for the list or for one of its entries. The age
    limit of a yt-dlp extractor itself only concerns its tests.
    """
    said = [found.get("age_limit"), *(each.get("age_limit") for each in references)]
    return max((age for age in said if isinstance(age, int) and 0 <= age <= 99), default=None)


def _host(url: object) -> str:
    """The last two labels of the host, without the subdomains that sites put in front of them."""
    try:
        host = addresses.parse(str(url)).host
    except addresses.BadAddress:
        return ""
    return ".".join(host.lower().rstrip(".").split(".")[-2:])


def _first(entries: Any, most: int) -> list[Any]:
    most = max(most, MOST_ENTRIES + 1)
    if isinstance(entries, PagedList):
        return list(entries.getslice(0, most))
    return list(itertools.islice(entries, most))


def _title(found: Mapping[str, Any]) -> str | None:
    title = found.get("title")
    return sanitize(title, limit=256) or None if isinstance(title, str) else None


def _count(found: Mapping[str, Any], entries: Any) -> int | None:
    """The number of entries, if it is known."""
    said = found.get("playlist_count")
    if isinstance(said, int) and 0 <= said <= 10_000_000:
        return said
    return len(entries) if isinstance(entries, list) else None


def _entry(each: Mapping[str, Any]) -> PlaylistEntry | None:
    """One entry of the list; None if its address fails the checks for typed addresses."""
    url = str(each.get("url") or "")
    if len(url) > MOST_ENTRY_URL or addresses.fault(url):
        return None
    title, seconds = each.get("title"), each.get("duration")
    timed = isinstance(seconds, int | float) and 0 <= seconds < _MOST_SECONDS
    return PlaylistEntry(
        url=url,
        title=sanitize(title, limit=MOST_ENTRY_TITLE) or None if isinstance(title, str) else None,
        seconds=float(seconds or 0) if timed else None,
    )
