"""Sniffing and wholeness, on real media of the sandbox."""

from pathlib import Path

import pytest

from trawler_sandbox.media import TYPES, Studio
from trawler_worker.fetcher.sniff import HEAD, sniff
from trawler_worker.fetcher.wholeness import is_whole


@pytest.fixture(scope="module")
def studio(tmp_path_factory: pytest.TempPathFactory) -> Studio:
    return Studio(tmp_path_factory.mktemp("studio"))


@pytest.mark.parametrize("extension", list(TYPES))
def test_generated_media_is_what_it_says(studio: Studio, extension: str) -> None:
    """By its first bytes."""
    found = sniff(studio.make(extension, "s", 5000)[:HEAD])
    assert found is not None
    assert (TYPES[extension], extension) == (found.type, found.extension)


@pytest.mark.parametrize("extension", ["mp4", "jpg", "png", "gif"])
def test_a_cut_file_is_not_whole(studio: Studio, extension: str, tmp_path: Path) -> None:
    """Its header still promises what never came."""
    body = studio.make(extension, "s", 50_000)
    kind = sniff(body[:HEAD])
    assert kind is not None
    path = tmp_path / "file"
    path.write_bytes(body)
    assert is_whole(path, kind)
    for share in (0.3, 0.6, 0.95):
        path.write_bytes(body[: int(len(body) * share)])
        assert not is_whole(path, kind)


def test_another_seed_gives_other_bytes_and_the_same_seed_the_same(studio: Studio) -> None:
    """So every job of a test fetches something of its own."""
    assert studio.make("mp4", "a", 1000) != studio.make("mp4", "b", 1000)
    assert studio.make("mp4", "a", 1000) == studio.make("mp4", "a", 1000)
    assert abs(len(studio.make("mp4", "a", 300_000)) - 300_000) < 100


@pytest.mark.parametrize(
    "head", [b"", b"<html>", b"#EXTM3U\n", b"ffconcat version 1.0\n", b"\x7fELF", b"PK\x03\x04"]
)
def test_what_is_no_media_has_no_type(head: bytes) -> None:
    """Pages, playlists, programs."""
    assert sniff(head.ljust(HEAD, b" ")) is None


def test_a_tiny_or_endless_structure_is_refused_not_followed(tmp_path: Path) -> None:
    """A box of length 1 to 7 would loop for ever."""
    path = tmp_path / "x"
    path.write_bytes(b"\0\0\0\x18ftypisom\0\0\0\0isomiso2" + b"\0\0\0\x02moov" * 10)
    kind = sniff(path.read_bytes())
    assert kind is not None
    assert not is_whole(path, kind)
