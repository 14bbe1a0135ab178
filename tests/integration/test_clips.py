"""Only a part: it begins with the picture that was asked for, and nothing of the rest is in the
file.
"""

import subprocess
from pathlib import Path
from typing import Any

import av
import pytest

from fetching import order
from trawler_crds.failures import FailureReason
from trawler_sandbox.media import Studio
from trawler_worker.fetcher.engines.base import Fetched, Found
from trawler_worker.fetcher.errors import FetchError
from trawler_worker.fetcher.validation import validate_all
from trawler_worker.protocol import ValidFile

pytestmark = pytest.mark.timeout(60)
SECONDS = 10


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Grey that becomes lighter by a step with each picture, with key frames far apart and
    B-frames.
    """
    path = tmp_path_factory.mktemp("films") / "film.mp4"
    words = [
        *("-f", "lavfi", "-i", f"color=black:size=64x64:rate=20:duration={SECONDS}"),
        *("-f", "lavfi", "-i", f"sine=frequency=440:duration={SECONDS}"),
        *("-vf", "geq=lum='16+N':cb=128:cr=128", "-c:v", "libx264", "-g", "100", "-bf", "2"),
        *("-qp", "5", "-pix_fmt", "yuv420p", "-c:a", "aac", "-movflags", "+faststart"),
    ]
    subprocess.run(["ffmpeg", "-v", "error", "-y", *words, str(path)], check=True, timeout=60)
    return path


def cut(source: bytes, scratch: Path, start: float, end: float, **media: Any) -> ValidFile:
    path = scratch / "job-1"
    path.write_bytes(source)
    clip = {"startSeconds": start, "endSeconds": end}
    wish = order("http://site.example/a", media={"clip": clip, **media})
    found = Found(files=[Fetched(path=path, measured=True)])
    (file,) = validate_all(found, wish, scratch=scratch, moved=lambda *_: None)
    return file


def lights(path: Path) -> list[float]:
    """How light each picture is: it grows with each."""
    with av.open(str(path)) as inside:
        planes = [
            bytes(frame.reformat(format="gray").planes[0]) for frame in inside.decode(video=0)
        ]
    return [sum(plane) / len(plane) for plane in planes]


@pytest.mark.parametrize(
    ("start", "end"), [(3.3, 5.3), (0.05, 1.0), (5.0, 7.0), (8.0, 86_400), (0, 2.5)]
)
def test_it_begins_and_ends_where_that_was_asked_for(
    film: Path, tmp_path: Path, start: float, end: float
) -> None:
    """Exact to a tenth of a second at the start; nothing of what lies before is in the file."""
    file = cut(film.read_bytes(), tmp_path, start, end)
    length = min(end, SECONDS) - start
    assert file.seconds == pytest.approx(length, abs=0.15)
    seen = lights(tmp_path / file.path)
    assert len(seen) == pytest.approx(length * 20, abs=3)
    whole = lights(film)
    nearest = min(range(len(whole)), key=lambda at: abs(whole[at] - seen[0]))
    assert nearest / 20 == pytest.approx(start, abs=0.1)


def test_from_the_beginning_nothing_is_coded_anew(film: Path, tmp_path: Path) -> None:
    """The pictures are the very same packets."""

    def packets(path: Path, most: int) -> list[bytes]:
        with av.open(str(path)) as inside:
            return [bytes(packet) for packet in inside.demux(video=0) if packet.size][:most]

    file = cut(film.read_bytes(), tmp_path, 0, 2.5)
    assert packets(film, 30) == packets(tmp_path / file.path, 30)


def test_sound_alone_is_cut_too(studio: Studio, tmp_path: Path) -> None:
    for name in ("mp3", "m4a", "wav", "opus"):
        scratch = tmp_path / name
        scratch.mkdir()
        file = cut(studio.clip(name), scratch, 1.0, 2.5)
        assert file.seconds == pytest.approx(1.5, abs=0.1), name


def test_the_sound_of_a_part(film: Path, tmp_path: Path) -> None:
    """Kind Audio and a part of it."""
    file = cut(film.read_bytes(), tmp_path, 2.0, 4.0, kind="Audio", audioFormat="Mp3")
    assert "audio/mpeg" == file.type
    assert file.seconds == pytest.approx(2.0, abs=0.1)


def test_a_part_behind_the_end_is_said_in_a_sentence(film: Path, tmp_path: Path) -> None:
    with pytest.raises(FetchError) as caught:
        cut(film.read_bytes(), tmp_path, 30, 40)
    assert FailureReason.NOTHING_FOUND == caught.value.reason
    assert "10 seconds" in caught.value.message


def test_a_picture_has_no_parts(studio: Studio, tmp_path: Path) -> None:
    """It is delivered as it is."""
    file = cut(studio.clip("jpg"), tmp_path, 1, 2)
    assert "image/jpeg" == file.type
