"""What was posted plays: each kind of media as Playable, by ffprobe and in a browser."""

import base64
import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest
from playwright.sync_api import Page, sync_playwright

from browsing import CHROMIUM
from fetching import order
from trawler_crds.failures import FailureReason
from trawler_sandbox.media import Studio
from trawler_worker.fetcher.engines.base import Fetched, Found
from trawler_worker.fetcher.errors import FetchError
from trawler_worker.fetcher.validation import validate_all
from trawler_worker.protocol import ValidFile

pytestmark = pytest.mark.timeout(120)

FILMS: Final = [
    *("mp4", "late.mp4", "fragmented.mp4", "segments.mp4", "upright.mp4", "av1.mp4", "mov", "3gp"),
    *("mkv", "webm", "vp9.webm", "ts", "flv", "avi", "ogv"),
    *("hevc.mp4", "hevc10.mp4", "ten.mp4", "full444.mp4", "full.mp4", "pq.mp4", "hlg.mp4"),
    *("tagged.mp4", "turned.mp4", "upsidedown.mp4", "odd444.mp4", "odd.webm", "lossless.mkv"),
    *("varying.mp4", "fast.mp4", "interlaced.ts", "narrow.mp4", "large.mp4", "prores.mov"),
    *(
        "chapters.mp4",
        "pcm.mov",
        "ac3.mp4",
        "eac3.mp4",
        "alac.mp4",
        "opus.mp4",
        "flac.mp4",
        "mp3.mp4",
    ),
    *("vorbis.mp4", "mono.mp4", "surround.mp4", "two.mp4", "silent.webm", "alpha.webm"),
]
SILENT: Final = frozenset(["av1.mp4", "3gp", "large.mp4", "silent.webm", "alpha.webm"])
MOVING: Final = ["moving.avif"]
KEPT: Final = frozenset(["mp4", "upright.mp4", "chapters.mp4"])
"""These were playable as they came: not a byte of them is changed."""
SHAPES: Final = {
    "turned.mp4": (240, 320),
    "upsidedown.mp4": (320, 240),
    "upright.mp4": (240, 320),
    "odd444.mp4": (320, 240),
    "odd.webm": (320, 240),
    "narrow.mp4": (480, 360),
    "interlaced.ts": (768, 576),
    "large.mp4": (1920, 1080),
    "moving.avif": (640, 480),
    "3gp": (384, 288),
}
PICTURES: Final = {
    "jpg": "image/jpeg",
    "png": "image/png",
    "gif": "image/gif",
    "webp": "image/webp",
    "animated.webp": "image/webp",
    "avif": "image/webp",
    "phone.heic": "image/webp",
    "tiled.heic": "image/webp",
    "turned.avif": "image/webp",
    "turned.jpg": "image/jpeg",
    "cmyk.jpg": "image/jpeg",
}
SOUNDS: Final = {
    "mp3": "audio/mpeg",
    "m4a": "audio/mp4",
    "cover.m4a": "audio/mp4",
    "ogg": "audio/ogg",
    "opus": "audio/ogg",
    "flac": "audio/flac",
    "wav": "audio/wav",
    "aac": "audio/mp4",
    "sound.webm": "audio/ogg",
    "mka": "audio/flac",
}

PLAY: Final = """
async ([data, type, kind]) => {
  const bytes = Uint8Array.from(atob(data), (c) => c.charCodeAt(0));
  const url = URL.createObjectURL(new Blob([bytes], {type}));
  if (kind === "img") {
    const image = new Image();
    image.src = url;
    await image.decode();
    return {width: image.naturalWidth, height: image.naturalHeight};
  }
  const player = document.createElement(kind);
  document.body.append(player);
  player.src = url;
  await new Promise((done, fail) => {
    player.oncanplay = done;
    player.onerror = () => fail(new Error(player.error.message));
  });
  await player.play();
  const shown = () => kind !== "video" || player.getVideoPlaybackQuality().totalVideoFrames > 0;
  const moved = () => player.ended || player.currentTime >= Math.min(0.4, player.duration / 2);
  for (let tries = 0; tries < 400 && !(shown() && moved()); tries += 1) {
    await new Promise((done) => setTimeout(done, 25));
  }
  const found = {seconds: player.duration, sound: player.webkitAudioDecodedByteCount};
  if (kind === "video") {
    const canvas = document.createElement("canvas");
    [canvas.width, canvas.height] = [64, 64];
    const brush = canvas.getContext("2d");
    brush.drawImage(player, 0, 0, 64, 64);
    const light = brush.getImageData(0, 0, 64, 64).data.filter((_, at) => at % 4 < 3);
    found.light = light.reduce((sum, each) => sum + each, 0) / light.length;
    found.width = player.videoWidth;
    found.height = player.videoHeight;
    found.frames = player.getVideoPlaybackQuality().totalVideoFrames;
  }
  player.remove();
  return found;
}
"""


@pytest.fixture(scope="module")
def page() -> Iterator[Page]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=CHROMIUM,
            args=["--no-sandbox", "--autoplay-policy=no-user-gesture-required"],
        )
        yield browser.new_page()
        browser.close()


def played(page: Page, path: Path, file: ValidFile) -> dict[str, Any]:
    """What a browser makes of it. Raises playwright's Error where it does not play."""
    kind = {"video": "video", "audio": "audio", "image": "img"}[file.type.partition("/")[0]]
    data = base64.b64encode((path / file.path).read_bytes()).decode()
    found: dict[str, Any] = page.evaluate(PLAY, [data, file.type, kind])
    return found


def made(studio: Studio, name: str, scratch: Path, **media: Any) -> ValidFile:
    """What comes of one file. Raises FetchError."""
    path = scratch / "job-1"
    path.write_bytes(studio.clip(name))
    wish = order(f"http://site.example/{name}", media={"deliverAs": "Playable", **media})
    found = Found(files=[Fetched(path=path, measured=True)])
    (file,) = validate_all(found, wish, scratch=scratch, moved=lambda *_: None)
    return file


def probed(path: Path) -> dict[str, Any]:
    words = ["ffprobe", "-v", "error", "-show_streams", "-show_format", "-of", "json", str(path)]
    told: dict[str, Any] = json.loads(subprocess.run(words, check=True, capture_output=True).stdout)
    return told


@pytest.mark.parametrize("name", [*FILMS, *MOVING])
def test_a_film_is_one_that_every_phone_plays(
    studio: Studio, page: Page, tmp_path: Path, name: str
) -> None:
    """H.264 in 8 bits, AAC, MP4 with its index in front, upright, even, as long and as loud as it
    was.
    """
    before = studio.clip(name)
    file = made(studio, name, tmp_path)
    path = tmp_path / file.path
    assert "video/mp4" == file.type
    told = probed(path)
    streams = {each["codec_type"]: each for each in told["streams"]}
    film = streams["video"]
    assert ("h264", "yuv420p") == (film["codec_name"], film["pix_fmt"].replace("yuvj", "yuv"))
    assert (0, 0) == (film["width"] % 2, film["height"] % 2)
    assert film.get("sample_aspect_ratio", "1:1") in {"1:1", "N/A"}
    assert film.get("field_order", "progressive") in {"progressive", "unknown"}
    assert [] == [each for each in film.get("side_data_list", ()) if "rotation" in each]
    begin = path.read_bytes()
    assert begin.index(b"moov") < begin.index(b"mdat")
    silent = name in SILENT or name in MOVING
    assert silent is ("audio" not in streams)
    if not silent:
        assert "aac" == streams["audio"]["codec_name"]
        assert streams["audio"]["channels"] <= 2
    seconds = {"moving.avif": 1.0, "large.mp4": 2.0}.get(name, 4.0)
    assert float(told["format"]["duration"]) == pytest.approx(seconds, abs=0.1)
    seen = played(page, tmp_path, file)
    assert (
        SHAPES.get(name, (320, 240)) == (seen["width"], seen["height"]) == (file.width, file.height)
    )
    assert seen["frames"] > 0
    assert seen["light"] > 20
    assert silent or seen["sound"] > 0
    assert (name in KEPT) is (begin == before)


@pytest.mark.parametrize("name", PICTURES)
def test_a_picture_is_one_that_browsers_show(
    studio: Studio, page: Page, tmp_path: Path, name: str
) -> None:
    """Upright and whole: a phone's tiles are one picture."""
    file = made(studio, name, tmp_path)
    assert PICTURES[name] == file.type
    shape = {"gif": (160, 120)}.get(name, (640, 480) if "." in name else (320, 240))
    shape = shape[::-1] if name.startswith("turned") else shape
    seen = played(page, tmp_path, file)
    assert shape == (seen["width"], seen["height"])


@pytest.mark.parametrize("name", SOUNDS)
def test_sound_is_in_a_container_that_is_played(
    studio: Studio, page: Page, tmp_path: Path, name: str
) -> None:
    """Its own coding is kept."""
    file = made(studio, name, tmp_path)
    assert SOUNDS[name] == file.type
    seen = played(page, tmp_path, file)
    assert seen["seconds"] == pytest.approx(4.0, abs=0.1)
    assert seen["sound"] > 0


def test_what_is_asked_for_as_it_is_stays_as_it_is(studio: Studio, tmp_path: Path) -> None:
    """The default for `kubectl`."""
    file = made(studio, "hevc.mp4", tmp_path, deliverAs="Original")
    assert studio.clip("hevc.mp4") == (tmp_path / file.path).read_bytes()


def test_the_original_is_kept_beside_where_that_is_asked_for(
    studio: Studio, tmp_path: Path
) -> None:
    path = tmp_path / "job-1"
    path.write_bytes(studio.clip("hevc.mp4"))
    media = {"deliverAs": "Playable", "keepOriginal": True}
    wish = order("http://site.example/a.mp4", media=media)
    found = Found(files=[Fetched(path=path, measured=True)])
    playable, original = validate_all(found, wish, scratch=tmp_path, moved=lambda *_: None)
    assert studio.clip("hevc.mp4") == (tmp_path / original.path).read_bytes()
    assert "h264" == probed(tmp_path / playable.path)["streams"][0]["codec_name"]


def test_what_would_not_be_coded_in_time_is_delivered_as_it_is(
    studio: Studio, tmp_path: Path
) -> None:
    """Something is more than nothing."""
    path = tmp_path / "job-1"
    path.write_bytes(studio.clip("hevc.mp4"))
    wish = order("http://site.example/a.mp4", media={"deliverAs": "Playable"}, seconds=0.01)
    found = Found(files=[Fetched(path=path, measured=True)])
    (file,) = validate_all(found, wish, scratch=tmp_path, moved=lambda *_: None)
    assert studio.clip("hevc.mp4") == (tmp_path / file.path).read_bytes()


def test_originals_count_as_files(studio: Studio, tmp_path: Path) -> None:
    """Else the operator would not take the result, and nobody would know why."""
    path = tmp_path / "job-1"
    path.write_bytes(studio.clip("hevc.mp4"))
    media = {"deliverAs": "Playable", "keepOriginal": True}
    wish = order("http://site.example/a.mp4", media=media, limits={"maxFiles": 1})
    found = Found(files=[Fetched(path=path, measured=True)])
    with pytest.raises(FetchError) as caught:
        validate_all(found, wish, scratch=tmp_path, moved=lambda *_: None)
    assert FailureReason.TOO_LARGE == caught.value.reason
    assert "originals" in caught.value.message


def test_a_drawing_that_is_a_program_is_refused(studio: Studio, tmp_path: Path) -> None:
    """An SVG may hold scripts and addresses."""
    with pytest.raises(FetchError) as caught:
        made(studio, "drawing.svg", tmp_path)
    assert FailureReason.NOT_SUPPORTED == caught.value.reason


@pytest.mark.parametrize("name", ["hevc.mp4", "odd.webm", "tiled.heic", "moving.avif"])
def test_what_is_broken_inside_ends_its_own_job_alone(
    studio: Studio, tmp_path: Path, name: str
) -> None:
    """Its beginning is whole; behind it is noise. Either something playable comes of it, or the
    fitting reason.
    """
    path = tmp_path / "job-1"
    whole = studio.clip(name)
    path.write_bytes(whole[:700] + bytes(len(whole) - 700))
    wish = order(f"http://site.example/{name}", media={"deliverAs": "Playable"})
    found = Found(files=[Fetched(path=path, measured=True)])

    def outcome() -> str:
        try:
            (file,) = validate_all(found, wish, scratch=tmp_path, moved=lambda *_: None)
        except FetchError as error:
            return str(error.reason)
        return file.type

    assert outcome() in {"SiteError", "video/mp4", "image/webp"}
