"""The processes of this container, as /proc shows them. A process that left its group or session is
still a descendant of somebody; whoever loses its parent comes to the nearest subreaper (prctl(2)).
"""

import contextlib
import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

_RESIDENT: Final = re.compile(rb"^Rss(?:Anon|Shmem):\s*(\d+) kB", re.MULTILINE)
_ZOMBIE: Final = b"Z"
_THREADS: Final = 17
"""Where `stat` has their number, counted from the state. A process lives on where only its first
thread has ended.
"""


@dataclass(frozen=True, slots=True)
class Process:
    """One look at one process."""

    pid: int
    parent: int
    zombie: bool


def look(pid: int) -> Process | None:
    """One process; None where there is none."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:  # noqa: PTH123 - many, often
            fields = file.read().rpartition(b")")[2].split()
        return Process(pid, int(fields[1]), fields[0] == _ZOMBIE and int(fields[_THREADS]) < 2)
    except (OSError, ValueError, IndexError):
        return None


def every() -> dict[int, Process]:
    """All that there are now, by pid."""
    names = os.listdir("/proc")  # noqa: PTH208 - names are all that is needed
    found = (look(int(name)) for name in names if name.isdigit())
    return {process.pid: process for process in found if process is not None}


def descendants(roots: Iterable[int], among: Mapping[int, Process]) -> list[Process]:
    """The children of these, their children, and so on. Pure."""
    children: dict[int, list[Process]] = {}
    for process in among.values():
        children.setdefault(process.parent, []).append(process)
    found: list[Process] = []
    seen: set[int] = set()
    todo = list(roots)
    while todo:
        for child in children.get(todo.pop(), ()):
            if child.pid not in seen:
                seen.add(child.pid)
                found.append(child)
                todo.append(child.pid)
    return found


def children_of(pid: int) -> set[int]:
    """Of a process with one thread; those too that have ended and were not reaped. By the kernel's
    own list where it keeps one: a scan of /proc can miss who is somebody else every moment.
    """
    try:
        with open(f"/proc/{pid}/task/{pid}/children", "rb") as file:  # noqa: PTH123 - many, often
            return {int(child) for child in file.read().split()}
    except FileNotFoundError:
        return {process.pid for process in every().values() if process.parent == pid}


def private_memory(pids: Iterable[int]) -> int:
    """Resident bytes that no file on a disk backs. Pages that a fork still shares with its parent
    count for both, and so does memory that they share on purpose.
    """
    total = 0
    for pid in pids:
        with contextlib.suppress(OSError):
            found = _resident(f"/proc/{pid}/status")
            if not found:  # its first thread has ended: another one knows
                tasks = f"/proc/{pid}/task"
                others = (_resident(f"{tasks}/{task}/status") for task in os.listdir(tasks))  # noqa: PTH208
                found = next(filter(None, others), [])
            total += sum(map(int, found)) * 1024
    return total


def _resident(status: str) -> list[bytes]:
    with open(status, "rb") as file:  # noqa: PTH123 - many, often
        return _RESIDENT.findall(file.read())
