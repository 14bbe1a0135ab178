"""What a site is asked for is what the address says, to the byte: it may have signed it."""

import random
import string
from pathlib import Path

import pytest

from fetching import fetch
from rawsite import Asked, Said, answer, rawsite
from trawler_crds import addresses
from trawler_sandbox.media import Studio
from trawler_worker.fetcher.engines.base import Engine
from trawler_worker.fetcher.engines.direct import Direct
from trawler_worker.fetcher.engines.ytdlp import YtDlp
from trawler_worker.fetcher.network.targets import MAX_SENT

COUNT = 500
STEP = 50
_PLAIN = string.ascii_letters + string.digits + "-._~"
_RESERVED = "!$&'()*+,;=:@[]|^`{}\"<>"


def generated(number: int) -> str:
    """A path and a query that the grammar of addresses lets in."""
    chance = random.Random(number)

    def word(most: int) -> str:
        return "".join(
            f"%{chance.randrange(256):{chance.choice(('02X', '02x'))}}"
            if chance.random() < 0.25
            else chance.choice(_PLAIN + _RESERVED)
            for _ in range(chance.randrange(1, most))
        )

    match number % 5:
        case 0:  # as S3 signs them
            signature = "".join(chance.choice(string.hexdigits) for _ in range(64))
            token = "".join(chance.choice(_PLAIN + "%2F%2B") for _ in range(400))
            return (
                f"/{word(20)}/{word(30)}.mp4?X-Amz-Algorithm=AWS4-HMAC-SHA256"
                f"&X-Amz-Credential=AK%2F20261130%2Fus-east-1%2Fs3%2Faws4_request"
                f"&X-Amz-Security-Token={token}&X-Amz-Signature={signature}"
            )
        case 1:
            return f"/a%27b%28c%29.mp4?Signature={word(40)}&Expires=1&q=%7E~%2B+%20"
        case 2:
            return "/" + "/".join(word(12) for _ in range(chance.randrange(1, 12))) + "?"
        case 3:
            return f"/{word(500)}?{word(900)}"
        case _:
            return f"//{word(9)}/./{word(9)}/../{word(9)};{word(9)}?{word(30)}?{word(9)}"


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return Studio(tmp_path_factory.mktemp("studio")).make("mp3", "target", 0)


@pytest.fixture(scope="module")
def engines() -> dict[str, Engine]:
    return {"Direct": Direct(), "YtDlp": YtDlp()}


@pytest.mark.parametrize("name", ["Direct", "YtDlp"])
@pytest.mark.parametrize("first", range(0, COUNT, STEP))
def test_the_site_sees_the_target_that_was_given(
    name: str, first: int, clip: bytes, engines: dict[str, Engine], tmp_path: Path
) -> None:
    """Five hundred addresses, as they are given and as a site's Location."""

    def say(asked: Asked) -> Said:
        if asked.target == "/away":
            return answer("302 Found", b"", f"Location: {site.url(wanted)}")
        if asked.target == "/near":
            return answer("302 Found", b"", f"Location: {wanted}")
        return answer("200 OK", clip, "Content-Type: audio/mpeg")

    with rawsite(say) as site:
        for number in range(first, first + STEP):
            wanted = generated(number)
            assert addresses.fault(site.url(wanted)) is None, wanted
            for given in (wanted, "/away", *(["/near"] if not wanted.startswith("//") else [])):
                site.asked.clear()
                fetch(engines[name], site.url(given), tmp_path)
                seen = {asked.target for asked in site.asked} - {"/away", "/near"}
                assert {wanted} == seen


@pytest.mark.parametrize("name", ["Direct", "YtDlp"])
@pytest.mark.parametrize(
    ("location", "target"),
    [
        ("/utf8/石田.mp4", "/utf8/%E7%9F%B3%E7%94%B0.mp4"),
        ("/my clip.mp4", "/my%20clip.mp4"),
        ("/half%20 done.mp4?a=ü%C3%BC", "/half%20%20done.mp4?a=%C3%BC%C3%BC"),
        ("clip.mp4", "/folder/clip.mp4"),
        ("../up.mp4?x=%27", "/up.mp4?x=%27"),
        ("?only=query", "/folder/start?only=query"),
        ("/fragment.mp4#t=10", "/fragment.mp4"),
        ("/long.mp4?token=" + "t" * 2500, "/long.mp4?token=" + "t" * 2500),
        (b"/caf\xe9 \xca\xaf.mp4?\xe9=%E9", "/caf%E9%20%CA%AF.mp4?%E9=%E9"),
        ("/longer.mp4?token=" + "t" * 15_000, "/longer.mp4?token=" + "t" * 15_000),
    ],
)
def test_a_location_may_be_as_sites_write_it(
    name: str,
    location: str | bytes,
    target: str,
    clip: bytes,
    engines: dict[str, Engine],
    tmp_path: Path,
) -> None:
    """H03, H04, H05: raw letters of any charset and spaces are encoded once, what is encoded stays;
    16 KiB.
    """

    def say(asked: Asked) -> Said:
        if asked.target == "/folder/start":
            yield b"HTTP/1.1 302 Found\r\nContent-Length: 0\r\nLocation: "
            yield location if isinstance(location, bytes) else location.encode()
            yield b"\r\nConnection: close\r\n\r\n"
            return
        yield from answer("200 OK", clip, "Content-Type: audio/mpeg")

    with rawsite(say) as site:
        fetch(engines[name], site.url("/folder/start"), tmp_path)
        assert target == site.asked[-1].target


@pytest.mark.parametrize("name", ["Direct", "YtDlp"])
@pytest.mark.parametrize(
    "location",
    [
        "/" + "t" * MAX_SENT,
        "ftp://127.0.0.1/a.mp4",
        "file:///etc/passwd",
        "http://user:pw@127.0.0.1/a.mp4",
        "http://[::::]/a.mp4",
        "http://127.0.0.1:99999/a.mp4",
        "javascript:alert(1)",
        "http://127.1/a.mp4",
    ],
)
def test_a_location_that_is_no_address_is_refused(
    name: str, location: str, engines: dict[str, Engine], tmp_path: Path
) -> None:
    """Nothing is asked for."""
    with (
        rawsite(lambda _: answer("302 Found", b"", f"Location: {location}")) as site,
        pytest.raises(Exception, match="BadAddress"),
    ):
        fetch(engines[name], site.url("/start"), tmp_path)
    assert {"/start"} == {asked.target for asked in site.asked}
