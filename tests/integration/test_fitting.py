"""What is larger than it may be is made to fit, as long as it stays worth looking at."""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from fetching import order
from trawler_crds.messages import Stage
from trawler_worker.fetcher.engines.base import Fetched, Found
from trawler_worker.fetcher.errors import FetchError
from trawler_worker.fetcher.validation import validate_all
from trawler_worker.protocol import ValidFile

pytestmark = pytest.mark.timeout(120)
Heard = list[tuple[Stage, int, int | None]]
NOISY = "testsrc2=size=640x360:rate=30:duration=6,noise=alls=20:allf=t"


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six seconds with sound, some 3 MB: H.264 that plays as it is."""
    path = tmp_path_factory.mktemp("films") / "film.mp4"
    _ffmpeg(
        *("-f", "lavfi", "-i", NOISY, "-f", "lavfi", "-i", "sine=frequency=440:duration=6"),
        *("-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p", "-b:v", "4M"),
        *("-c:a", "aac", "-movflags", "+faststart", str(path)),
    )
    return path


def _ffmpeg(*words: str) -> None:
    subprocess.run(["ffmpeg", "-v", "error", "-nostdin", "-y", *words], check=True, timeout=60)


def fitted(
    source: Path, scratch: Path, limit: int, heard: Heard | None = None, **media: Any
) -> ValidFile:
    path = scratch / "job-1"
    path.write_bytes(source.read_bytes())
    media = {"deliverAs": "Playable", **media}
    wish = order("http://site.example/a", media=media, limits={"fitBytes": limit})
    found = Found(files=[Fetched(path=path, measured=True)])

    def moved(stage: Stage, done: int, total: int | None) -> None:
        if heard is not None:
            heard.append((stage, done, total))

    (file,) = validate_all(found, wish, scratch=scratch, moved=moved)
    assert [file.path] == [each.name for each in scratch.iterdir()], "notes of passes are left"
    return file


def streams(path: Path) -> dict[str, dict[str, Any]]:
    words = ["ffprobe", "-v", "error", "-show_streams", "-of", "json", str(path)]
    told = json.loads(subprocess.run(words, check=True, capture_output=True).stdout)
    return {each["codec_type"]: each for each in told["streams"]}


def test_a_film_that_is_too_large_is_coded_to_fit_and_keeps_its_sound(
    film: Path, tmp_path: Path
) -> None:
    """A quarter of its bytes, all of its seconds; the stage is told with a percentage that grows to
    the end.
    """
    heard: Heard = []
    file = fitted(film, tmp_path, 700_000, heard)
    assert 400_000 < file.bytes <= 700_000
    found = streams(tmp_path / file.path)
    assert {"video", "audio"} == set(found)
    assert 360 == file.height
    assert file.seconds == pytest.approx(6.0, abs=0.1)
    told = [(done, total) for stage, done, total in heard if stage is Stage.CONVERTING and total]
    assert told[-1][0] > 0.5 * told[-1][1]
    assert all(0 <= done <= total for done, total in told)


def test_what_fits_already_is_not_touched(film: Path, tmp_path: Path) -> None:
    file = fitted(film, tmp_path, 100_000_000)
    assert film.read_bytes() == (tmp_path / file.path).read_bytes()


def test_a_film_becomes_smaller_where_its_own_size_would_not_be_watchable(
    film: Path, tmp_path: Path
) -> None:
    """And where no size would be, it stays as it is: its message offers what else there is."""
    smaller = fitted(film, tmp_path, 90_000)
    assert smaller.bytes <= 90_000
    assert 240 == smaller.height
    (tmp_path / "other").mkdir()
    same = fitted(film, tmp_path / "other", 20_000)
    assert film.stat().st_size == same.bytes


def test_what_grows_when_it_is_made_playable_fits_all_the_same(film: Path, tmp_path: Path) -> None:
    """HEVC takes half the bytes: what fits as it came may not as H.264."""
    hevc = tmp_path / "hevc.mp4"
    _ffmpeg(
        *("-i", str(film), "-c:v", "libx265", "-preset", "ultrafast", "-crf", "34"),
        *("-x265-params", "log-level=error", "-c:a", "copy", str(hevc)),
    )
    (tmp_path / "scratch").mkdir()
    limit = hevc.stat().st_size + 1000
    file = fitted(hevc, tmp_path / "scratch", limit)
    assert file.bytes <= limit
    assert "h264" == streams(tmp_path / "scratch" / file.path)["video"]["codec_name"]


def test_a_picture_is_made_to_fit(tmp_path: Path) -> None:
    """First with fewer bytes, then with fewer pixels."""
    noise = Image.effect_noise((1600, 1200), 60).convert("RGB")
    noise.save(tmp_path / "noise.png")
    for limit in (600_000, 150_000):
        scratch = tmp_path / str(limit)
        scratch.mkdir()
        file = fitted(tmp_path / "noise.png", scratch, limit)
        assert file.bytes <= limit
        assert "image/webp" == file.type
        assert (4, 3) == (round((file.width or 0) / (file.height or 1) * 3), 3)


def test_a_large_gif_becomes_a_film(tmp_path: Path) -> None:
    """It takes a tenth of the bytes."""
    gif = tmp_path / "a.gif"
    _ffmpeg("-f", "lavfi", "-i", "testsrc2=size=480x270:rate=10:duration=3", str(gif))
    (tmp_path / "scratch").mkdir()
    file = fitted(gif, tmp_path / "scratch", gif.stat().st_size // 2)
    assert "video/mp4" == file.type
    assert file.seconds == pytest.approx(3.0, abs=0.1)


def test_for_sound_alone_nothing_is_squeezed(film: Path, tmp_path: Path) -> None:
    file = fitted(film, tmp_path, 10_000, kind="Audio")
    assert file.bytes > 10_000


@pytest.mark.parametrize("shape", [(17_000, 600), (600, 17_000)])
def test_a_picture_that_is_longer_than_its_format_takes_is_made_to_fit(
    tmp_path: Path, shape: tuple[int, int]
) -> None:
    """Panoramas, and comics that are read by scrolling: they were called broken."""
    Image.effect_noise(shape, 60).convert("RGB").save(tmp_path / "wide.jpg", quality=95)
    (tmp_path / "scratch").mkdir()
    size = (tmp_path / "wide.jpg").stat().st_size
    file = fitted(tmp_path / "wide.jpg", tmp_path / "scratch", size // 2)
    assert file.bytes <= size // 2
    assert max(file.width or 0, file.height or 0) <= 16_383


def test_what_moves_still_moves_when_it_is_made_smaller(tmp_path: Path) -> None:
    """Of six pictures of a moving PNG one was left."""
    pictures = [Image.effect_noise((300, 300), 60 + n).convert("RGB") for n in range(6)]
    source = tmp_path / "moving.png"
    pictures[0].save(source, save_all=True, append_images=pictures[1:], duration=200)
    (tmp_path / "scratch").mkdir()
    file = fitted(source, tmp_path / "scratch", source.stat().st_size // 2)
    assert "video/mp4" == file.type
    assert file.seconds == pytest.approx(1.2, abs=0.3)


def test_sixteen_bits_of_grey_stay_grey(tmp_path: Path) -> None:
    """They became white."""
    grey = Image.new("I;16", (800, 800), 10_000)
    grey.putpixel((0, 0), 60_000)
    source = tmp_path / "grey.png"
    grey.save(source, compress_level=0)
    (tmp_path / "scratch").mkdir()
    file = fitted(source, tmp_path / "scratch", 100_000)
    with Image.open(tmp_path / "scratch" / file.path) as found:
        assert found.convert("L").getpixel((400, 400)) == pytest.approx(39, abs=4)


def test_more_pixels_than_a_job_has_memory_for_stay_as_they_are(tmp_path: Path) -> None:
    """A few kilobytes can hold gigabytes of pictures."""
    pictures = [Image.new("RGB", (1200, 1200), (8 * (n % 30), n * 4, 0)) for n in range(40)]
    source = tmp_path / "bomb.webp"
    pictures[0].save(source, save_all=True, append_images=pictures[1:], duration=50)
    (tmp_path / "scratch").mkdir()
    file = fitted(source, tmp_path / "scratch", 100)
    assert source.read_bytes() == (tmp_path / "scratch" / file.path).read_bytes()


def test_a_film_that_does_not_say_how_long_it_is_fits_too(film: Path, tmp_path: Path) -> None:
    """As browsers record them."""
    source = tmp_path / "recorded.mkv"
    words = ("-i", str(film), "-c", "copy", "-f", "matroska", "-live", "1", str(source))
    _ffmpeg(*words)
    (tmp_path / "scratch").mkdir()
    file = fitted(source, tmp_path / "scratch", 700_000)
    assert file.bytes <= 700_000


def test_looking_through_a_film_leaves_the_machine_as_it_was(film: Path, tmp_path: Path) -> None:
    """The first of two passes writes nowhere; who takes away what it wrote must not take
    /dev/null.
    """
    broken = tmp_path / "broken.mp4"
    whole = film.read_bytes()
    broken.write_bytes(whole[:3000] + bytes(len(whole) - 3000))
    (tmp_path / "scratch").mkdir()
    with pytest.raises(FetchError):
        fitted(broken, tmp_path / "scratch", 700_000)
    assert Path("/dev/null").is_char_device()
