"""What is removed from the folder of all jobs, and who waits for it."""

import asyncio
import os
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from trawler_worker.fetcher.supervision import scratch
from trawler_worker.fetcher.supervision.scratch import Scratch, size, sweep


async def kept(folder: Path, *jobs: str) -> None:
    """Until nothing but these is left."""
    there = Scratch(folder, lambda: jobs)
    there.tidy()
    async with asyncio.timeout(30):
        while {*os.listdir(folder)} - {*jobs}:
            await asyncio.sleep(0.01)
    await there.close()


async def test_only_what_is_nobodys_goes(tmp_path: Path) -> None:
    for name in ("mine", "nobodys"):
        (tmp_path / name / "inside").mkdir(parents=True)
        (tmp_path / name / "inside" / "file").touch()
    await kept(tmp_path, "mine")
    assert (tmp_path / "mine" / "inside" / "file").exists()


async def test_a_job_of_the_same_name_begins_with_an_empty_folder(tmp_path: Path) -> None:
    """Whatever lies there: it is put aside at once, and goes later."""
    there = Scratch(tmp_path, lambda: ("job", "other"))
    (tmp_path / "job").mkdir()
    (tmp_path / "job" / "old").touch()
    (tmp_path / "other").symlink_to("/etc")
    for job in ("job", "other"):
        there.make(job)
        assert [] == os.listdir(there.folder(job))
    await kept(tmp_path, "job", "other")


async def test_a_link_goes_and_what_it_names_stays(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "file").touch()
    (tmp_path / "nobodys").mkdir()
    for where in (tmp_path, tmp_path / "nobodys"):
        (where / "link").symlink_to(tmp_path / "mine")
    await kept(tmp_path, "mine")
    assert ["file"] == os.listdir(tmp_path / "mine")


async def test_nobody_waits_while_much_is_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file of many pieces takes the kernel a second: others have their turn meanwhile."""
    begun, done = threading.Event(), threading.Event()
    by = []

    def slow(path: str, *, unlink: Callable[..., None] = os.unlink, **more: int) -> None:
        by.append(threading.current_thread())
        begun.set()
        done.wait(10)
        unlink(path, **more)

    monkeypatch.setattr(os, "unlink", slow)
    (tmp_path / "file").touch()
    there = Scratch(tmp_path, lambda: ())
    there.tidy()
    async with asyncio.timeout(5):
        while not begun.is_set():
            await asyncio.sleep(0.01)
    done.set()
    assert threading.main_thread() not in by
    await kept(tmp_path)
    await there.close()


def test_much_goes_in_slices(tmp_path: Path) -> None:
    for folder in ("gone-1", "gone-2"):
        (tmp_path / folder).mkdir()
        for number in range(scratch.SWEPT_AT_ONCE):
            (tmp_path / folder / str(number)).touch()
    sweep(str(tmp_path))
    left = sum(len(files) for _, _, files in os.walk(tmp_path))
    assert left == scratch.SWEPT_AT_ONCE


async def test_all_of_it_goes_however_much_it_is_and_what_comes_meanwhile(tmp_path: Path) -> None:
    """Beside the folders of jobs too, and although nobody ends after the first."""
    (tmp_path / "mine").mkdir()
    for number in range(3 * scratch.SWEPT_AT_ONCE):
        (tmp_path / f"stray{number}").touch()
    there = Scratch(tmp_path, lambda: ("mine",))
    there.tidy()
    await asyncio.sleep(0.005)
    (tmp_path / "late").touch()
    async with asyncio.timeout(30):
        while ["mine"] != os.listdir(tmp_path):
            await asyncio.sleep(0.01)
    await there.close()


def test_a_restart_leaves_nothing_however_much_it_is(tmp_path: Path) -> None:
    for number in range(3 * scratch.SWEPT_AT_ONCE):
        (tmp_path / f"stray{number}").touch()
    Scratch(tmp_path, lambda: ()).empty()
    assert [] == os.listdir(tmp_path)


async def test_names_that_are_no_text_go(tmp_path: Path) -> None:
    os.mkdir(os.fsencode(tmp_path) + b"/\xff\xfe")
    Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff\xfe/\xfd")).touch()
    await kept(tmp_path)


async def test_what_cannot_be_removed_is_not_tried_for_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """And somebody hears of it."""

    def refused(path: str) -> None:
        raise PermissionError(path)

    (tmp_path / "nobodys").mkdir(parents=True)
    monkeypatch.setattr(os, "rmdir", refused)
    there = Scratch(tmp_path, lambda: ())
    there.empty()
    there.tidy()
    assert there._sweeping is not None
    async with asyncio.timeout(10):
        await there._sweeping
    assert "scratch_not_swept" in caplog.text


def test_a_folder_that_nobody_may_look_into_is_too_much(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else a job could fill the disk in there."""
    (tmp_path / "shut").mkdir()
    (tmp_path / "file").write_bytes(b"x" * 100)
    assert size(str(tmp_path)) == 100

    def refused(path: str, *, scandir: Callable[[str], object] = os.scandir) -> object:
        if path.endswith("shut"):
            raise PermissionError(path)
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refused)
    assert size(str(tmp_path)) is None
