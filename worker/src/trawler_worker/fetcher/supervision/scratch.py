"""The folder of all jobs: how much is in it, and that nothing stays that is nobody's."""

import asyncio
import contextlib
import itertools
import os
import secrets
import stat
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import Final

from trawler_common import logs
from trawler_worker.files import FOLDER

MAX_ENTRIES: Final = 20_000
"""Files and folders of one job that are looked at. Nobody needs more."""
MAX_DEPTH: Final = 32
"""Folders inside of folders. A path that is longer than the kernel takes could not be looked at."""
SWEPT_AT_ONCE: Final = 1_000
"""Files and folders that are looked at, or removed, before somebody else has a turn."""
SWEEP_AGAIN: Final = 0.01
"""Seconds between two slices."""
_ASIDE: Final = "gone-"
"""What begins so has been put aside. No job's name does."""

log = logs.get("scratch")


def size(folder: str) -> int | None:
    """Bytes of all files below a folder; None where there are absurdly many, or absurdly deep, or
    nobody may look. What vanishes while we look counts nothing, and neither does what a file system
    reserves for files that grow.
    """
    total, entries, todo = 0, 0, [(folder, 0)]
    while todo:
        path, depth = todo.pop()
        if depth > MAX_DEPTH:
            return None
        try:
            with os.scandir(path) as found:
                for entry in found:
                    entries += 1
                    if entries > MAX_ENTRIES:
                        return None
                    with contextlib.suppress(FileNotFoundError):
                        if entry.is_dir(follow_symlinks=False):
                            todo.append((entry.path, depth + 1))
                        else:
                            total += entry.stat(follow_symlinks=False).st_size
        except PermissionError:
            return None
        except OSError:
            continue
    return total


class Scratch:
    """The folder, and whoever removes what is over: a file of many pieces takes the kernel a
    second, so that is done beside all else. `jobs` answers with the names of those whose files are
    wanted.
    """

    def __init__(self, path: Path, jobs: Callable[[], Collection[str]]) -> None:
        # no `Path` for what has a job's name: it keeps each part of each name for a while among all
        # names that
        # Python knows, whose table then grows once and for good, by half a mebibyte or more (3.11)
        self.path = str(path)
        self._jobs = jobs
        self._sweeping: asyncio.Task[None] | None = None
        self._closed = False

    def folder(self, job: str) -> str:
        """Where a job's files lie."""
        return f"{self.path}/{job}"

    def make(self, job: str) -> None:
        """A new and empty folder for it. Raises OSError."""
        with contextlib.suppress(FileNotFoundError):
            _put_aside(self.folder(job), self.path)
        os.mkdir(self.folder(job), mode=0o770)  # noqa: PTH102

    def empty(self) -> None:
        """Remove all that is nobody's, now."""
        while self._put_others_aside() and sweep(self.path):
            continue

    def tidy(self) -> None:
        """Whatever lies there under a name that is nobody's goes: a job may write beside its own
        folder.
        """
        idle = self._sweeping is None or self._sweeping.done()
        if self._put_others_aside() and idle and not self._closed:
            self._sweeping = asyncio.create_task(self._sweep(), name="sweep scratch")

    def _put_others_aside(self) -> bool:
        """Whether there is anything to be removed. What is put aside is in nobody's way."""
        jobs = self._jobs()
        others = _names(self.path, lambda name: name not in jobs and not _is_aside(name))
        for name in others:
            with contextlib.suppress(OSError):
                _put_aside(self.folder(name), self.path)
        return bool(others or _names(self.path, _is_aside, most=1))

    async def _sweep(self) -> None:
        """Until nothing is left, of what comes meanwhile too, or nothing of it can be removed."""
        while self._put_others_aside():
            if not await asyncio.to_thread(sweep, self.path):
                log.warning("scratch_not_swept")  # the next job's end tries again
                return
            await asyncio.sleep(SWEEP_AGAIN)

    async def close(self) -> None:
        """Remove no more."""
        self._closed = True
        if self._sweeping is not None:
            self._sweeping.cancel()
            await asyncio.wait({self._sweeping})


def sweep(scratch: str) -> int:
    """Remove what was put aside, some of it at a time; answers with how many files and folders are
    gone or came up. What cannot be removed stays.

    A folder inside of one is put aside before it goes: so no path is longer than the kernel takes,
    and no depth is too deep.
    """
    gone, before = 0, -1
    while before < gone < SWEPT_AT_ONCE:
        before = gone
        for name in _names(scratch, _is_aside):
            if gone < SWEPT_AT_ONCE:
                gone += _removed(f"{scratch}/{name}", scratch, SWEPT_AT_ONCE - gone)
    return gone


def _put_aside(name: str, scratch: str, *, inside: int | None = None) -> None:
    """Give it a name that is no job's. `inside` is the folder that it lies in. Raises OSError."""
    os.rename(name, f"{scratch}/{_ASIDE}{secrets.token_hex(8)}", src_dir_fd=inside)


def _removed(path: str, scratch: str, most: int) -> int:
    """How many files and folders are gone from there. Also where a job took its own rights away."""
    gone = 0
    with contextlib.suppress(OSError):
        if not stat.S_ISDIR(os.lstat(path).st_mode):
            os.unlink(path)  # noqa: PTH108
            return 1
        os.chmod(path, 0o700)  # noqa: PTH101
        with _opened(path) as inside:
            for name in _names(inside, most=most):
                with contextlib.suppress(OSError):
                    _take_out(name, inside, scratch)
                    gone += 1
        os.rmdir(path)  # noqa: PTH106
        gone += 1
    return gone


def _take_out(name: str, inside: int, scratch: str) -> None:
    if stat.S_ISDIR(os.lstat(name, dir_fd=inside).st_mode):
        os.chmod(name, 0o700, dir_fd=inside)
        _put_aside(name, scratch, inside=inside)
    else:
        os.unlink(name, dir_fd=inside)


def _is_aside(name: str) -> bool:
    return name.startswith(_ASIDE)


def _names(
    folder: str | int, wanted: Callable[[str], bool] | None = None, *, most: int = SWEPT_AT_ONCE
) -> list[str]:
    """Of so many that lie in it and are wanted; none where it is not there."""
    with contextlib.suppress(OSError), os.scandir(folder) as found:
        return list(itertools.islice(filter(wanted, (entry.name for entry in found)), most))
    return []


@contextlib.contextmanager
def _opened(folder: str) -> Iterator[int]:
    descriptor = os.open(folder, FOLDER)
    try:
        yield descriptor
    finally:
        os.close(descriptor)
