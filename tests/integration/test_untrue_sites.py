"""Sites that send less, more or other than they say: never a success that is not one."""

import gc
from pathlib import Path

import pytest

from fetching import fetch, proved
from rawsite import Asked, Said, answer, rawsite
from trawler_crds.media_job import EngineName, Limits
from trawler_sandbox.media import Studio
from trawler_worker.fetcher.engines.base import Engine
from trawler_worker.fetcher.errors import EngineDeclined, FetchError

MP4 = "Content-Type: video/mp4"


@pytest.fixture
def ytdlp(engines: dict[EngineName, Engine]) -> Engine:
    return engines[EngineName.YT_DLP]


def chunked(body: bytes) -> bytes:
    return b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body)


@pytest.mark.parametrize("kind", ["text/plain", "audio/mpeg", "application/octet-stream"])
def test_a_cut_body_is_cut_whatever_the_site_calls_it(
    engine: Engine, studio: Studio, tmp_path: Path, kind: str
) -> None:
    """H18 as an old server sends it: no length, and a type for text."""
    body = studio.make("mp3", "cut", 0)
    said = answer("200 OK", body[: len(body) // 3], f"Content-Type: {kind}", length=False)
    with rawsite(lambda _: said) as site, pytest.raises(FetchError) as caught:
        proved(engine, site.url("/get?id=3"), tmp_path)
    assert caught.value.reason == "SiteError"


@pytest.mark.parametrize("frame", ["a length", "chunks"])
def test_a_part_that_says_it_is_the_whole_must_be_it(
    engine: Engine, studio: Studio, tmp_path: Path, frame: str
) -> None:
    """H10: nobody asked for a part, and its range lies about the body."""
    body = studio.make("mp3", "half", 0)
    half = body[: len(body) // 2]

    def say(asked: Asked) -> Said:
        head = f"HTTP/1.1 206 Partial Content\r\nContent-Range: bytes 0-{len(body) - 1}/{len(body)}"
        head += "\r\nContent-Type: audio/mpeg\r\nConnection: close\r\n"
        head += (
            "Transfer-Encoding: chunked" if frame == "chunks" else f"Content-Length: {len(half)}"
        )
        return [head.encode() + b"\r\n\r\n", chunked(half) if frame == "chunks" else half]

    with rawsite(say) as site, pytest.raises(FetchError) as caught:
        proved(engine, site.url("/a.mp3"), tmp_path)
    assert caught.value.reason == "SiteError"


@pytest.mark.parametrize("stale", [12_000, 1024, 10**12])
def test_chunks_count_more_than_a_length_beside_them(
    engine: Engine, studio: Studio, tmp_path: Path, stale: int
) -> None:
    """RFC 9112, section 6.3."""
    body = studio.make("mp4", "stale", 0)
    head = f"HTTP/1.1 200 OK\r\n{MP4}\r\nContent-Length: {stale}\r\nConnection: close\r\n"
    said = [head.encode() + b"Transfer-Encoding: chunked\r\n\r\n", chunked(body)]
    with rawsite(lambda _: said) as site:
        found = fetch(engine, site.url("/a.mp4"), tmp_path)
    assert body == found.files[0].path.read_bytes()


@pytest.mark.parametrize("encoding", ["aws-chunked", "utf-8", "none", "binary", "identity"])
def test_a_word_that_names_no_packing_means_nothing(
    engine: Engine, studio: Studio, tmp_path: Path, encoding: str
) -> None:
    """Stores give back what an upload said."""
    body = studio.make("mp4", "word", 0)
    said = answer("200 OK", body, MP4, f"Content-Encoding: {encoding}")
    with rawsite(lambda _: said) as site:
        found = fetch(engine, site.url("/a.mp4"), tmp_path)
    assert body == found.files[0].path.read_bytes()


def test_a_length_behind_a_line_that_is_no_header_counts(
    engine: Engine, studio: Studio, tmp_path: Path
) -> None:
    """All came, and the connection stays open: without the length, we waited for more."""
    body = studio.make("mp4", "line", 0)
    head = f"HTTP/1.1 200 OK\r\n{MP4}\r\npreload\r\nContent-Length: {len(body)}\r\n\r\n"
    with rawsite(lambda _: [head.encode(), body, 3.0]) as site:
        found = fetch(engine, site.url("/a.mp4"), tmp_path)
    assert body == found.files[0].path.read_bytes()
    assert found.files[0].measured


# yt-dlp leaves what it puts together open when a piece fails; the job's process ends with it
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("off", [-1000, 1000], ids=["shorter", "longer"])
def test_a_piece_is_the_one_that_was_asked_for(
    ytdlp: Engine, studio: Studio, tmp_path: Path, off: int
) -> None:
    """A server may send less than was asked for (RFC 9110, section 14.2); a film then has a
    hole.
    """
    body = studio.make("ts", "pieces", 300_000)
    half = len(body) // 2 // 188 * 188
    lines = ["#EXTM3U", "#EXT-X-VERSION:4", "#EXT-X-TARGETDURATION:9"]
    lines += ["#EXTINF:1,", f"#EXT-X-BYTERANGE:{half}@0", "a.ts"]
    lines += ["#EXTINF:1,", f"#EXT-X-BYTERANGE:{len(body) - half}@{half}", "a.ts"]

    def say(asked: Asked) -> Said:
        if asked.target.endswith(".m3u8"):
            text = "\n".join([*lines, "#EXT-X-ENDLIST", ""])
            return answer("200 OK", text.encode(), "Content-Type: application/vnd.apple.mpegurl")
        first, _, last = asked.headers["range"].removeprefix("bytes=").partition("-")
        end = int(last) + 1 + (off if first == "0" else 0)
        at = f"Content-Range: bytes {first}-{end - 1}/{len(body)}"
        return answer("206 Partial Content", body[int(first) : end], "Content-Type: video/mp2t", at)

    with rawsite(say) as site, pytest.raises(FetchError) as caught:
        fetch(ytdlp, site.url("/a.m3u8"), tmp_path)
    assert caught.value.reason == "SiteError"
    del caught  # and with it the frames that hold the file
    gc.collect()


def test_a_stream_that_goes_on_is_live_also_in_a_page(
    ytdlp: Engine, studio: Studio, tmp_path: Path
) -> None:
    """Nothing but the playlist says so; the last seconds are not the film."""

    def say(asked: Asked) -> Said:
        if asked.target.endswith(".m3u8"):
            text = "#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXT-X-MEDIA-SEQUENCE:77\n#EXTINF:2,\na.ts\n"
            return answer("200 OK", text.encode(), "Content-Type: application/vnd.apple.mpegurl")
        if asked.target.endswith(".ts"):
            return answer("200 OK", studio.clip("ts"), "Content-Type: video/mp2t")
        page = (
            b"<html><head><title>On air</title></head><body><video src='live.m3u8'></video></body>"
        )
        return answer("200 OK", page, "Content-Type: text/html")

    with rawsite(say) as site, pytest.raises(FetchError) as caught:
        fetch(ytdlp, site.url("/page"), tmp_path)
    assert caught.value.reason == "Unavailable"
    assert "live" in str(caught.value.message)


@pytest.mark.parametrize(
    ("end", "verified"), [("", "Unknown"), ("#EXT-X-ENDLIST\n", "Length")], ids=["cut", "whole"]
)
def test_a_list_of_segments_shows_its_own_end(
    ytdlp: Engine, studio: Studio, tmp_path: Path, end: str, verified: str
) -> None:
    """It came without a length, and says that no more will be added."""

    def say(asked: Asked) -> Said:
        if asked.target.endswith(".m3u8"):
            text = (
                "#EXTM3U\n#EXT-X-PLAYLIST-TYPE:VOD\n#EXT-X-TARGETDURATION:9\n#EXTINF:1,\na.ts\n"
                + end
            )
            kind = "Content-Type: application/vnd.apple.mpegurl"
            return answer("200 OK", text.encode(), kind, length=False)
        if asked.target.endswith(".ts"):
            return answer("200 OK", studio.clip("ts"), "Content-Type: video/mp2t")
        page = b"<html><head><title>Film</title></head><body><video src='film.m3u8'></video></body>"
        return answer("200 OK", page, "Content-Type: text/html")

    with rawsite(say) as site:
        (found,) = proved(ytdlp, site.url("/page"), tmp_path)
    assert found.verified == verified


def test_a_file_behind_a_script_is_called_what_the_site_calls_it(
    ytdlp: Engine, studio: Studio, tmp_path: Path
) -> None:
    """H24, by the engine that such an address goes to."""
    name = "Content-Disposition: attachment; filename*=UTF-8''%C3%9Cbersicht%202024.mp4"

    def say(asked: Asked) -> Said:
        if asked.target == "/dl.php":
            return answer("302 Found", b"", "Location: /x7f3")
        return answer("200 OK", studio.clip("mp4"), MP4, name)

    with rawsite(say) as site:
        for path in ("/dl.php", "/x7f3"):
            (found,) = proved(ytdlp, site.url(path), tmp_path)
            assert found.name == "Übersicht 2024.mp4"


def test_a_part_that_is_missing_says_nothing_of_the_address(
    ytdlp: Engine, studio: Studio, tmp_path: Path
) -> None:
    """The page is there; the file it names is not, for the moment: worth a further try."""

    def say(asked: Asked) -> Said:
        if asked.target.endswith(".mp4"):
            return answer("403 Forbidden")
        page = b"<html><head><title>A page</title></head><body><video src='a.mp4'></video></body>"
        return answer("200 OK", page, "Content-Type: text/html")

    with rawsite(say) as site, pytest.raises(FetchError) as caught:
        fetch(ytdlp, site.url("/page"), tmp_path)
    assert caught.value.reason == "SiteError"


@pytest.mark.parametrize("status", ["416 Range Not Satisfiable", "500 Oops"])
def test_a_resume_that_is_refused_begins_anew(
    engine: Engine, studio: Studio, tmp_path: Path, status: str
) -> None:
    """The file became shorter meanwhile, or one machine of many is ill."""
    body = studio.make("mp4", "anew", 200_000)
    refused: list[str] = []

    def say(asked: Asked) -> Said:
        if asked.headers.get("range", "bytes=0-") != "bytes=0-":
            refused.append(asked.target)
            return answer(status)
        head, rest = answer("200 OK", body, MP4, 'ETag: "1"', "Accept-Ranges: bytes")
        return [head, rest if refused else rest[:50_000]]

    with rawsite(say) as site:
        found = fetch(engine, site.url("/a.mp4"), tmp_path)
    assert body == found.files[0].path.read_bytes()


def test_a_page_leaves_nothing_behind_for_the_next_engine(
    engines: dict[EngineName, Engine], tmp_path: Path
) -> None:
    """Bytes in scratch would say that the first byte had come."""
    page: list[bytes | float] = [
        b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n",
        b"<html>",
        0.2,
        b"x" * 900,
    ]
    with rawsite(lambda _: page) as site, pytest.raises(EngineDeclined):
        fetch(engines[EngineName.DIRECT], site.url("/a.mp4"), tmp_path)
    assert not list(tmp_path.iterdir())


def test_more_files_in_lists_of_a_list_than_are_allowed(
    ytdlp: Engine, studio: Studio, tmp_path: Path
) -> None:
    """No list is too long by itself."""

    def say(asked: Asked) -> Said:
        if asked.target.endswith(".mp4"):
            return answer("200 OK", studio.make("mp4", asked.target, 0), MP4)
        if asked.target == "/all":
            parts = "".join(
                f"<item><title>{n}</title><link>{site.url(f'/{n}')}</link></item>" for n in "ab"
            )
            rss = (
                "<?xml version='1.0'?><rss"
                f" version='2.0'><channel><title>All</title>{parts}</channel></rss>"
            )
            return answer("200 OK", rss.encode(), "Content-Type: application/rss+xml")
        films = "".join(f"<video src='{asked.target}{n}.mp4'></video>" for n in range(3))
        page = f"<html><head><title>One</title></head><body>{films}</body></html>"
        return answer("200 OK", page.encode(), "Content-Type: text/html")

    with rawsite(say) as site:
        found = fetch(
            ytdlp, site.url("/all"), tmp_path, limits=Limits.model_validate({"maxFiles": 6})
        )
        assert 6 == len(found.files)
        few = Limits.model_validate({"maxFiles": 4})
        with pytest.raises(FetchError, match="TooLarge"):
            fetch(ytdlp, site.url("/all"), tmp_path / "few", limits=few)
