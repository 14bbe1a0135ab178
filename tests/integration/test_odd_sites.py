"""Sites as public complaints describe them, by each engine: the file comes, or the reason is the
true one.
"""

import gzip
import ssl
import subprocess
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fetching import fetch, proved
from rawsite import Asked, Said, answer, rawsite
from trawler_crds.media_job import EngineName, Limits, Media
from trawler_sandbox.media import Studio
from trawler_worker.fetcher.engines.base import Engine
from trawler_worker.fetcher.errors import FetchError
from trawler_worker.fetcher.network.disposition import file_name

MP4 = "Content-Type: video/mp4"


def the_file(engine: Engine, said: Said, folder: Path, path: str = "/a.mp4") -> bytes:
    """What comes of an answer that is always the same."""
    with rawsite(lambda _: said) as site:
        return fetch(engine, site.url(path), folder).files[0].path.read_bytes()


@pytest.mark.parametrize(
    ("encoding", "pack"),
    [
        ("gzip", gzip.compress),
        ("x-gzip", lambda body: gzip.compress(body[:999]) + gzip.compress(body[999:])),
        ("gzip\r\nContent-Encoding: gzip", gzip.compress),
        ("deflate", zlib.compress),
        ("deflate", lambda body: zlib.compress(body)[2:-4]),
    ],
)
def test_a_body_that_was_packed_unasked_is_unpacked(
    engine: Engine, studio: Studio, tmp_path: Path, encoding: str, pack: Any
) -> None:
    """H01."""
    body = studio.make("mp4", "packed", 0)
    said = answer("200 OK", pack(body), MP4, f"Content-Encoding: {encoding}")
    assert the_file(engine, said, tmp_path) == body


def test_what_is_small_when_packed_has_the_same_bounds(engine: Engine, tmp_path: Path) -> None:
    """Sixty megabytes in sixty kilobytes."""
    bomb = gzip.compress(b"\0\0\0\x18ftypisom" + bytes(60_000_000))
    said = answer("200 OK", bomb, MP4, "Content-Encoding: gzip")
    limits = Limits.model_validate({"maxBytes": 1_000_000})
    with rawsite(lambda _: said) as site, pytest.raises(FetchError) as caught:
        fetch(engine, site.url("/bomb.mp4"), tmp_path, limits=limits)
    assert caught.value.reason == "TooLarge"
    assert sum(file.stat().st_size for file in tmp_path.iterdir()) < 8_000_000


@pytest.mark.parametrize("encoding", ["br", "zstd", "gzip"])
def test_a_body_that_cannot_be_unpacked_is_the_sites_fault(
    engine: Engine, tmp_path: Path, encoding: str
) -> None:
    """Nobody asked for it to be packed."""
    said = answer("200 OK", b"not packed like this" * 99, MP4, f"Content-Encoding: {encoding}")
    with rawsite(lambda _: said) as site, pytest.raises(FetchError) as caught:
        fetch(engine, site.url("/odd.mp4"), tmp_path)
    assert caught.value.reason == "SiteError"


def test_one_header_may_be_large(engine: Engine, studio: Studio, tmp_path: Path) -> None:
    """H08: 9 kB, as single sign-on sets them."""
    body = studio.make("mp4", "header", 0)
    said = answer("200 OK", body, MP4, "Set-Cookie: s=" + "x" * 9000)
    assert the_file(engine, said, tmp_path) == body


def test_the_same_length_twice_is_one_length(
    engine: Engine, studio: Studio, tmp_path: Path
) -> None:
    """H09; two different ones are a lie."""
    body = studio.make("mp4", "twice", 0)
    said = answer("200 OK", body, MP4, f"Content-Length: {len(body)}")
    assert the_file(engine, said, tmp_path) == body
    lie = answer("200 OK", body, MP4, "Content-Length: 7")
    with pytest.raises(FetchError, match="SiteError"):
        the_file(engine, lie, tmp_path)


def test_a_cookie_that_a_site_sets_is_shown_to_it(
    engine: Engine, studio: Studio, tmp_path: Path
) -> None:
    """A redirect to itself until the cookie comes back."""

    def say(asked: Asked) -> Said:
        if "seen=1" in asked.headers.get("cookie", ""):
            return answer("200 OK", studio.clip("mp4"), MP4)
        return answer("302 Found", b"", f"Location: {asked.target}", "Set-Cookie: seen=1; Path=/")

    with rawsite(say) as site:
        found = fetch(engine, site.url("/a.mp4"), tmp_path)
    assert found.files[0].path.read_bytes() == studio.clip("mp4")


def test_a_preview_that_keeps_the_first_frame_of_the_whole_is_taken(
    engine: Engine, studio: Studio, tmp_path: Path
) -> None:
    """All that the site announced came: what the file says is of another one."""
    body = studio.clip("mp3")
    said = answer("200 OK", body[: len(body) // 2], "Content-Type: audio/mpeg")
    with rawsite(lambda _: said) as site:
        assert proved(engine, site.url("/a.mp3"), tmp_path)[0].verified == "Length"


def test_a_body_that_stalls_is_fetched_on(engine: Engine, studio: Studio, tmp_path: Path) -> None:
    """One machine of many behind a name hangs; the next one does not."""
    body = studio.make("mp4", "stalls", 0)

    def say(asked: Asked) -> Said:
        at = int(asked.headers.get("range", "bytes=0-")[6:-1] or 0)
        status = "206 Partial Content" if at else "200 OK"
        part = [f"Content-Range: bytes {at}-{len(body) - 1}/{len(body)}"] if at else []
        more = ('ETag: "1"', "Accept-Ranges: bytes", MP4, *part)
        head, rest = answer(status, body[at:], *more)
        yield head
        if not at and asked.method == "GET" and not stalled:
            yield rest[:30_000]
            stalled.append(1)
            yield 18.0
            return
        yield rest

    stalled: list[int] = []
    with rawsite(say) as site:
        found = fetch(engine, site.url("/a.mp4"), tmp_path)
    assert found.files[0].path.read_bytes() == body


def test_a_body_that_stalls_for_good_is_too_slow(
    engines: dict[EngineName, Engine], studio: Studio, tmp_path: Path
) -> None:
    """A site that knows no parts: there is nothing to go on with. yt-dlp asks again, until the
    job's own rule ends it.
    """
    body = studio.make("mp4", "stalled", 0)

    def say(_: Asked) -> Said:
        head, rest = answer("200 OK", body, MP4)
        yield head
        yield rest[:30_000]
        yield 17.0

    with rawsite(say) as site, pytest.raises(FetchError) as caught:
        fetch(engines[EngineName.DIRECT], site.url("/a.mp4"), tmp_path)
    assert caught.value.reason == "TooSlow"


def test_early_hints_come_before_the_answer(engine: Engine, studio: Studio, tmp_path: Path) -> None:
    """103, as content networks send it (RFC 8297)."""
    body = studio.make("mp4", "hints", 0)
    hints = b"HTTP/1.1 103 Early Hints\r\nLink: </s.css>; rel=preload\r\n\r\n"
    assert the_file(engine, [hints, *answer("200 OK", body, MP4)], tmp_path) == body


@pytest.mark.timeout(120)
@pytest.mark.parametrize(
    ("name", "late"), [(EngineName.DIRECT, 1), (EngineName.YT_DLP, 1), (EngineName.YT_DLP, 2)]
)
def test_the_first_byte_may_take_its_time(
    engines: dict[EngineName, Engine], studio: Studio, tmp_path: Path, name: EngineName, late: int
) -> None:
    """S02, S03: more than fifteen seconds, of a page and of a file; ninety are promised."""
    body = studio.make("mp4", "late", 0)

    def say(_: Asked) -> Said:
        yield 16.0 if len(site.asked) >= late else 0.0
        yield from answer("200 OK", body, MP4)

    with rawsite(say) as site:
        found = fetch(engines[name], site.url("/late.mp4"), tmp_path)
        once = 1 if name is EngineName.DIRECT else 2  # yt-dlp looks at what there is first
        assert len(site.asked) == once, "nobody gave up, and asked again"
    assert found.files[0].path.read_bytes() == body


@pytest.mark.parametrize(
    ("name", "verified"),
    [
        ("mp3", None),
        ("flac", None),
        ("ogg", None),
        ("opus", None),
        ("mkv", None),
        ("plain.mp3", "Unknown"),
    ],
)
def test_a_body_without_a_length_that_ends_too_early_is_no_success(
    engine: Engine, studio: Studio, tmp_path: Path, name: str, verified: str | None
) -> None:
    """H18: HTTP/1.0, a part of the file, behind its head. What carries no evidence is said to be
    unknown.
    """
    body = studio.clip(name)
    ending = name.rpartition(".")[2]
    part = body[: len(body) * 4 // 5 if ending == "ogg" else len(body) // 3]
    said = [b"HTTP/1.0 200 OK\r\nContent-Type: audio/mpeg\r\n\r\n", part]
    with rawsite(lambda _: said) as site:
        url = site.url(f"/third.{ending}")
        if verified is None:
            with pytest.raises(FetchError) as caught:
                proved(engine, url, tmp_path)
            assert caught.value.reason == "SiteError"
        else:
            assert proved(engine, url, tmp_path)[0].verified == verified


def _always(said: Said) -> Callable[[Asked], Said]:
    return lambda _: said


def test_how_it_is_known_to_be_whole_is_said(
    engine: Engine, studio: Studio, tmp_path: Path
) -> None:
    """By its length, by its own structure, or not at all."""
    old = b"HTTP/1.0 200 OK\r\nContent-Type: audio/mpeg\r\n\r\n"
    whole, plain = studio.clip("mp3"), studio.clip("plain.mp3")
    for said, verified in (
        (answer("200 OK", whole, "Content-Type: audio/mpeg"), "Length"),
        ([old, whole], "Structure"),
        ([old, plain], "Unknown"),
    ):
        with rawsite(_always(said)) as site:
            assert verified == proved(engine, site.url("/a.mp3"), tmp_path)[0].verified


def test_a_chunked_body_shows_its_end(engine: Engine, studio: Studio, tmp_path: Path) -> None:
    """Its last chunk is empty; without that one it broke off."""
    body = studio.clip("mp3")
    head = b"HTTP/1.1 200 OK\r\nContent-Type: audio/mpeg\r\nTransfer-Encoding: chunked\r\n\r\n"
    chunk = f"{len(body):x}\r\n".encode() + body + b"\r\n"
    with rawsite(lambda _: [head, chunk, b"0\r\n\r\n"]) as site:
        assert proved(engine, site.url("/a.mp3"), tmp_path)[0].verified == "Length"
    with rawsite(lambda _: [head, chunk]) as site, pytest.raises(FetchError, match="SiteError"):
        proved(engine, site.url("/a.mp3"), tmp_path)


def test_the_file_is_called_what_the_site_calls_it(
    engines: dict[EngineName, Engine], studio: Studio, tmp_path: Path
) -> None:
    """H24."""
    said = answer(
        "200 OK",
        studio.clip("mp4"),
        MP4,
        "Content-Disposition: attachment; filename*=UTF-8''%C3%9Cbersicht%202024.mp4",
    )
    with rawsite(lambda _: said) as site:
        found = proved(engines[EngineName.DIRECT], site.url("/dl.php"), tmp_path)
    assert "Übersicht 2024.mp4" == found[0].name


@pytest.mark.parametrize(
    ("header", "name"),
    [
        ('attachment; filename="a b.mp4"', "a b.mp4"),
        ("attachment; filename=plain.mp4", "plain.mp4"),
        ("attachment; filename=\"old.mp4\"; filename*=UTF-8''n%C3%A9w.mp4", "néw.mp4"),
        ('attachment; filename="..\\\\..\\\\x\\"y.mp4"', 'x"y.mp4'),
        ("attachment; filename*=UTF-8''..%2F..%2Fetc%2Fpasswd", "passwd"),
        ("inline", None),
        ("", None),
        (None, None),
        ("attachment; filename*=KOI8-R''%FF; filename=ok.mp4", "ok.mp4"),
        ('attachment; filename="Ã\x9cbersicht.mp4"', "Übersicht.mp4"),
    ],
)
def test_a_content_disposition_is_read_as_browsers_do(header: str | None, name: str | None) -> None:
    """RFC 6266; nothing of it is a path."""
    assert name == file_name(header)


def test_a_certificate_that_proves_nothing_has_its_own_reason(
    engine: Engine, studio: Studio, tmp_path: Path
) -> None:
    """H29: self-signed."""
    key, certificate = tmp_path / "key", tmp_path / "certificate"
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"),
            *("-subj", "/CN=127.0.0.1", "-keyout", str(key), "-out", str(certificate)),
        ],
        check=True,
        capture_output=True,
    )
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(certificate, key)
    said = answer("200 OK", studio.clip("mp4"), MP4)
    with rawsite(lambda _: said, tls) as site, pytest.raises(FetchError) as caught:
        fetch(engine, site.url("/a.mp4"), tmp_path)
    assert caught.value.reason == "BadCertificate"
    assert [] == site.asked


@pytest.mark.parametrize(("name", "kind"), [("mp4", "video/mp4"), ("ts", "video/mp2t")])
def test_what_a_page_says_of_a_length_is_not_proof(
    engines: dict[EngineName, Engine], studio: Studio, tmp_path: Path, name: str, kind: str
) -> None:
    """Y04: JSON-LD says thirty seconds, the file has four and is whole: by its structure, or by its
    length.
    """

    def say(asked: Asked) -> Said:
        if asked.target == "/page":
            data = (
                '{"@context":"https://schema.org","@type":"VideoObject","name":"A film",'
                f'"duration":"PT30S","contentUrl":"{site.url(f"/film.{name}")}"}}'
            )
            page = f'<html><script type="application/ld+json">{data}</script></html>'
            return answer("200 OK", page.encode(), "Content-Type: text/html")
        return answer("200 OK", studio.clip(name), f"Content-Type: {kind}")

    with rawsite(say) as site:
        found = proved(engines[EngineName.YT_DLP], site.url("/page"), tmp_path)
    assert 3.9 < (found[0].seconds or 0) < 4.2


def page(*videos: str, title: str) -> list[bytes]:
    inside = "".join(f'<video src="{video}"></video>' for video in videos)
    text = f"<html><head><title>{title}</title></head><body>{inside}</body></html>"
    return answer("200 OK", text.encode(), "Content-Type: text/html; charset=utf-8")


@pytest.mark.parametrize(
    ("title", "videos", "names"),
    [
        ("holiday.mp4", ["/a.mp4"], ["holiday.mp4"]),
        ("Our holiday", ["/a.mp4"], ["Our holiday.mp4"]),
        ("Take (1)", ["/a.mp4"], ["Take (1).mp4"]),
        ("Two", ["/a.mp4", "/b.mp4"], ["Two 1.mp4", "Two 2.mp4"]),
        ("Once", ["/a.mp4", "/a.mp4"], ["Once.mp4"]),
        ("Mirrored", ["/a.mp4", "/a.mp4?again"], ["Mirrored.mp4"]),
    ],
)
def test_a_file_of_a_page_has_the_name_that_people_would_give_it(
    engines: dict[EngineName, Engine],
    studio: Studio,
    tmp_path: Path,
    title: str,
    videos: list[str],
    names: list[str],
) -> None:
    """Y01, Y11, Y14: one ending, no number for one, one video once."""

    def say(asked: Asked) -> Said:
        if asked.target == "/page":
            return page(*videos, title=title)
        return answer("200 OK", studio.make("mp4", asked.target.partition("?")[0], 0), MP4)

    with rawsite(say) as site:
        found = proved(engines[EngineName.YT_DLP], site.url("/page"), tmp_path)
    assert names == [file.name for file in found]


def test_a_wav_from_a_pipe_and_a_motion_photo_are_what_they_are(
    engine: Engine, studio: Studio, tmp_path: Path
) -> None:
    """M02, M07."""
    wav = studio.clip("wav")
    at = wav.index(b"data") + 4
    for length in (0xFFFFFFFF, 0x7FFFF024):  # as ffmpeg and as sox write what they cannot know
        size = length.to_bytes(4, "little")
        piped = wav[:4] + size + wav[8:at] + size + wav[at + 4 :]
        said = list(answer("200 OK", piped, "Content-Type: audio/wav"))
        with rawsite(_always(said)) as site:
            assert proved(engine, site.url("/a.wav"), tmp_path)[0].type == "audio/wav"
    photo = studio.clip("jpg") + studio.clip("mp4")
    if engine.name is EngineName.DIRECT:
        with rawsite(lambda _: answer("200 OK", photo, "Content-Type: image/jpeg")) as site:
            found = proved(engine, site.url("/a.jpg"), tmp_path)[0]
        assert (found.type, found.bytes) == ("image/jpeg", len(photo))


def _without_its_last_byte(studio: Studio) -> bytes:
    return studio.clip("gif")[:-1]


def _with_a_kibibyte_behind(studio: Studio) -> bytes:
    return studio.clip("png") + bytes(range(256)) * 4


def _older_than_ftyp(studio: Studio) -> bytes:
    body = studio.clip("mov")
    return body[int.from_bytes(body[:4], "big") :]


def _behind_a_tag(studio: Studio) -> bytes:
    return b"ID3\x04\0\0\0\0\0\x0a" + bytes(10) + studio.clip("aac")


@pytest.mark.parametrize(
    ("name", "make", "type_"),
    [
        ("a.gif", _without_its_last_byte, "image/gif"),
        ("a.png", _with_a_kibibyte_behind, "image/png"),
        ("a.mov", _older_than_ftyp, "video/quicktime"),
        ("a.aac", _behind_a_tag, "audio/aac"),
    ],
    ids=["M01", "M02", "M05", "M09"],
)
def test_a_file_that_others_trip_over_is_what_it_is(
    engine: Engine,
    studio: Studio,
    tmp_path: Path,
    name: str,
    make: Callable[[Studio], bytes],
    type_: str,
) -> None:
    """Byte for byte as the site sent it; pictures come by Direct alone."""
    body = make(studio)
    if type_.startswith("image/") and engine.name is not EngineName.DIRECT:
        return
    with rawsite(lambda _: answer("200 OK", body, f"Content-Type: {type_}")) as site:
        found = proved(engine, site.url(f"/{name}"), tmp_path)[0]
    assert (type_, name) == (found.type, found.name)
    assert body == (tmp_path / found.path).read_bytes()


@pytest.mark.parametrize(
    ("name", "kind", "type_"),
    [
        ("ogv", "Auto", "video/ogg"),
        ("sound.webm", "Auto", "audio/webm"),
        ("sound.webm", "Audio", "audio/ogg"),
        ("mka", "Auto", "audio/x-matroska"),
        ("m4a", "Auto", "audio/mp4"),
        ("av1.mp4", "Video", "video/mp4"),
        ("avif", "Image", "image/avif"),
        ("moving.webp", "Image", "image/webp"),
    ],
)
def test_a_file_is_named_by_what_is_in_it(
    engines: dict[EngineName, Engine],
    studio: Studio,
    tmp_path: Path,
    name: str,
    kind: str,
    type_: str,
) -> None:
    """M20, M21: Theora is a video, a WebM without pictures is sound."""
    said = answer("200 OK", studio.clip(name), "Content-Type: application/octet-stream")
    media = Media.model_validate({"kind": kind})
    with rawsite(lambda _: said) as site:
        found = proved(engines[EngineName.DIRECT], site.url("/file"), tmp_path, media=media)
    assert type_ == found[0].type


@pytest.mark.parametrize("kind", ["Auto", "Image"])
def test_a_picture_of_a_phone_is_no_video(
    engines: dict[EngineName, Engine], studio: Studio, tmp_path: Path, kind: str
) -> None:
    """M06: it was stored as photo.mp4."""
    body = studio.clip("avif").replace(b"avif", b"heic", 2)
    media = Media.model_validate({"kind": kind})
    with rawsite(lambda _: answer("200 OK", body, "Content-Type: image/heic")) as site:
        found = proved(engines[EngineName.DIRECT], site.url("/photo.heic"), tmp_path, media=media)
    assert ("image/heic", "photo.heic") == (found[0].type, found[0].name)


@pytest.mark.parametrize(("turn", "size"), [("0", (320, 240)), ("90", (240, 320))])
def test_a_turned_video_has_its_upright_size(
    engine: Engine, studio: Studio, tmp_path: Path, turn: str, size: tuple[int, int]
) -> None:
    """M15."""
    plain, turned = tmp_path / "plain.mp4", tmp_path / "turned.mp4"
    plain.write_bytes(studio.clip("mp4"))
    argv = ["ffmpeg", "-v", "error", "-display_rotation", turn, "-i", str(plain), "-c", "copy"]
    if subprocess.run([*argv, str(turned)], check=False, capture_output=True).returncode != 0:
        # before ffmpeg 6 there is only the metadata of old players
        argv = ["ffmpeg", "-v", "error", "-i", str(plain), "-c", "copy"]
        argv += ["-metadata:s:v", f"rotate={turn}", "-y", str(turned)]
        subprocess.run(argv, check=True)
    body = turned.read_bytes()
    with rawsite(lambda _: answer("200 OK", body, MP4)) as site:
        found = proved(engine, site.url("/turned.mp4"), tmp_path)[0]
    assert size == (found.width, found.height)


def test_an_upright_video_is_called_by_its_shorter_side(
    engine: Engine, studio: Studio, tmp_path: Path
) -> None:
    """M14: 240 x 320 is 240p."""
    body = studio.clip("upright.mp4")
    media = Media.model_validate({"maxHeight": 240})
    with rawsite(lambda _: answer("200 OK", body, MP4)) as site:
        assert proved(engine, site.url("/upright.mp4"), tmp_path, media=media)[0].height == 320
        less = Media.model_validate({"maxHeight": 144})
        with pytest.raises(FetchError) as caught:
            proved(engine, site.url("/upright.mp4"), tmp_path, media=less)
    assert caught.value.reason == "NotSupported"
    assert "240p" in caught.value.message
