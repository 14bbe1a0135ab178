"""What is a list, and what an album: nothing of a list is fetched."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from yt_dlp.utils import InAdvancePagedList, LazyList, OnDemandPagedList

from trawler_crds.media_job import Limits, Media
from trawler_worker.fetcher.engines.gallery_messages import playlist
from trawler_worker.fetcher.engines.ytdlp_lists import PlaylistJudge
from trawler_worker.fetcher.errors import FetchError, IsPlaylist
from trawler_worker.protocol import Fetch

Entry = dict[str, Any]


def reference(n: int) -> Entry:
    title = f"Part {n}\u202e"
    return {"_type": "url", "url": f"https://site.example/{n}", "title": title, "duration": n}


def video(n: int) -> Entry:
    return {"id": str(n), "formats": []}


def page(number: int) -> Iterator[Entry]:
    yield from (reference(number * 10 + n) for n in range(10 if number < 4 else 0))


SHAPES: dict[str, Callable[[], Any]] = {
    "a list": lambda: [reference(n) for n in range(40)],
    "a generator": lambda: (reference(n) for n in range(40)),
    "lazy": lambda: LazyList(reference(n) for n in range(40)),
    "pages": lambda: OnDemandPagedList(page, 10),
    "known pages": lambda: InAdvancePagedList(page, 4, 10),
}


def wish() -> Fetch:
    url = "https://site.example/all"
    return Fetch(job="u-1", url=url, media=Media(), engines=[], limits=Limits(), seconds=9)


def watched(gone_on: list[Any]) -> Callable[[Any], Any]:
    return PlaylistJudge(gone_on.append, wish()).judged


def judged(entries: Any, **more: Any) -> list[Any]:
    """What yt-dlp would go on with. Raises IsPlaylist."""
    gone_on: list[Any] = []
    page = {"webpage_url": "https://site.example/all", "id": "all", "title": "All"}
    watched(gone_on)({"_type": "playlist", "entries": entries, **page, **more})
    return gone_on


@pytest.mark.parametrize("shape", SHAPES)
def test_a_list_is_told_and_not_gone_on_with(shape: str) -> None:
    with pytest.raises(IsPlaylist) as found:
        judged(SHAPES[shape](), extractor_key="YoutubeTab")
    listed = found.value.playlist
    assert listed is not None
    assert "All" == listed.title
    assert 25 == len(listed.entries)
    assert ("https://site.example/0", "Part 0", 0.0) == (
        listed.entries[0].url,
        listed.entries[0].title,
        listed.entries[0].seconds,
    )
    assert (40 if shape == "a list" else None) == listed.count
    assert found.value.fault().playlist == listed


def test_it_says_how_many_there_are_where_the_site_does() -> None:
    with pytest.raises(IsPlaylist, match="Playlist") as found:
        judged(SHAPES["pages"](), playlist_count=1234)
    assert "1234" in found.value.message
    assert found.value.playlist is not None
    assert 1234 == found.value.playlist.count


@pytest.mark.parametrize(
    "entries",
    [
        [video(1), video(2)],
        [video(1), reference(2)],
        [reference(1)],
        [],
        None,
        (video(n) for n in range(2)),
    ],
)
def test_an_album_is_gone_on_with_and_nothing_of_it_is_lost(entries: Any) -> None:
    known = list(entries) if isinstance(entries, list) else None
    (gone_on,) = judged(entries)
    if known is not None:
        assert known == gone_on["entries"]
    elif entries is not None:
        assert [video(0), video(1)] == list(gone_on["entries"])


POST = {"extractor_key": "Tumblr", "webpage_url": "https://blog.example/post/1"}
PAGE = {"extractor_key": "Generic"}
FEED = {"extractor_key": "Generic", "id": "https://site.example/all"}


@pytest.mark.parametrize(
    ("page", "count", "what"),
    [
        *[(PAGE, 20, "album"), (PAGE, 21, "list"), (FEED, 10, "album"), (FEED, 11, "list")],
        *[(POST, 10, "album"), (POST, 11, "list"), ({"extractor_key": "Tube"}, 2, "list")],
        ({"extractor_key": "Tube", "webpage_url": "https://www.site.example/list"}, 2, "list"),
    ],
)
def test_what_shows_a_few_videos_of_others_is_one_post(
    page: dict[str, Any], count: int, what: str
) -> None:
    """A page as many as a job may have, a post of a known site some of other sites, a feed some."""
    entries = [reference(n) for n in range(count)]
    if what == "list":
        with pytest.raises(IsPlaylist):
            judged(entries, **page)
    else:
        assert judged(entries, **page)


def test_a_list_beside_a_video_does_not_take_its_place() -> None:
    """What an album holds is gone on with as it is."""
    gone_on: list[Any] = []
    inner = {"_type": "playlist", "entries": [reference(n) for n in range(40)]}
    outer = {"_type": "playlist", "entries": [video(1), reference(2)]}

    def process(found: Any) -> None:
        gone_on.append(found)
        if found is outer:
            watch.judged(inner)

    watch = PlaylistJudge(process, wish())
    watch.judged(outer)
    assert [outer, inner] == gone_on
    with pytest.raises(IsPlaylist):
        watch.judged(inner)


def test_an_age_limit_is_that_of_the_list_or_its_entries() -> None:
    entries = [reference(n) for n in range(3)]

    def age(**said: Any) -> int | None:
        with pytest.raises(IsPlaylist) as found:
            watched([])({"_type": "playlist", "entries": entries, **said})
        assert found.value.playlist is not None
        return found.value.playlist.age_limit

    assert age() is None
    assert 16 == age(age_limit=16)
    entries[1]["age_limit"] = 18
    assert 18 == age(age_limit=16)


@pytest.mark.parametrize(
    "url",
    ["ytsearch:cats", "", None, "file:///etc/passwd", "javascript:x", "https://a/" + "x" * 1100],
)
def test_what_nobody_could_ask_for_is_not_offered(url: Any) -> None:
    hostile = {"_type": "url", "url": url, "title": 7, "duration": float("inf")}
    with pytest.raises(IsPlaylist) as found:
        judged([hostile, reference(1)])
    assert found.value.playlist is not None
    assert ["https://site.example/1"] == [each.url for each in found.value.playlist.entries]
    assert judged([hostile, hostile])


def test_a_single_video_is_none_of_our_business() -> None:
    gone_on: list[Any] = []
    watched(gone_on)({"_type": "video", "id": "x"})
    watched(gone_on)({"_type": "multi_video", "entries": [reference(n) for n in range(40)]})
    assert 2 == len(gone_on)


def test_posts_of_somebody_are_a_list_too() -> None:
    leads = [f"https://site.example/post/{n}" for n in range(30)] * 2 + ["r:x", "ytdl:http://a/"]
    error = playlist(leads)
    assert isinstance(error, IsPlaylist)
    assert error.playlist is not None
    assert 25 == len({entry.url for entry in error.playlist.entries})
    assert not isinstance(playlist(["oauth:x", "r:y"]), IsPlaylist)
    assert isinstance(playlist(["oauth:x", "r:y"]), FetchError)
