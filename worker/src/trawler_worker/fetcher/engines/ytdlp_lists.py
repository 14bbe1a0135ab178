"""Playlists, channels and profiles: recognised before anything of them is fetched."""

import itertools
from collections.abc import Callable, Mapping
from typing import Any, Final

from yt_dlp.utils import LazyList, PagedList

from trawler_common.plain import clean
from trawler_crds import addresses
from trawler_crds.media_job import (
    MOST_ENTRIES,
    MOST_ENTRY_TITLE,
    MOST_ENTRY_URL,
    Playlist,
    PlaylistEntry,
)
from trawler_worker.fetcher.errors import IsPlaylist

EMBEDDED: Final = 10
"""So many videos of other sites a page may show and still be one post: as many as a message takes."""
_PAGES: Final = frozenset(["Generic", "HTML5MediaEmbed"])
"""Extractors that read any page."""
_REFERENCES: Final = frozenset(["url", "url_transparent"])
_MOST_SECONDS: Final = 10_000_000


def watched(process: Callable[..., Any]) -> Callable[..., Any]:
    """yt-dlp's `process_ie_result`, which would go on to fetch every entry. Raises IsPlaylist."""

    def judged(found: Any, *rest: Any, **more: Any) -> Any:
        if isinstance(found, dict) and found.get("_type") == "playlist":
            _judge(found)
        return process(found, *rest, **more)

    return judged


def _judge(found: dict[str, Any]) -> None:
    """Several media of one post are an album; what only refers to pages of their own is a list."""
    entries = found.get("entries")
    if entries is None:
        return
    if not isinstance(entries, list | PagedList | LazyList):
        entries = found["entries"] = LazyList(entries)  # what was looked at is there once more
    first = _first(entries)
    references = [each for each in first if each and each.get("_type") in _REFERENCES]
    if len(first) <= 1 or len(references) < len(first):
        return
    if found.get("extractor_key") in _PAGES and len(first) <= EMBEDDED:
        return
    named = [entry for each in references if (entry := _entry(each)) is not None]
    if named:
        raise IsPlaylist(
            Playlist(
                title=_title(found), count=_count(found, entries), entries=named[:MOST_ENTRIES]
            )
        )


def _first(entries: Any) -> list[Any]:
    most = MOST_ENTRIES + 1
    if isinstance(entries, PagedList):
        return list(entries.getslice(0, most))
    return list(itertools.islice(entries, most))


def _title(found: Mapping[str, Any]) -> str | None:
    title = found.get("title")
    return clean(title, limit=256) or None if isinstance(title, str) else None


def _count(found: Mapping[str, Any], entries: Any) -> int | None:
    """How many it holds, where somebody knows."""
    said = found.get("playlist_count")
    if isinstance(said, int) and 0 <= said <= 10_000_000:
        return said
    return len(entries) if isinstance(entries, list) else None


def _entry(each: Mapping[str, Any]) -> PlaylistEntry | None:
    """One of them; its address is judged like what people type."""
    url = str(each.get("url") or "")
    if len(url) > MOST_ENTRY_URL or addresses.fault(url):
        return None
    title, seconds = each.get("title"), each.get("duration")
    timed = isinstance(seconds, int | float) and 0 <= seconds < _MOST_SECONDS
    return PlaylistEntry(
        url=url,
        title=clean(title, limit=MOST_ENTRY_TITLE) or None if isinstance(title, str) else None,
        seconds=float(seconds or 0) if timed else None,
    )
