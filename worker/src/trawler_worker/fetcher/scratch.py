"""The folder of all jobs: how much is in it, and that nothing stays that is nobody's."""

import contextlib
import os
import shutil
from collections.abc import Collection
from pathlib import Path
from typing import Final

MAX_ENTRIES: Final = 20_000
"""Files and folders of one job that are looked at. Nobody needs more."""
MAX_DEPTH: Final = 32
"""Folders inside of folders. A path that is longer than the kernel takes could not be looked at."""


def size(folder: Path) -> int | None:
    """Bytes of all files below a folder; None where there are absurdly many, or absurdly deep. What vanishes while we
    look counts nothing, and neither does what a file system reserves for files that grow.
    """
    total, entries, todo = 0, 0, [(os.fspath(folder), 0)]
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


def remove(path: Path) -> None:
    """A file, a link or a folder with all that is in it, also where a job took its own rights away."""
    if path.is_symlink() or not path.is_dir():
        with contextlib.suppress(OSError):
            path.unlink()
        return
    shutil.rmtree(path, ignore_errors=True)
    if path.exists():
        _open_up(path)
        shutil.rmtree(path, ignore_errors=True)


def _open_up(folder: Path) -> None:
    """Give the rights of all folders back, from the outermost inwards."""
    todo = [folder]
    while todo:
        here = todo.pop()
        with contextlib.suppress(OSError):
            here.chmod(0o700)
        with contextlib.suppress(OSError), os.scandir(here) as found:
            todo += [Path(entry.path) for entry in found if entry.is_dir(follow_symlinks=False)]


def remove_others(folder: Path, known: Collection[str]) -> None:
    """Whatever lies there under a name that is nobody's: a job may write beside its own folder."""
    with contextlib.suppress(OSError):
        for entry in list(folder.iterdir()):
            if entry.name not in known:
                remove(entry)
