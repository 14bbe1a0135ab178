"""A body that breaks off, of a file that changes: what comes is one version whole, or nothing."""

import random
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from fetching import fetch
from rawsite import Asked, Said, rawsite
from trawler_sandbox.media import Studio
from trawler_worker.fetcher.engines.base import Engine
from trawler_worker.fetcher.engines.direct import Direct
from trawler_worker.fetcher.engines.ytdlp import YtDlp
from trawler_worker.fetcher.errors import FetchError

SCHEDULES = 200
STEP = 20


@pytest.fixture(scope="module")
def versions(tmp_path_factory: pytest.TempPathFactory) -> list[bytes]:
    """Four files; two of them are as long as the first one. Behind what shows that they are films
    no byte of one is where it is in another, so that no mixture looks like one of them.
    """
    begin = Studio(tmp_path_factory.mktemp("studio")).clip("mp4")[:32]
    sizes = (80_000, 80_000, 80_000, 150_000)
    noise = random.Random("versions").randbytes(max(sizes))
    return [
        begin + bytes(byte ^ number for byte in noise[: size - len(begin)])
        for number, size in enumerate(sizes)
    ]


@pytest.fixture(scope="module")
def ytdlp() -> YtDlp:
    return YtDlp()


@dataclass
class Flaky:
    """A server that breaks off, replaces its file, and means Range and If-Range as it likes."""

    versions: list[bytes]
    chance: random.Random
    current: int = 0

    def __call__(self, asked: Asked) -> Said:
        if self.chance.random() < 0.3:
            self.current = self.chance.randrange(len(self.versions))
        body = self.versions[self.current]
        begin = self._begin(asked, len(body))
        yield self._head(begin, body)
        rest = body[begin:]
        cut = self.chance.random() < 0.6
        yield rest[: self.chance.randrange(len(rest))] if cut and rest else rest

    def _begin(self, asked: Asked, size: int) -> int:
        wanted = asked.headers.get("range", "")
        if not wanted.startswith("bytes=") or not wanted.endswith("-"):
            return 0
        begin = int(wanted[6:-1])
        condition = asked.headers.get("if-range")
        ignored = self.chance.random() < 0.3
        if begin >= size or (condition is not None and condition != self._etag() and not ignored):
            return 0
        return 0 if self.chance.random() < 0.2 else begin

    def _etag(self) -> str:
        return f'"v{self.current}"'

    def _head(self, begin: int, body: bytes) -> bytes:
        lines = ["Content-Type: video/mp4", "Connection: close"]
        if self.chance.random() < 0.9:
            weak = "W/" if self.chance.random() < 0.1 else ""
            lines.append(f"ETag: {weak}{self._etag()}")
        if self.chance.random() < 0.9:
            lines.append("Accept-Ranges: bytes")
        if not begin:
            return _lines("200 OK", *lines, f"Content-Length: {len(body)}")
        total = len(body) + self.chance.choice((0, 0, 0, 0, 7, -7))
        shift = self.chance.choice((0, 0, 0, 0, 0, 13))
        range_ = f"Content-Range: bytes {begin + shift}-{len(body) - 1}/{total}"
        return _lines("206 Partial", *lines, range_, f"Content-Length: {len(body) - begin}")


def _lines(status: str, *headers: str) -> bytes:
    return "\r\n".join([f"HTTP/1.1 {status}", *headers, "", ""]).encode()


def _engine(name: str, ytdlp: YtDlp) -> Engine:
    return Direct() if name == "Direct" else ytdlp


@pytest.mark.parametrize("name", ["Direct", "YtDlp"])
@pytest.mark.parametrize("first", range(0, SCHEDULES, STEP))
def test_breaks_and_replaced_files_never_give_a_mixture(
    name: str, first: int, versions: list[bytes], ytdlp: YtDlp, tmp_path: Path
) -> None:
    """Two hundred schedules for each engine: validators that are there or weak, ranges that are
    ignored, honoured or answered wrongly, totals that are wrong.
    """
    whole = 0
    for seed in range(first, first + STEP):
        with rawsite(Flaky(versions, random.Random(seed))) as site:
            try:
                found = fetch(_engine(name, ytdlp), site.url(f"/{seed}.mp4"), tmp_path)
            except FetchError:
                continue
            assert found.files[0].path.read_bytes() in versions, f"schedule {seed}"
            whole += 1
    assert whole, "some schedules let everything through"


def _breaks_once(first: bytes, *then: bytes) -> Callable[[Asked], Said]:
    said = [first, *then]

    def say(_: Asked) -> Said:
        yield said.pop(0) if len(said) > 1 else said[0]

    return say


@pytest.mark.parametrize("name", ["Direct", "YtDlp"])
def test_a_file_that_was_replaced_by_one_of_the_same_length_is_not_mixed_in(
    name: str, versions: list[bytes], ytdlp: YtDlp, tmp_path: Path
) -> None:
    """H11: the server ignores If-Range and answers 206 with another ETag."""
    one, other = versions[0], versions[1]
    assert len(one) == len(other)

    def say(asked: Asked) -> Said:
        if "range" not in asked.headers and not second:
            if (
                name == "YtDlp" and len(site.asked) == 1
            ):  # it looks at the beginning first, and hangs up
                yield from (_lines("200 OK", 'ETag: "1"', f"Content-Length: {len(one)}"), one)
                return
            yield _lines(
                "200 OK", 'ETag: "1"', "Accept-Ranges: bytes", f"Content-Length: {len(one)}"
            )
            yield one[: len(one) // 2]
            second.append(1)
            return
        at = int(asked.headers.get("range", "bytes=0-")[6:-1])
        status = "206 Partial" if at else "200 OK"
        part = f"Content-Range: bytes {at}-{len(other) - 1}/{len(other)}"
        yield _lines(
            status, 'ETag: "2"', *([part] if at else []), f"Content-Length: {len(other) - at}"
        )
        yield other[at:]

    second: list[int] = []
    with rawsite(say) as site:
        found = fetch(_engine(name, ytdlp), site.url("/same.mp4"), tmp_path)
    assert found.files[0].path.read_bytes() == other
    assert any(asked.headers.get("range", "bytes=0-") != "bytes=0-" for asked in site.asked)


@pytest.mark.parametrize("name", ["Direct", "YtDlp"])
def test_a_part_that_nobody_asked_for_is_not_the_whole(
    name: str, versions: list[bytes], ytdlp: YtDlp, tmp_path: Path
) -> None:
    """H10: 206 with the first half of a file, to a request without Range."""
    body = versions[0]
    half = len(body) // 2

    def say(asked: Asked) -> Said:
        yield _lines(
            "206 Partial",
            f"Content-Range: bytes 0-{half - 1}/{len(body)}",
            f"Content-Length: {half}",
            "Content-Type: video/mp4",
        )
        yield body[:half]

    with rawsite(say) as site, pytest.raises(FetchError) as caught:
        fetch(_engine(name, ytdlp), site.url("/part.mp4"), tmp_path)
    assert caught.value.reason == "SiteError"


def test_a_part_that_nobody_asked_for_and_that_is_all_of_it_is_the_whole(
    versions: list[bytes], tmp_path: Path
) -> None:
    """Some servers answer so always."""
    body = versions[0]
    said = _lines(
        "206 Partial",
        f"Content-Range: bytes 0-{len(body) - 1}/{len(body)}",
        f"Content-Length: {len(body)}",
    )
    with rawsite(_breaks_once(said + body)) as site:
        found = fetch(Direct(), site.url("/all.mp4"), tmp_path)
    assert found.files[0].path.read_bytes() == body
    assert found.files[0].measured
