"""What a file was made of, and what that says of whether it is whole."""

from pathlib import Path

import pytest

from fetching import order
from trawler_sandbox.media import Studio
from trawler_worker.fetcher.engines.base import Fetched, Found
from trawler_worker.fetcher.errors import FetchError
from trawler_worker.fetcher.validation import validate_all
from trawler_worker.protocol import ValidFile

WRONG = 100.0
"""Seconds that a page says, of a file that lasts four."""


@pytest.mark.parametrize(
    ("made", "verified"),
    [
        ({"measured": True}, "Length"),
        ({"measured": True, "repaired": True}, "Length"),
        ({"measured": True, "assembled": True}, None),
        ({}, "Structure"),
        ({"repaired": True}, None),
        ({"assembled": True}, None),
    ],
    ids=str,
)
def test_what_a_page_says_counts_where_nothing_else_shows_the_end(
    studio: Studio, tmp_path: Path, made: dict[str, bool], verified: str | None
) -> None:
    """None: it is refused."""
    path = tmp_path / "file"
    path.write_bytes(studio.clip("mp4"))
    file = Fetched(path=path, seconds=WRONG, **made)  # type: ignore[arg-type]
    wish = order("http://a.example/a.mp4")

    def prove() -> list[ValidFile]:
        return validate_all(Found(files=[file]), wish, scratch=tmp_path, moved=lambda *_: None)

    if verified is None:
        with pytest.raises(FetchError):
            prove()
        return
    assert [verified] == [each.verified for each in prove()]
