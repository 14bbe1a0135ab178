"""What a file is called for people."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trawler_worker import filenames


def name(title: str | None, url: str = "http://a/b/clip%20one.mp4", **more: int) -> str:
    counts = {"number": 1, "count": 1, **more}
    return filenames.file_name(called=title, url=url, extension="mp4", **counts)


@pytest.mark.parametrize(
    ("title", "expected"),
    [
        ("A nice clip", "A nice clip.mp4"),
        ("../../etc/passwd", "etc_passwd.mp4"),
        ("a\x00b\x1b[31mc\u202ed\ne", "ab[31mcd e.mp4"),
        ("..", "clip one.mp4"),
        (None, "clip one.mp4"),
        ("@everyone <b>", "@everyone _b.mp4"),
        ("holiday.mp4", "holiday.mp4"),
        ("Holiday.MOV", "Holiday.mp4"),
        ("a song.mp3", "a song.mp4"),
        ("twice.mp4.MP4", "twice.mp4"),
        ("version 1.2", "version 1.2.mp4"),
        ("notes.txt", "notes.txt.mp4"),
        (".mp4", "mp4.mp4"),
        ("Mr. Mov", "Mr. Mov.mp4"),
        (
            "\U0001f468\u200d\U0001f469\u200d\U0001f467",
            "\U0001f468\u200d\U0001f469\u200d\U0001f467.mp4",
        ),
    ],
)
def test_a_title_becomes_a_harmless_name(title: str | None, expected: str) -> None:
    """No path, no control character, no turned text."""
    assert expected == name(title)


def test_several_files_are_numbered() -> None:
    """So that none hides another."""
    assert "x 2.mp4" == name("x", number=2, count=3)


@given(st.text(max_size=600), st.integers(1, 40))
def test_no_title_gives_a_name_over_80_bytes_or_a_path(title: str, number: int) -> None:
    """Whatever the site says."""
    found = name(title, number=number, count=40)
    assert len(found.encode()) <= 80
    assert "/" not in found
    assert "\\" not in found
    assert found.endswith(f" {number}.mp4")
    assert not found.startswith(".")
