"""The folder of all jobs: how much is in it, and that nothing stays that is nobody's."""

import contextlib
import itertools
import os
import secrets
import stat
from collections.abc import Collection, Iterator
from typing import Final

from trawler_worker.files import FOLDER

MAX_ENTRIES: Final = 20_000
"""Files and folders of one job that are looked at. Nobody needs more."""
MAX_DEPTH: Final = 32
"""Folders inside of folders. A path that is longer than the kernel takes could not be looked at."""
SWEPT_AT_ONCE: Final = 1_000
"""Files and folders: some 10 ms."""


def size(folder: str) -> int | None:
    """Bytes of all files below a folder; None where there are absurdly many, or absurdly deep. What vanishes while we
    look counts nothing, and neither does what a file system reserves for files that grow.
    """
    total, entries, todo = 0, 0, [(folder, 0)]
    while todo:
        path, depth = todo.pop()
        if depth > MAX_DEPTH:
            return None
        with contextlib.suppress(OSError), os.scandir(path) as found:
            for entry in found:
                entries += 1
                if entries > MAX_ENTRIES:
                    return None
                with contextlib.suppress(OSError):
                    if entry.is_dir(follow_symlinks=False):
                        todo.append((entry.path, depth + 1))
                    else:
                        total += entry.stat(follow_symlinks=False).st_size
    return total


def sweep(scratch: str, known: Collection[str]) -> bool:
    """Remove what lies there under a name that is nobody's: a job may write beside its own folder. So much at a time
    that nobody waits for it; answers with whether it is done. What cannot be removed stays.

    A folder inside of one comes up before it goes: so no path is longer than the kernel takes, and no depth is too
    deep.
    """
    left = SWEPT_AT_ONCE
    while left > 0:
        before = left
        for name in _names(scratch):
            if name not in known and left > 0:
                left -= _removed(f"{scratch}/{name}", scratch, left)
        if left == before:
            return True
    return False


def put_aside(name: str, scratch: str, *, inside: int | None = None) -> None:
    """Give it a name that is nobody's: the next sweep removes it. `inside` is the folder that it lies in. Raises
    OSError.
    """
    os.rename(name, f"{scratch}/gone-{secrets.token_hex(8)}", src_dir_fd=inside)


def _removed(path: str, scratch: str, most: int) -> int:
    """How many files and folders are gone from there. Also where a job took its own rights away."""
    gone = 0
    with contextlib.suppress(OSError):
        if not stat.S_ISDIR(os.lstat(path).st_mode):
            os.unlink(path)  # noqa: PTH108 - no `Path`: see `isolation`
            return 1
        os.chmod(path, 0o700)  # noqa: PTH101
        with _opened(path) as inside:
            for name in _names(inside, most):
                with contextlib.suppress(OSError):
                    _take_out(name, inside, scratch)
                    gone += 1
        os.rmdir(path)  # noqa: PTH106
        gone += 1
    return gone


def _take_out(name: str, inside: int, scratch: str) -> None:
    if stat.S_ISDIR(os.lstat(name, dir_fd=inside).st_mode):
        os.chmod(name, 0o700, dir_fd=inside)
        put_aside(name, scratch, inside=inside)
    else:
        os.unlink(name, dir_fd=inside)


def _names(folder: str | int, most: int = SWEPT_AT_ONCE) -> list[str]:
    """Of so many that lie in it; none where it is not there."""
    with contextlib.suppress(OSError), os.scandir(folder) as found:
        return [entry.name for entry in itertools.islice(found, most)]
    return []


@contextlib.contextmanager
def _opened(folder: str) -> Iterator[int]:
    descriptor = os.open(folder, FOLDER)
    try:
        yield descriptor
    finally:
        os.close(descriptor)
