"""What a file was made of, and what that says of whether it is whole."""

from pathlib import Path

import pytest

from trawler_crds.media_job import Media
from trawler_sandbox.media import Studio
from trawler_worker.fetcher.engines.base import Fetched
from trawler_worker.fetcher.errors import FetchError
from trawler_worker.fetcher.proof import prove

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
    more = {"scratch": tmp_path, "media": Media(), "title": None, "url": "http://a.example/a.mp4"}
    if verified is None:
        with pytest.raises(FetchError):
            prove(file, number=1, count=1, **more)  # type: ignore[arg-type]
        return
    assert verified == prove(file, number=1, count=1, **more).verified  # type: ignore[arg-type]
