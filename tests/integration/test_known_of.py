"""What is known of files: told by engines, written into files, and shown by a picture."""

import io
import json
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from fetching import Quiet, order, proved
from rawsite import Asked, Said, rawsite
from trawler_crds.media_job import Source
from trawler_crds.sidecar import About, Chapter
from trawler_sandbox.media import Studio
from trawler_worker.fetcher.engines import site_pictures
from trawler_worker.fetcher.engines.base import Fetched, Found
from trawler_worker.fetcher.engines.site_pictures import SitePictures
from trawler_worker.fetcher.engines.ytdlp import YtDlp
from trawler_worker.fetcher.errors import IsPlaylist
from trawler_worker.fetcher.network.http import Client
from trawler_worker.fetcher.validation import validate_all
from trawler_worker.protocol import ValidFile

TURNED = ["-metadata:s:v", "rotate=90"]
pytestmark = pytest.mark.timeout(120)


@pytest.fixture
def ytdlp() -> YtDlp:
    return YtDlp()


def probed(path: Path) -> dict[str, Any]:
    words = ["ffprobe", "-v", "error", "-show_streams", "-show_format", "-of", "json", str(path)]
    told: dict[str, Any] = json.loads(subprocess.run(words, check=True, capture_output=True).stdout)
    return told


def tags(path: Path) -> dict[str, str]:
    told = probed(path)
    found = {**told["format"].get("tags", {})}
    for stream in told["streams"]:
        if stream["codec_type"] == "audio":
            found |= stream.get("tags", {})
    return {name.lower(): value for name, value in found.items()}


@pytest.mark.parametrize("wanted", ["Mp3", "M4a", "Opus", "Flac", "Wav"])
def test_sound_says_what_it_is_and_shows_its_cover(
    ytdlp: YtDlp, site: Any, tmp_path: Path, wanted: str
) -> None:
    url = site.url("/page/song?about=1&cover=1")
    media = {"kind": "Audio", "audioFormat": wanted, "deliverAs": "Playable"}
    (file,) = proved(ytdlp, url, tmp_path, media=media)
    path = tmp_path / file.path
    said = tags(path)
    assert said["title"] == "Video song"
    assert "site" in said["comment"] or "127.0.0.1" in said["comment"]
    pictures = [s for s in probed(path)["streams"] if s["codec_type"] == "video"]
    if wanted == "Wav":
        assert not pictures
    else:
        assert [1] == [each["disposition"]["attached_pic"] for each in pictures]
        raw = subprocess.run(
            [
                "ffmpeg",
                "-v",
                "error",
                "-i",
                str(path),
                "-map",
                "0:v",
                "-c",
                "copy",
                "-f",
                "image2pipe",
                "-",
            ],
            check=True,
            capture_output=True,
        ).stdout
        assert (320, 240) == Image.open(io.BytesIO(raw)).size


def test_a_film_that_is_made_anew_says_what_it_is(studio: Studio, tmp_path: Path) -> None:
    path = tmp_path / "job-1"
    path.write_bytes(studio.clip("hevc.mp4"))
    found = Found(
        files=[Fetched(path=path, measured=True)],
        source=Source(title="A; title = with #signs\\", author="Me"),
        about=About(published="2026-05-06", description="Two\nlines"),
    )
    wish = order("http://site.example/a", media={"deliverAs": "Playable"})
    (file,) = validate_all(found, wish, scratch=tmp_path, moved=lambda *_: None)
    said = tags(tmp_path / file.path)
    assert "A; title = with #signs\\" == said["title"]
    assert "Me" == said["artist"]
    assert "2026-05-06" == said["date"]
    assert "Two\nlines" == said["description"]
    assert "http://site.example/a" == said["comment"]


NAMED = [
    Chapter(title="Tom; Jerry = #1\\", start_seconds=0.0),
    Chapter(title="[CHAPTER]", start_seconds=1.5),
]


def chapters(path: Path) -> list[tuple[str, float, float]]:
    words = ["ffprobe", "-v", "error", "-show_chapters", "-of", "json", str(path)]
    told = json.loads(subprocess.run(words, check=True, capture_output=True).stdout)
    return [
        (
            each["tags"]["title"].rstrip("\\"),
            round(float(each["start_time"]), 1),
            round(float(each["end_time"]), 1),
        )
        for each in told["chapters"]
    ]


def made(studio: Studio, folder: Path, name: str, named: list[Chapter], **media: Any) -> Path:
    path = folder / "job-1"
    path.write_bytes(studio.clip(name))
    found = Found(files=[Fetched(path=path, measured=True)], about=About(chapters=named))
    wish = order("http://site.example/a", media={"deliverAs": "Playable", **media})
    (file,) = validate_all(found, wish, scratch=folder, moved=lambda *_: None)
    return folder / file.path


@pytest.mark.parametrize(
    ("clip", "media"),
    [
        ("hevc.mp4", {}),
        ("mp4", {}),
        ("mp4", {"kind": "Audio", "audioFormat": "Mp3"}),
        ("mp4", {"kind": "Audio", "audioFormat": "M4a"}),
        ("mp4", {"kind": "Audio", "audioFormat": "Opus"}),
        ("mp4", {"kind": "Audio", "audioFormat": "Flac"}),
        ("opus", {}),
        ("ogg", {}),
        ("flac", {}),
        ("m4a", {}),
        ("mp3", {}),
    ],
)
def test_the_sites_chapters_are_inside_of_the_file(
    studio: Studio, tmp_path: Path, clip: str, media: dict[str, Any]
) -> None:
    """Of what is made anew, and of what plays as it is."""
    path = made(studio, tmp_path, clip, NAMED, **media)
    assert [("Tom; Jerry = #1", 0.0), ("[CHAPTER]", 1.5)] == [each[:2] for each in chapters(path)]


def test_a_part_has_the_chapters_that_are_in_it(studio: Studio, tmp_path: Path) -> None:
    clip = {"startSeconds": 1.0, "endSeconds": 3.0}
    path = made(studio, tmp_path, "mp4", NAMED, clip=clip)
    assert [("Tom; Jerry = #1", 0.0, 0.5), ("[CHAPTER]", 0.5, 2.0)] == chapters(path)


@pytest.mark.parametrize("media", [{}, {"kind": "Audio", "audioFormat": "Mp3"}])
def test_the_files_own_chapters_stay(studio: Studio, tmp_path: Path, media: dict[str, Any]) -> None:
    path = made(studio, tmp_path, "chapters.mp4", [], **media)
    assert ["The first half", "The second half"] == [title for title, _, _ in chapters(path)]


def test_a_file_is_left_as_it_is_where_chapters_would_make_it_too_large(
    studio: Studio, tmp_path: Path
) -> None:
    """And where nobody asked for anything but the original."""
    whole = studio.clip("mp4")
    path = tmp_path / "job-1"
    path.write_bytes(whole)
    found = Found(files=[Fetched(path=path, measured=True)], about=About(chapters=NAMED))
    wish = order(
        "http://site.example/a", media={"deliverAs": "Playable"}, limits={"fitBytes": len(whole)}
    )
    (file,) = validate_all(found, wish, scratch=tmp_path, moved=lambda *_: None)
    assert whole == (tmp_path / file.path).read_bytes()
    original = made(studio, tmp_path, "mp4", NAMED, deliverAs="Original")
    assert whole == original.read_bytes()


def test_a_cover_inside_of_a_file_stays_with_its_sound(studio: Studio, tmp_path: Path) -> None:
    path = tmp_path / "job-1"
    path.write_bytes(studio.clip("cover.m4a"))
    wish = order("http://site.example/a", media={"kind": "Audio", "audioFormat": "Mp3"})
    found = Found(files=[Fetched(path=path, measured=True)])
    (file,) = validate_all(found, wish, scratch=tmp_path, moved=lambda *_: None)
    kinds = [each["codec_type"] for each in probed(tmp_path / file.path)["streams"]]
    assert ["audio", "video"] == sorted(kinds)


def test_the_site_tells_who_when_and_what(ytdlp: YtDlp, site: Any, tmp_path: Path) -> None:
    wish = order(site.url("/page/told?about=1"))
    about = ytdlp.fetch(wish, tmp_path, Quiet()).about
    assert "2026-05-06" == about.published
    assert "First line.\nSecond <b>line</b>." == about.description
    assert ["one", "two"] == about.tags
    assert [("Begin", 0.0, 2.0), ("End", 2.0, 4.0)] == [
        (each.title, each.start_seconds, each.end_seconds) for each in about.chapters
    ]


def shown(files: list[ValidFile], scratch: Path) -> Image.Image:
    (picture,) = (file for file in files if file.type == "image/jpeg")
    return Image.open(scratch / picture.path).convert("RGB")


def test_the_sites_own_picture_is_taken(ytdlp: YtDlp, site: Any, tmp_path: Path) -> None:
    files = proved(ytdlp, site.url("/page/own?cover=1"), tmp_path, media={"thumbnail": True})
    assert ["Clip own.mp4", "Clip own.jpg"] == [file.name for file in files]
    assert (320, 240) == shown(files, tmp_path).size


@pytest.mark.parametrize(
    "address", ["/status/404/x.mp4", "/text/x", "/stalled/x.mp4", "/icon/x.png"]
)
def test_a_picture_that_cannot_be_had_is_made(
    studio: Studio, site: Any, tmp_path: Path, address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing fails for want of it, and nothing waits for it long."""
    monkeypatch.setattr(site_pictures, "WITHIN", 1.0)
    picture = SitePictures(Client()).at(site.url(address), tmp_path / "job-1.picture")
    path = tmp_path / "job-1"
    path.write_bytes(studio.clip("mp4"))
    found = Found(files=[Fetched(path=path, measured=True, picture=picture)])
    wish = order("http://site.example/a", media={"thumbnail": True})
    files = validate_all(found, wish, scratch=tmp_path, moved=lambda *_: None)
    size = (32, 32) if address.startswith("/icon") else (320, 240)
    assert size == shown(files, tmp_path).size


@pytest.mark.parametrize(
    "address", [None, 7, "", "javascript:x", "file:///etc/passwd", "http://a b/"]
)
def test_what_is_no_address_is_not_asked(tmp_path: Path, address: object) -> None:
    assert SitePictures(Client()).at(address, tmp_path / "x")() is None


@pytest.mark.parametrize(
    ("seconds", "turned", "size"),
    [(10, [], (320, 180)), (130, [], (1280, 720)), (10, TURNED, (180, 320))],
)
def test_of_a_long_film_without_one_a_sheet_is_made(
    tmp_path: Path, seconds: int, turned: list[str], size: tuple[int, int]
) -> None:
    """Its pictures become lighter from the first to the last."""
    source, path = tmp_path / "source.mp4", tmp_path / "job-1"
    made = f"color=black:size=320x180:rate=2:duration={seconds}"
    light = f"geq=lum='16+200*T/{seconds}':cb=128:cr=128"
    subprocess.run(
        ["ffmpeg", "-v", "error", "-f", "lavfi", "-i", made, "-vf", light, "-g", "4", str(source)],
        check=True,
        timeout=60,
    )
    subprocess.run(
        ["ffmpeg", "-v", "error", "-i", str(source), "-c", "copy", *turned, "-f", "mp4", str(path)],
        check=True,
        timeout=60,
    )
    found = Found(files=[Fetched(path=path, measured=True)])
    wish = order("http://site.example/a", media={"thumbnail": True})
    files = validate_all(found, wish, scratch=tmp_path, moved=lambda *_: None)
    picture = shown(files, tmp_path)
    assert size == picture.size
    if seconds > 100:
        wide, high = size[0] // 4, size[1] // 4
        lights = [
            picture.getpixel((at % 4 * wide + wide // 2, at // 4 * high + high // 2))[0]  # type: ignore[index]
            for at in range(16)
        ]
        assert lights == sorted(lights)
        assert lights[-1] - lights[0] > 120


def test_a_channel_is_recognised_without_fetching_any_of_it(
    ytdlp: YtDlp, site: Any, tmp_path: Path
) -> None:
    with pytest.raises(IsPlaylist) as found:
        proved(ytdlp, site.url("/feed/listed?count=30"), tmp_path)
    listed = found.value.playlist
    assert listed is not None
    assert ("Channel listed", 30, 25) == (listed.title, listed.count, len(listed.entries))
    assert "Part 1 of listed" == listed.entries[0].title
    assert not site.site.journal.wire("/page/listed")
    assert [] == list(tmp_path.iterdir())
    (file,) = proved(ytdlp, listed.entries[0].url, tmp_path)
    assert "Clip listed-1.mp4" == file.name


def test_a_picture_that_trickles_keeps_nobody_waiting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also one of an answer that ends with its connection; and all of a job share one time."""
    monkeypatch.setattr(site_pictures, "WITHIN", 1.0)

    def say(asked: Asked) -> Said:
        assert asked.target == "/x.png"
        yield b"HTTP/1.0 200 OK\r\nContent-Type: image/png\r\n\r\n"
        for _ in range(100):
            yield b"x"
            yield 0.2

    with rawsite(say) as site:
        pictures = SitePictures(Client())
        begun = time.monotonic()
        for number in range(5):
            assert pictures.at(site.url("/x.png"), tmp_path / f"{number}")() is None
        assert time.monotonic() - begun < 5


def test_a_sheet_of_a_tall_film_stays_small(tmp_path: Path) -> None:
    path = tmp_path / "job-1"
    made = "color=black:size=16x4096:rate=1:duration=130"
    words = ["ffmpeg", "-v", "error", "-f", "lavfi", "-i", made, "-f", "mp4", str(path)]
    subprocess.run(words, check=True, timeout=60)
    found = Found(files=[Fetched(path=path, measured=True)])
    wish = order("http://site.example/a", media={"thumbnail": True})
    files = validate_all(found, wish, scratch=tmp_path, moved=lambda *_: None)
    assert max(shown(files, tmp_path).size) <= 1280


def test_a_large_cover_goes_into_opus_as_a_small_one(studio: Studio, tmp_path: Path) -> None:
    picture = tmp_path / "cover"
    noise = Image.effect_noise((800, 800), 90).convert("RGB")
    noise.save(picture, "PNG")
    path = tmp_path / "job-1"
    path.write_bytes(studio.clip("mp3"))
    found = Found(files=[Fetched(path=path, measured=True, picture=lambda: picture)])
    wish = order("http://site.example/a", media={"kind": "Audio", "audioFormat": "Opus"})
    (file,) = validate_all(found, wish, scratch=tmp_path, moved=lambda *_: None)
    kinds = [each["codec_type"] for each in probed(tmp_path / file.path)["streams"]]
    assert ["audio", "video"] == sorted(kinds)


def test_a_query_is_not_written_into_files(studio: Studio, tmp_path: Path) -> None:
    path = tmp_path / "job-1"
    path.write_bytes(studio.clip("hevc.mp4"))
    wish = order("http://site.example/a?token=secret", media={"deliverAs": "Playable"})
    found = Found(files=[Fetched(path=path, measured=True)])
    (file,) = validate_all(found, wish, scratch=tmp_path, moved=lambda *_: None)
    assert b"secret" not in (tmp_path / file.path).read_bytes()
    assert "http://site.example/a" == tags(tmp_path / file.path)["comment"]
