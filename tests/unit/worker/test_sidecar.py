"""The JSON file beside a job's files: what it says, and that it says it as its schema promises."""

import hashlib
import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from trawler_crds.media_job import EngineName, MediaFile, Source, Verified
from trawler_crds.messages import Order
from trawler_crds.sidecar import (
    MOST_CAPTION,
    MOST_CHAPTERS,
    MOST_DESCRIPTION,
    MOST_SIDECAR,
    MOST_TAGS,
    About,
    Chapter,
)
from trawler_worker.agent import sidecar
from trawler_worker.protocol import Done, ValidFile

SCHEMA = json.loads((Path(__file__).parents[3] / "docs" / "sidecar.schema.json").read_text())
ORDER = Order(uid="u", name="j", attempt=1, url="https://site.example/a?b=c", attempt_seconds=60)


def file(name: str) -> MediaFile:
    return MediaFile(
        name=name, bytes=7, sha256="ab" * 32, type="video/mp4", width=320, verified=Verified.LENGTH
    )


def proved(name: str, caption: str | None = None) -> ValidFile:
    common: dict[str, Any] = {"path": "x", "inode": 1, "changed_ns": 1, "bytes": 7}
    return ValidFile(
        **common, name=name, type="video/mp4", verified=Verified.LENGTH, caption=caption
    )


def written(done: Done, files: list[MediaFile]) -> dict[str, Any]:
    made = sidecar.of(ORDER, done, files, 1_780_000_000.0)
    assert hashlib.sha256(made.data).hexdigest() == made.file.sha256
    assert len(made.data) == made.file.bytes <= MOST_SIDECAR
    found: dict[str, Any] = json.loads(made.data)
    jsonschema.Draft202012Validator(SCHEMA).validate(found)
    return found


def test_it_says_all_that_is_known() -> None:
    done = Done(
        job="u-1",
        engine=EngineName.GALLERY_DL,
        files=[proved("A 1.jpg", "The first"), proved("A 2.jpg")],
        source=Source(title="A", author="B", page="https://site.example/a", extractor="site"),
        about=About(
            published="2026-05-06",
            description="C\nD",
            licence="CC BY 4.0",
            tags=["e"],
            chapters=[Chapter(title="f", start_seconds=0.0, end_seconds=1.5)],
        ),
    )
    found = written(done, [file("A 1.jpg"), file("A 2.jpg")])
    assert "trawler.dev/sidecar/v1" == found["schema"]
    assert ("https://site.example/a?b=c", "https://site.example/a") == (found["url"], found["page"])
    assert ("A", "B", "site", "GalleryDl") == tuple(
        found[key] for key in ("title", "author", "site", "engine")
    )
    assert "2026-05-28T20:26:40Z" == found["fetched"]
    assert {"title": "f", "startSeconds": 0.0, "endSeconds": 1.5} == found["about"]["chapters"][0]
    assert ["The first", None] == [each.get("caption") for each in found["files"]]
    assert {"trawler-worker", "gallery-dl"} == set(found["versions"])


def test_it_says_little_where_little_is_known() -> None:
    found = written(Done(job="u-1", files=[proved("a")]), [file("a")])
    assert "title" not in found
    assert [] == found["about"]["tags"]


@pytest.mark.parametrize("letter", ["\x01", "ü", "\U0001f600", '"'])
def test_the_longest_that_may_be_told_fits(letter: str) -> None:
    """A job process says what it likes."""
    about = About(
        description=letter * MOST_DESCRIPTION,
        tags=[letter * 64] * MOST_TAGS,
        chapters=[Chapter(title=letter * 128, start_seconds=0.0)] * MOST_CHAPTERS,
    )
    done = Done(job="u-1", files=[proved("a", letter * MOST_CAPTION)] * 40, about=about)
    written(done, [file("a")] * 40)
