"""Manage the cluster's own branch of every cgroup hierarchy (v1, hybrid or v2)."""

import contextlib
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

ROOT = Path("/sys/fs/cgroup")


def hierarchies() -> list[Path]:
    """The mount points of every cgroup hierarchy."""
    found = [
        Path(line.split()[1])
        for line in Path("/proc/mounts").read_text().splitlines()
        if line.split()[2] in {"cgroup", "cgroup2"}
    ]
    return sorted(set(found))


def create(branch: str) -> None:
    """Create the branch. A cpuset cgroup must list its CPUs before it accepts a process."""
    for hierarchy in hierarchies():
        folder = hierarchy / branch.strip("/")
        folder.mkdir(exist_ok=True)
        for name in ("cpuset.cpus", "cpuset.mems"):
            mine, parents = folder / name, hierarchy / name
            if mine.exists() and parents.exists() and not mine.read_text().strip():
                mine.write_text(parents.read_text())
        controllers = hierarchy / "cgroup.controllers"
        if controllers.exists():
            wanted = " ".join(f"+{word}" for word in controllers.read_text().split())
            with contextlib.suppress(OSError):
                (hierarchy / "cgroup.subtree_control").write_text(wanted)


def folders(branch: str) -> Iterator[Path]:
    """Every folder of the branch, deepest first."""
    for hierarchy in hierarchies():
        top = hierarchy / branch.strip("/")
        for folder, _, _ in os.walk(top, topdown=False):
            yield Path(folder)


def pids(branch: str) -> set[int]:
    """The ids of every process in the branch."""
    found: set[int] = set()
    for folder in folders(branch):
        with contextlib.suppress(OSError):
            found |= set(map(int, (folder / "cgroup.procs").read_text().split()))
    return found


def kill(branch: str, *, patience: float = 15) -> None:
    """Kill every process in the branch until none is left or `patience` seconds have passed."""
    end = time.monotonic() + patience
    while (left := pids(branch)) and time.monotonic() < end:
        for pid in left:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.1)


def remove(branch: str) -> None:
    """Remove the empty branch."""
    for _ in range(20):
        for folder in folders(branch):
            with contextlib.suppress(OSError):
                folder.rmdir()
        if not any(True for _ in folders(branch)):
            return
        time.sleep(0.1)
