"""Engine GalleryDl: the real program against a site, by a small extractor of our own and by its
reader for any page.
"""

import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from threading import Thread

import pytest

from fetching import fetch, proved
from serving import Serving, own_address
from trawler_crds.failures import FailureReason
from trawler_sandbox.media import Studio
from trawler_sandbox.site import Site
from trawler_worker.fetcher.engines import gallery_process
from trawler_worker.fetcher.engines.gallerydl import GalleryDl
from trawler_worker.fetcher.engines.settings import EngineSettings
from trawler_worker.fetcher.errors import EngineDeclined, FetchError

pytestmark = pytest.mark.timeout(120)
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """At port 80: gallery-dl's reader for any page knows no other."""
    folder = tmp_path_factory.mktemp("site")
    with Serving() as serving:
        yield serving.serve(Site(folder).app(), own_address(), 80)


@pytest.fixture
def engine(site: str) -> GalleryDl:
    return GalleryDl(
        EngineSettings(
            allow=[site.removeprefix("http://")],
            gallery_extractors=str(ROOT / "sandbox" / "extractors"),
        )
    )


def test_a_post_comes_in_its_order_with_what_it_is_called(
    engine: GalleryDl, site: str, tmp_path: Path
) -> None:
    """Twelve pictures; the site's own words for the post."""
    found = fetch(engine, f"{site}/post/abc?count=12", tmp_path)
    studio = Studio(tmp_path)
    expected = [studio.make("jpg", f"abc-{n}") for n in range(1, 13)]
    assert expected == [file.path.read_bytes() for file in found.files]
    assert all(file.measured for file in found.files)
    source = found.source
    assert ("Post abc", "somebody", "trawler") == (source.title, source.author, source.extractor)


def test_a_page_that_no_extractor_knows_gives_what_is_worth_showing(
    engine: GalleryDl, site: str, tmp_path: Path
) -> None:
    """Four pictures; no icon, nothing of what is gone, nothing of a style sheet."""
    files = proved(engine, f"{site.removesuffix(':80')}/gallery/g1", tmp_path)
    assert ["image/jpeg"] * 4 == [file.type for file in files]
    assert "Gallery g1 1.jpg" == files[0].name


@pytest.mark.parametrize(
    ("path", "reason", "then"),
    [
        ("/post/private1", "NeedsLogin", "another engine"),
        ("/post/gone1", "NothingFound", "the end"),
        ("/user/bob", "Playlist", "another engine"),
        ("/text/t1", "NothingFound", "another engine"),
    ],
)
def test_what_it_says_went_wrong_has_its_reason(
    engine: GalleryDl, site: str, tmp_path: Path, path: str, reason: str, then: str
) -> None:
    """Its exit code says nothing then."""
    with pytest.raises(FetchError) as caught:
        proved(engine, site.removesuffix(":80") + path, tmp_path)
    assert reason == str(caught.value.reason)
    assert ("another engine" == then) is caught.value.elsewhere


def test_a_port_that_it_would_lose_is_not_asked(tmp_path: Path) -> None:
    """It would ask somebody else: whoever listens at port 80 there."""
    with pytest.raises(EngineDeclined):
        fetch(GalleryDl(EngineSettings()), "http://127.0.0.1:9/page", tmp_path)


def test_more_files_than_a_job_may_have_are_refused_before_any_comes(
    engine: GalleryDl, site: str, tmp_path: Path
) -> None:
    with pytest.raises(FetchError) as caught:
        fetch(engine, f"{site}/post/many?count=30", tmp_path, limits={"maxFiles": 5})
    assert FailureReason.TOO_LARGE == caught.value.reason
    assert [] == list(tmp_path.iterdir())


def test_its_own_sockets_pass_the_guard(site: str, tmp_path: Path) -> None:
    """The program is not in this process; a private address is refused to it all the same, and
    nobody is dialled.
    """
    unlisted = GalleryDl(EngineSettings())
    with pytest.raises(FetchError) as caught:
        fetch(unlisted, f"{site.removesuffix(':80')}/gallery/g2", tmp_path)
    assert FailureReason.BAD_ADDRESS == caught.value.reason


def test_with_a_proxy_it_dials_nothing_else(tmp_path: Path) -> None:
    """Every request goes to the one address that the setting names."""
    with socket.create_server(("127.0.0.1", 0)) as proxy:
        port = proxy.getsockname()[1]
        engine = GalleryDl(EngineSettings(proxy=f"http://127.0.0.1:{port}"))
        proxy.settimeout(30)
        asked: list[bytes] = []

        def answer() -> None:
            connection, _ = proxy.accept()
            with connection:
                asked.append(connection.recv(4096))
                connection.sendall(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")

        thread = Thread(target=answer)
        thread.start()
        with pytest.raises(FetchError) as caught:
            fetch(engine, "http://pictures.example/gallery", tmp_path)
        thread.join(30)
    assert asked[0].startswith(b"GET http://pictures.example/gallery HTTP/1.1")
    assert FailureReason.NOTHING_FOUND == caught.value.reason


@pytest.mark.parametrize(
    ("program", "reason", "note"),
    [
        ("print('[')", "SiteError", "unreadable"),
        ("print('{}')", "SiteError", "unreadable"),
        ("print('[' * 100000)", "SiteError", "unreadable"),
        ("print('x' * (17 << 20))", "TooLarge", None),
        (
            "import sys, time; print('[imgur][info] Waiting for 10 minutes',"
            " file=sys.stderr, flush=True);"
            "time.sleep(600)",
            "Throttled",
            "it would wait",
        ),
        ("import time; time.sleep(600)", "TooSlow", "deadline"),
        ('print(\'[[-1, {"error": "KeyError"}]]\')', "SiteError", "an error in it"),
        ("print('[[3, 7, {}], [3], [], 5, [6, null]]')", "NothingFound", None),
    ],
)
def test_a_program_that_says_nonsense_or_waits_is_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, program: str, reason: str, note: str | None
) -> None:
    """Whatever it prints, the attempt has a reason, and the program is gone."""
    monkeypatch.setattr(gallery_process, "_WORDS", ("-c", program))
    monkeypatch.setattr(gallery_process, "WITHIN", 5.0)
    begun = time.monotonic()
    with pytest.raises(FetchError) as caught:
        fetch(GalleryDl(EngineSettings()), "https://pictures.example/a", tmp_path)
    assert (reason, note) == (str(caught.value.reason), caught.value.note)
    assert time.monotonic() - begun < 30
    left = subprocess.run(
        ["pgrep", "-f", f"^{sys.executable} -P -c {program[:20]}"], capture_output=True, check=False
    )
    assert b"" == left.stdout
