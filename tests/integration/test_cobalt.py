"""Engine Cobalt against a Cobalt that is as strict as the real one, and against one that lies."""

import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fetching import Quiet, fetch, order, proved
from rawsite import Asked, Said, rawsite
from serving import Serving
from trawler_crds.failures import FailureReason
from trawler_sandbox.cobalt import CobaltApi
from trawler_sandbox.media import Studio
from trawler_sandbox.site import Site
from trawler_worker.fetcher.engines import cobalt
from trawler_worker.fetcher.engines.batch import Item, fetch_all
from trawler_worker.fetcher.engines.cobalt import Cobalt
from trawler_worker.fetcher.engines.settings import CobaltSettings
from trawler_worker.fetcher.errors import EngineDeclined, FetchError, IsPlaylist
from trawler_worker.fetcher.network.http import Client

KEY = "11111111-2222-3333-4444-555555555555"


class Stand:
    """A Cobalt of each version, and the site whose media they name."""

    def __init__(self, folder: Path, serving: Serving) -> None:
        studio = Studio(folder)
        at = serving.serve(Site(folder).app())
        self.eleven = CobaltApi(studio, site=at)
        self.ten = CobaltApi(studio, site=at, version="10.8.1", key=KEY)
        self.twelve = CobaltApi(studio, site=at, version="12.0")
        self.urls = {
            api.version: serving.serve(api.app()) for api in (self.eleven, self.ten, self.twelve)
        }


@pytest.fixture(scope="module")
def stand(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stand]:
    with Serving() as serving:
        yield Stand(tmp_path_factory.mktemp("site"), serving)


@pytest.fixture
def engine(stand: Stand) -> Cobalt:
    return Cobalt(CobaltSettings(url=stand.urls["11.7.1"]))


def link(case: str, seed: str = "s1") -> str:
    return f"https://www.instagram.com/p/{case}_{seed}"


@pytest.mark.parametrize(
    ("case", "verified"),
    [
        ("video", "Length"),
        ("merge", "Structure"),
        ("redirect", "Length"),
        ("local-merge", "Length"),
        ("local-mute", "Length"),
        ("local-remux", "Length"),
        ("local-proxy", "Length"),
        ("late", "Length"),
    ],
)
def test_each_kind_of_answer_becomes_a_proved_file(
    engine: Cobalt, tmp_path: Path, case: str, verified: str
) -> None:
    """Also a tunnel that is gone the first time; and a body without a length proves nothing by
    itself.
    """
    (file,) = proved(engine, link(case), tmp_path)
    assert ("video/mp4", verified) == (file.type, str(file.verified))
    assert file.seconds == pytest.approx(4.0, abs=0.2)


def test_sound_is_asked_for_as_sound(engine: Cobalt, stand: Stand, tmp_path: Path) -> None:
    """`downloadMode: audio`, and what is put together here in the format it says."""
    media: dict[str, Any] = {"media": {"kind": "Audio", "audioFormat": "Mp3"}}
    (file,) = proved(engine, link("video"), tmp_path, **media)
    assert "audio/mpeg" == file.type
    assert "audio" == stand.eleven.asked[-1]["downloadMode"]
    (made,) = proved(engine, link("local-audio", "s2"), tmp_path, **media)
    assert "audio/mpeg" == made.type


def test_an_album_of_twelve_comes_in_its_order(
    engine: Cobalt, stand: Stand, tmp_path: Path
) -> None:
    """Several at a time, and each where it belongs."""
    found = fetch(engine, link("album12", "order"), tmp_path)
    assert 12 == len(found.files)
    studio = Studio(tmp_path)
    for n, file in enumerate(found.files, 1):
        ending = "jpg" if n % 3 else "mp4"
        assert studio.make(ending, f"order-{n}") == file.path.read_bytes(), n
        assert file.measured


def test_a_slideshow_comes_with_its_sound_behind_it(engine: Cobalt, tmp_path: Path) -> None:
    """Pictures first."""
    files = proved(engine, link("slides3"), tmp_path)
    assert ["image/jpeg"] * 3 + ["audio/mpeg"] == [file.type for file in files]


def test_only_the_first_of_an_album_where_that_is_wanted(stand: Stand, tmp_path: Path) -> None:
    only = Cobalt(CobaltSettings(url=stand.urls["11.7.1"], picker="First"))
    assert 1 == len(fetch(only, link("album4"), tmp_path).files)


def test_version_10_is_spoken_with_its_own_keys_and_its_api_key(
    stand: Stand, tmp_path: Path
) -> None:
    """It would refuse one key too many; without its API key it refuses all."""
    secret = tmp_path / "key"
    secret.write_text(f"{KEY}\n")
    ten = Cobalt(CobaltSettings(url=stand.urls["10.8.1"], key=secret))
    assert 1 == len(proved(ten, link("video"), tmp_path))
    assert "localProcessing" not in stand.ten.asked[-1]
    with pytest.raises(FetchError) as caught:
        fetch(Cobalt(CobaltSettings(url=stand.urls["10.8.1"])), link("video"), tmp_path)
    assert (FailureReason.INTERNAL, "auth.key.missing") == (caught.value.reason, caught.value.note)


@pytest.mark.parametrize(
    ("case", "reason", "note"),
    [
        ("empty", "SiteError", None),
        ("half", "SiteError", None),
        ("broken", "SiteError", "SiteError"),
        ("foreign", "SiteError", "its tunnel is gone"),
        ("page", "SiteError", "NotSupported"),
        ("script", "SiteError", "BadAddress"),
        ("local-odd", "SiteError", "SiteError"),
        ("odd", "SiteError", "unreadable"),
        ("nonsense", "SiteError", "unreadable"),
        ("limited", "Throttled", "rate_exceeded"),
        ("e.fetch.empty", "SiteError", "fetch.empty"),
        ("e.youtube.login", "Throttled", "youtube.login"),
        ("e.link.unsupported", "NotSupported", "link.unsupported"),
    ],
)
def test_whatever_goes_wrong_with_it_is_another_engines_chance(
    engine: Cobalt, tmp_path: Path, case: str, reason: str, note: str | None
) -> None:
    """Nothing that was passed on badly is ever a file."""
    with pytest.raises(FetchError) as caught:
        proved(engine, link(case), tmp_path)
    assert (reason, note) == (str(caught.value.reason), caught.value.note)
    assert caught.value.elsewhere or engine.second_hand
    assert ("limited" == case) is (caught.value.retry_after == 7.0)


def test_what_is_final_ends_the_attempt(engine: Cobalt, tmp_path: Path) -> None:
    with pytest.raises(FetchError) as caught:
        fetch(engine, link("e.content.video.private"), tmp_path)
    assert not caught.value.elsewhere
    assert FailureReason.UNAVAILABLE == caught.value.reason


def test_a_link_that_is_not_cobalts_is_not_taken(engine: Cobalt, tmp_path: Path) -> None:
    with pytest.raises(EngineDeclined):
        fetch(engine, "https://example.com/a", tmp_path)


def test_one_of_an_unknown_version_is_not_asked(stand: Stand, tmp_path: Path) -> None:
    engine = Cobalt(CobaltSettings(url=stand.urls["12.0"]))
    with pytest.raises(FetchError) as caught:
        fetch(engine, link("video"), tmp_path)
    assert ("version 12", True) == (caught.value.note, caught.value.elsewhere)


def test_one_that_is_away_or_silent_costs_a_moment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody listens; or somebody listens and says nothing."""
    monkeypatch.setattr(cobalt, "HELLO_WITHIN", 0.3)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        for port in (1, silent.getsockname()[1]):
            engine = Cobalt(CobaltSettings(url=f"http://127.0.0.1:{port}"))
            begun = time.monotonic()
            with pytest.raises(FetchError) as caught:
                fetch(engine, link("video"), tmp_path)
            assert ("away", True) == (caught.value.note, caught.value.elsewhere)
            assert time.monotonic() - begun < 3


def test_an_album_that_is_larger_than_a_job_may_fetch_ends_it(
    engine: Cobalt, tmp_path: Path
) -> None:
    """By count and by bytes, over all files together."""
    for limits in ({"maxFiles": 3}, {"maxBytes": 60_000}):
        with pytest.raises(FetchError) as caught:
            fetch(engine, link("album6"), tmp_path, limits=limits)
        assert FailureReason.TOO_LARGE == caught.value.reason
        assert not caught.value.elsewhere


def test_with_a_proxy_the_sites_are_asked_through_it_and_cobalt_is_not(
    stand: Stand, tmp_path: Path
) -> None:
    """Who is in this pod cannot be reached by way of another: its tunnels were asked for there, in
    vain.
    """
    engine = Cobalt(CobaltSettings(url=stand.urls["11.7.1"]), proxy="http://127.0.0.1:1")
    assert 1 == len(proved(engine, link("video", "proxied"), tmp_path))
    with pytest.raises(FetchError) as caught:
        fetch(engine, link("redirect", "proxied"), tmp_path)
    assert "SiteError" == caught.value.note, "the proxy is not there"


def test_one_that_fails_does_not_wait_for_one_that_is_silent(tmp_path: Path) -> None:
    """Of an album one file is gone, and another says nothing: that is known at once."""

    def say(asked: Asked) -> Said:
        if asked.target == "/gone.jpg":
            yield b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"
            return
        yield 30.0
        yield b""

    with rawsite(say) as site:
        items = [Item(url=site.url(path)) for path in ("/silent.jpg", "/gone.jpg")]
        begun = time.monotonic()
        with pytest.raises(FetchError) as caught:
            fetch_all(
                items, order=order("http://a/"), scratch=tmp_path, report=Quiet(), client=Client()
            )
        assert time.monotonic() - begun < 5
    assert FailureReason.NOTHING_FOUND == caught.value.reason


def test_of_an_album_somebody_may_choose(stand: Stand, tmp_path: Path) -> None:
    """Told like a playlist; what leads through Cobalt itself cannot be asked for later, and comes
    at once.
    """
    asking = Cobalt(CobaltSettings(url=stand.urls["11.7.1"], picker="Ask"))
    with pytest.raises(IsPlaylist) as caught:
        fetch(asking, "https://www.instagram.com/p/album12_choose", tmp_path)
    listed = caught.value.playlist
    assert listed is not None
    assert (12, 12) == (listed.count, len(listed.entries))
    assert "1: photo" == listed.entries[0].title
    assert "/image/choose-1.jpg" in listed.entries[0].url
