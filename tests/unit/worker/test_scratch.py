"""What is removed from the folder of all jobs, and how much of it at a time."""

import os
from pathlib import Path

import pytest

from trawler_worker.fetcher import scratch


def sweep(folder: Path, *known: str) -> int:
    """How many times it took."""
    times = 1
    while not scratch.sweep(str(folder), known):
        times += 1
        assert times < 1_000
    return times


def test_only_what_is_nobodys_goes(tmp_path: Path) -> None:
    for name in ("mine", "nobodys"):
        (tmp_path / name / "inside").mkdir(parents=True)
        (tmp_path / name / "inside" / "file").touch()
    sweep(tmp_path, "mine")
    assert ["mine"] == os.listdir(tmp_path)
    assert (tmp_path / "mine" / "inside" / "file").exists()


def test_a_link_goes_and_what_it_names_stays(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "file").touch()
    (tmp_path / "nobodys").mkdir()
    for where in (tmp_path, tmp_path / "nobodys"):
        (where / "link").symlink_to(tmp_path / "mine")
    sweep(tmp_path, "mine")
    assert ["mine"] == os.listdir(tmp_path)
    assert ["file"] == os.listdir(tmp_path / "mine")


def test_much_goes_in_slices(tmp_path: Path) -> None:
    """Others have their turn between two of them."""
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
        for number in range(scratch.SWEPT_AT_ONCE):
            (tmp_path / folder / str(number)).touch()
    assert not scratch.sweep(str(tmp_path), ())
    left = sum(len(files) for _, _, files in os.walk(tmp_path))
    assert left == scratch.SWEPT_AT_ONCE
    sweep(tmp_path)
    assert [] == os.listdir(tmp_path)


def test_names_that_are_no_text_go(tmp_path: Path) -> None:
    os.mkdir(os.fsencode(tmp_path) + b"/\xff\xfe")
    Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff\xfe/\xfd")).touch()
    sweep(tmp_path)
    assert [] == os.listdir(tmp_path)


def test_what_cannot_be_removed_is_not_tried_for_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(path: str) -> None:
        raise PermissionError(path)

    (tmp_path / "folder" / "inside").mkdir(parents=True)
    monkeypatch.setattr(os, "rmdir", refused)
    assert scratch.sweep(str(tmp_path), ())
    assert scratch.sweep(str(tmp_path / "never"), ()), "nothing is there"
