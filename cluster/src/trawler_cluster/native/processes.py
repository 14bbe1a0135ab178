"""Run components as plain processes: start each once, find it again by id and start time, end it
reliably.
"""

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from trawler_cluster import shell

_started: list[subprocess.Popen[bytes]] = []
"""Handles of the processes that we started. We leave them running on purpose."""


def start_time(pid: int) -> str | None:
    """The start time of a process in clock ticks since boot; None if it is gone or a zombie."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] in {"Z", "X"} else fields[19]


def began(pid: int) -> float | None:
    """The start time of a process in Unix seconds; None if it is gone."""
    ticks = start_time(pid)
    if ticks is None:
        return None
    boot = next(
        line.split()[1]
        for line in Path("/proc/stat").read_text().splitlines()
        if line.startswith("btime ")
    )
    return int(boot) + int(ticks) / os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, kw_only=True)
class Component:
    """One long-running program of the cluster."""

    name: str
    argv: Sequence[str]
    folder: Path
    """The folder with `<name>.pid`."""
    logs: Path

    @property
    def record(self) -> Path:
        return self.folder / f"{self.name}.pid"

    def pid(self) -> int | None:
        """The process id, if the process that we started still runs."""
        try:
            pid, begun = self.record.read_text().split()
        except (OSError, ValueError):
            return None
        return int(pid) if start_time(int(pid)) == begun else None

    def start(self) -> bool:
        """Start the component unless it runs. Returns whether it was started now."""
        if self.pid() is not None:
            return False
        self.folder.mkdir(parents=True, exist_ok=True)
        self.logs.mkdir(parents=True, exist_ok=True)
        with (self.logs / f"{self.name}.log").open("ab") as log:
            process = subprocess.Popen(
                list(self.argv),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                close_fds=True,
            )
        _started.append(process)
        self.record.write_text(f"{process.pid} {start_time(process.pid)}")
        return True

    def stop(self, grace: float = 5) -> None:
        """End the component: SIGTERM, then SIGKILL."""
        pid = self.pid()
        if pid is not None:
            end([pid], grace=grace)
        self.record.unlink(missing_ok=True)


def end(pids: Iterable[int], *, grace: float) -> None:
    """End processes. Those that remain after `grace` seconds are killed."""
    alive = {pid: start_time(pid) for pid in pids}
    for signum, patience in ((signal.SIGTERM, grace), (signal.SIGKILL, 10)):
        for pid in alive:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signum)
        limit = time.monotonic() + patience
        while alive and time.monotonic() < limit:
            alive = {p: t for p, t in alive.items() if t is not None and start_time(p) == t}
            if alive:
                _reap()
                time.sleep(0.05)
        if not alive:
            return
    shell.say(f"these processes did not end: {sorted(alive)}")


def _reap() -> None:
    """Reap our own child processes, so that they do not count as alive."""
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
