"""The shortlist never changes what yt-dlp answers; it only asks fewer extractors."""

import random
import re
from collections.abc import Iterator
from typing import Any

import pytest
import yt_dlp
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from yt_dlp.extractor.generic import GenericIE

from trawler_worker.fetcher.engines import extractor_literals
from trawler_worker.fetcher.engines.extractor_index import Shortlist, teach
from trawler_worker.fetcher.engines.extractor_literals import needed


@pytest.fixture(scope="module")
def ydl() -> Any:
    return yt_dlp.YoutubeDL({"quiet": True, "noplaylist": True, "cachedir": False})


@pytest.fixture(scope="module")
def table(ydl: Any) -> Shortlist:
    return Shortlist(ydl._ies)


def _examples(extractor: Any) -> Iterator[str]:
    for case in extractor.get_testcases(include_onlymatching=True):
        yield case["url"]


@pytest.fixture(scope="module")
def addresses(ydl: Any) -> list[tuple[str, str]]:
    """(extractor, address) of all of yt-dlp's own tests that the extractor takes."""
    found = [
        (key, url)
        for key, extractor in ydl._ies.items()
        for url in _examples(extractor)
        if extractor.suitable(url)
    ]
    assert len(found) > 4000  # else yt-dlp keeps them elsewhere now
    return found


def test_the_literals_are_current(ydl: Any) -> None:
    assert extractor_literals.written(ydl._ies) == extractor_literals.FILE.read_text(), (
        "`make literals` writes it anew"
    )


def test_without_a_file_of_this_yt_dlp_the_literals_are_read(
    ydl: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = extractor_literals.of_all(ydl._ies)
    monkeypatch.setattr(extractor_literals, "VERSION", "of another day")
    assert kept == extractor_literals.of_all(ydl._ies)


def test_every_extractor_is_asked_about_every_address_it_takes(
    table: Shortlist, addresses: list[tuple[str, str]]
) -> None:
    """By its key being among those that are asked, or an earlier one taking the address."""
    order = {key: number for number, key in enumerate(table)}
    late = [
        (key, url) for key, url in addresses if order[table.taker(url) or "Generic"] > order[key]
    ]
    assert late == []


def test_the_first_taker_is_the_one_yt_dlp_finds(
    ydl: Any, table: Shortlist, addresses: list[tuple[str, str]]
) -> None:
    """Over a sample, because asking everybody is what takes so long."""
    chosen = random.Random(7).sample(addresses, 120)
    for url in [url for _, url in chosen] + ["http://site:8080/page/1", "https://例え.jp/видео"]:
        expected = next(key for key, extractor in ydl._ies.items() if extractor.suitable(url))
        assert expected == table.taker(url), url


def test_few_are_asked_about_a_common_address(ydl: Any) -> None:
    """Else this is a slow way of doing nothing."""
    table = Shortlist(ydl._ies)
    asked: list[Any] = []
    for key, extractor in ydl._ies.items():
        table[key] = _Asked(extractor, asked)
    assert table.taker("https://media.example/page/1?x=2") == "Generic"
    assert 1 <= len(asked) <= 20


class _Asked:
    def __init__(self, extractor: Any, asked: list[Any]) -> None:
        self._extractor, self._asked = extractor, asked

    def suitable(self, url: str) -> bool:
        self._asked.append(self._extractor)
        return bool(self._extractor.suitable(url))


def _embed_patterns() -> list[str]:
    extractors = yt_dlp.YoutubeDL({"quiet": True})._ies.values()
    return sorted({pattern for found in extractors for pattern in found._EMBED_REGEX})


@settings(
    max_examples=400,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
@given(st.data())
def test_what_an_embed_pattern_finds_holds_what_the_pattern_needs(data: st.DataObject) -> None:
    """Pages made from yt-dlp's own patterns."""
    pattern = data.draw(st.sampled_from(_PATTERNS))
    page = data.draw(st.from_regex(re.compile(pattern), fullmatch=True))
    words = needed(pattern)
    assert words is None or any(word in page.lower() for word in words)


_PATTERNS = _embed_patterns()


@pytest.mark.parametrize(
    ("pattern", "words"),
    [
        (r"https?://(?:www\.)?video\.example/(?P<id>\d+)", {"video.example/"}),
        (r"(?x) https?:// (?: one\.example | two\.example ) /\d+", {"one.example", "two.example"}),
        (r"(?i)HTTPS?://SHOUT\.example", {"://shout.example"}),
        (r"https?://(?:optional\.example)?/x", None),
        (r"https?://(?:one\.example|.*)/", None),
        (r".*", None),
    ],
)
def test_what_a_pattern_needs(pattern: str, words: set[str] | None) -> None:
    """One of the words is in whatever the pattern matches."""
    assert words == needed(pattern)


PAGES = {
    "vimeo": '<iframe src="https://player.vimeo.com/video/56015672"></iframe>',
    "youtube": '<iframe src="https://www.youtube.com/embed/BaW_jenozKc"></iframe>',
    "both": '<iframe src="//www.youtube.com/embed/BaW_jenozKc"></iframe>'
    '<IFRAME SRC="https://player.vimeo.com/video/56015672"></IFRAME>',
    "video": '<video src="/clip.mp4"></video>',
    "by code": '<div class="wistia_embed wistia_async_807fafadvk"></div>',
    "nothing": "<p>Words.</p>",
    "beyond ASCII": '<p>Видео</p><iframe src="https://player.vimeo.com/video/56015672"></iframe>',
}


@pytest.mark.parametrize("name", PAGES)
def test_the_same_embeds_are_found(name: str, table: Shortlist) -> None:
    """By GenericIE as it is in yt-dlp, and by one that was taught."""
    page = f"<html><title>t</title>{PAGES[name]}</html>"
    plain = yt_dlp.YoutubeDL({"quiet": True})
    taught = yt_dlp.YoutubeDL({"quiet": True})
    taught._ies = Shortlist(taught._ies)

    class Taught(GenericIE):  # type: ignore[misc]  # yt-dlp is untyped
        pass

    teach(Taught)
    seen = [
        list(looker._extract_embeds("http://site.example/", page) or [])
        for looker in (GenericIE(plain), Taught(taught))
    ]
    assert seen[0] == seen[1]
    assert bool(seen[0]) == (name != "nothing")


def test_a_page_is_looked_at_by_few(table: Shortlist) -> None:
    """Those whose words are in it, and those whose way of looking we cannot read."""
    with table.looking_at(PAGES["video"]):
        seen = len(table.values())
    assert 1 <= seen < 100
    assert len(table.values()) == len(table)
