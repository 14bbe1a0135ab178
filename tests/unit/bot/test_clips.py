"""A part of a video, as people write it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trawler_bot.interactions import clips
from trawler_bot.interactions.clips import END, BadClip


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("1:20-2:05", (80, 125)),
        ("80-125", (80, 125)),
        (" 1:20 \u2013 2:05 ", (80, 125)),
        ("1:02:03-1:02:04", (3723, 3724)),
        ("1:20-", (80, END)),
        ("1:20", (80, END)),
        ("-0:30", (0, 30)),
        ("0-2.5", (0, 2.5)),
        ("0,5 to 1,5", (0.5, 1.5)),
        ("1:00 bis 2:00", (60, 120)),
        ("10..20", (10, 20)),
    ],
)
def test_a_part_is_read_as_people_write_it(text: str, part: tuple[float, float]) -> None:
    found = clips.parse(text)
    assert part == (found.start_seconds, found.end_seconds)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "-",
        "x",
        "2:05-1:20",
        "1:20-1:20",
        "1:2:3:4",
        "--",
        "1e3-2e3",
        "99999-",
        "0-0.05",
        "1" + " " * 60 + "-2",
        "\u0661-\u0662",
    ],
)
def test_what_is_no_part_is_refused(text: str) -> None:
    with pytest.raises(BadClip):
        clips.parse(text)


@given(st.text(max_size=40))
def test_any_text_is_a_part_or_refused(text: str) -> None:
    """Nothing else is raised, and a part ends after it begins."""
    try:
        found = clips.parse(text)
    except BadClip:
        return
    assert 0 <= found.start_seconds < found.end_seconds <= END


@pytest.mark.parametrize(
    ("link", "offered"),
    [
        ("https://youtu.be/x?t=80", ["1:20-", "1:20-2:20"]),
        ("https://a.example/w?v=x&t=1m20s", ["1:20-", "1:20-2:20"]),
        ("https://a.example/w?start=3600", ["1:00:00-", "1:00:00-1:01:00"]),
        ("https://a.example/w#t=1h2m3s", ["1:02:03-", "1:02:03-1:03:03"]),
        ("https://a.example/w?t=0", []),
        ("https://a.example/w?t=soon", []),
        ("https://a.example/w?t=", []),
        ("https://[", []),
        ("", []),
    ],
)
def test_where_a_link_says_where_to_begin_that_is_offered(link: str, offered: list[str]) -> None:
    """To the end, and a minute of it; each is a part that is read again."""
    assert offered == clips.offered(link)
    assert all(clips.parse(each) for each in offered)
