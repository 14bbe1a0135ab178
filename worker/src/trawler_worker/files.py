"""Opens a job's files safely in both containers: only regular files, in the expected folder,
unchanged since validation.

Job processes run on what sites send. What they leave in scratch may be a pipe that nobody writes
to, a link to another place, or a file that another process still writes to.
"""

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

FOLDER: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
"""Flags for opening a folder. Symbolic links are not followed."""
_FILE: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


class NotPlain(OSError):
    """There is no regular file of this name, or it is not the expected one."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Identity:
    """The identity of a file and its last change of any kind. No process can set that time back."""

    inode: int
    bytes: int
    changed_ns: int

    @classmethod
    def of(cls, found: os.stat_result) -> Self:
        return cls(inode=found.st_ino, bytes=found.st_size, changed_ns=found.st_ctime_ns)


@contextmanager
def opened(folder: str | Path, name: str, known: Identity | None = None) -> Iterator[int]:
    """A descriptor of a regular file directly in a folder. With `known`, the file must be that one.
    Never blocks. Raises NotPlain.
    """
    if name in {"", ".", ".."} or "/" in name or "\0" in name:
        raise NotPlain(f"not a name: {name!r}")
    try:
        inside = os.open(folder, FOLDER)
        try:
            file = os.open(name, _FILE, dir_fd=inside)
        finally:
            os.close(inside)
    except OSError as error:
        raise NotPlain(str(error)) from error
    try:
        if not is_plain(os.fstat(file)):
            raise NotPlain("not a plain file")
        unchanged(file, known)
        yield file
    finally:
        os.close(file)


def is_plain(found: os.stat_result) -> bool:
    """Whether it is a regular file with a single link."""
    return stat.S_ISREG(found.st_mode) and found.st_nlink == 1


def unchanged(file: int, known: Identity | None) -> None:
    """Raises NotPlain if the file differs from the known identity."""
    if known is not None and Identity.of(os.fstat(file)) != known:
        raise NotPlain("the file has changed")
