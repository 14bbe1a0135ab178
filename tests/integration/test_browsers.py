"""Requests that look like a browser's: only where an extractor asks for it, and only through the
proxy.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from yt_dlp.extractor.common import InfoExtractor

from fetching import fetch, proved
from rawsite import Asked, Said, answer, rawsite
from trawler_sandbox.media import Studio
from trawler_worker.fetcher.engines.extractor_index import Shortlist
from trawler_worker.fetcher.engines.ytdlp import YtDlp
from trawler_worker.fetcher.errors import FetchError

pytestmark = pytest.mark.timeout(120)


class PickyIE(InfoExtractor):  # type: ignore[misc]  # yt-dlp has no types
    """A site that wants to see a browser."""

    _VALID_URL = r"https?://(?:picky\.example|127\.0\.0\.1:\d+)/(?P<id>\w+)$"

    def _real_extract(self, url: str) -> dict[str, Any]:
        page = self._download_webpage(url, "x", impersonate=True, headers={"X-Mine": "yes"})
        return {"id": "x", "title": page.strip(), "url": "http://picky.example/x.mp4", "ext": "mp4"}


def knowing_it(engine: YtDlp) -> YtDlp:
    """With one site more."""
    ydl = engine._ydl
    ydl.add_info_extractor(PickyIE())
    others = {key: each for key, each in ydl._ies.items() if key != "Picky"}
    engine._shortlist = Shortlist({"Picky": ydl._ies["Picky"], **others})
    return engine


class Proxy:
    """Answers whatever is asked of it."""

    def __init__(self, studio: Studio) -> None:
        self.asked: list[Asked] = []
        self.film = studio.clip("mp4")
        self.page: list[Said] = [answer("200 OK", b"A title", "Content-Type: text/html")]

    def __call__(self, asked: Asked) -> Said:
        self.asked.append(asked)
        if asked.target.endswith(".mp4"):
            return answer("200 OK", self.film, "Content-Type: video/mp4")
        return self.page.pop(0) if len(self.page) > 1 else self.page[0]


@pytest.fixture
def proxy(studio: Studio) -> Proxy:
    return Proxy(studio)


@pytest.fixture
def engine(proxy: Proxy) -> Iterator[YtDlp]:
    with rawsite(proxy) as site:
        yield knowing_it(YtDlp(site.url("").rstrip("/")))


def of_pages(proxy: Proxy) -> list[Asked]:
    return [each for each in proxy.asked if not each.target.endswith(".mp4")]


def test_who_asks_for_it_is_a_browser_and_all_else_is_not(
    engine: YtDlp, proxy: Proxy, tmp_path: Path
) -> None:
    (file,) = proved(engine, "http://picky.example/a", tmp_path)
    assert "A title.mp4" == file.name
    (page,) = of_pages(proxy)
    assert "http://picky.example/a" == page.target  # the proxy was asked, and not the site
    assert "sec-ch-ua" in page.headers
    assert "yes" == page.headers["x-mine"]
    (film,) = (each for each in proxy.asked if each.target.endswith(".mp4"))
    assert "sec-ch-ua" not in film.headers


def test_redirects_are_ours_to_follow(engine: YtDlp, proxy: Proxy, tmp_path: Path) -> None:
    moved = answer("302 Found", b"", "Location: http://picky.example/there?a=%2F")
    proxy.page = [moved, answer("200 OK", b"Moved", "Content-Type: text/html")]
    (file,) = proved(engine, "http://picky.example/a", tmp_path)
    assert "Moved.mp4" == file.name
    assert "http://picky.example/there?a=%2F" == of_pages(proxy)[-1].target


@pytest.mark.parametrize(
    "page",
    [
        [b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nshort"],
        [b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * 9_000_000],
        [b"not http at all"],
        answer("503 Service Unavailable", b"", "Retry-After: 7"),
    ],
)
def test_what_misbehaves_is_a_failure_as_it_is_elsewhere(
    engine: YtDlp, proxy: Proxy, tmp_path: Path, page: list[bytes]
) -> None:
    proxy.page = [page]
    with pytest.raises(FetchError):
        fetch(engine, "http://picky.example/a", tmp_path)


def test_without_a_proxy_nobody_is_a_browser(proxy: Proxy, tmp_path: Path) -> None:
    """Its sockets would be seen by no guard: the page is asked for as all are."""
    engine = knowing_it(YtDlp())
    with rawsite(proxy) as site, pytest.raises(FetchError):
        fetch(engine, site.url("/a"), tmp_path)  # there is no such host as its film's
    (page,) = of_pages(proxy)
    assert "yes" == page.headers["x-mine"]
    assert "sec-ch-ua" not in page.headers
