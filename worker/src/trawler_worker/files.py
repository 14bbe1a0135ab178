"""A job's files as both containers look at them: plain files, where they are said to be, and
unchanged since.

Job processes run what sites send. What they leave in scratch may be a pipe that nobody writes to, a
link to somewhere else, or a file that somebody goes on writing.
"""

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

FOLDER: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
"""How a folder is opened: no link to one."""
_FILE: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


class NotPlain(OSError):
    """There is no plain file of this name, or it is not the one that was there."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Identity:
    """Which file it is, and when it was last changed in any way. Nobody can set that time back."""

    inode: int
    bytes: int
    changed_ns: int

    @classmethod
    def of(cls, found: os.stat_result) -> Self:
        return cls(inode=found.st_ino, bytes=found.st_size, changed_ns=found.st_ctime_ns)


@contextmanager
def opened(folder: str | Path, name: str, known: Identity | None = None) -> Iterator[int]:
    """A descriptor of a plain file directly in a folder; `known`: only if it is this very one.
    Raises NotPlain, never waits.
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
    """A file that has one name only."""
    return stat.S_ISREG(found.st_mode) and found.st_nlink == 1


def unchanged(file: int, known: Identity | None) -> None:
    """Raises NotPlain where the file is not as it is known."""
    if known is not None and Identity.of(os.fstat(file)) != known:
        raise NotPlain("the file has changed")
