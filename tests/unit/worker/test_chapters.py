"""The named parts of media: as they are for a whole file or a part of it, and as ffmpeg reads
them.
"""

import pytest

from trawler_crds.sidecar import MOST_CHAPTERS, Chapter
from trawler_worker.fetcher.conversion import chapters


def known(*given: tuple[str, float]) -> list[Chapter]:
    return [Chapter(title=title, start_seconds=start) for title, start in given]


def told(found: tuple[Chapter, ...]) -> list[tuple[str, float, float | None]]:
    return [(each.title, each.start_seconds, each.end_seconds) for each in found]


def test_each_ends_where_the_next_one_begins() -> None:
    found = chapters.within(known(("b", 4.0), ("a", 0.0)), 10.0)
    assert [("a", 0.0, 4.0), ("b", 4.0, 10.0)] == told(found)


@pytest.mark.parametrize(
    ("start", "seconds", "left"),
    [
        (5.0, 2.0, [("b", 0.0, 2.0)]),
        (3.0, 3.0, [("a", 0.0, 1.0), ("b", 1.0, 3.0)]),
        (0.0, 4.0, [("a", 0.0, 4.0)]),
        (0.0, 0.01, []),
    ],
)
def test_a_part_has_those_that_are_in_it_counted_from_its_beginning(
    start: float, seconds: float, left: list[tuple[str, float, float]]
) -> None:
    assert left == told(chapters.within(known(("a", 0.0), ("b", 4.0)), seconds, start=start))


def test_what_a_site_says_of_times_breaks_nothing() -> None:
    """Two that begin at once, one behind the end, an end before its start, and far too many."""
    odd = [Chapter(title="a", start_seconds=3.0, end_seconds=1.0)]
    odd += known(("b", 3.0), ("late", 1e9))
    assert [("b", 3.0, 10.0)] == told(chapters.within(odd, 10.0))
    many = chapters.within(known(*((str(at), float(at)) for at in range(500))), 1000.0)
    assert MOST_CHAPTERS == len(many)
    assert many[-1].end_seconds == MOST_CHAPTERS


def test_titles_are_only_titles() -> None:
    said = chapters.metadata(chapters.within(known(("[CHAPTER]\n;a=#\\b\\", 0.0)), 1.0))
    assert "\ntitle=[CHAPTER]\\\n\\;a\\=\\#\\\\b\n" in said
    assert "START=0\nEND=1000\n" in said


def test_comments_have_their_times_in_words() -> None:
    named = chapters.within(
        known(
            ("a=b", 3 * 3600 + 62.5),
        ),
        20_000.0,
    )
    assert (
        "-metadata",
        "CHAPTER000=03:01:02.500",
        "-metadata",
        "CHAPTER000NAME=a=b",
    ) == chapters.comments(named)
