"""Processor time and memory of the parts, read from /proc of this machine (native clusters)."""

import contextlib
import os
from pathlib import Path

TICKS = os.sysconf("SC_CLK_TCK")


def _processes() -> list[tuple[int, str]]:
    found = []
    for name in os.listdir("/proc"):
        if name.isdigit():
            with contextlib.suppress(OSError):
                found.append((int(name), Path(f"/proc/{name}/cgroup").read_text()))
    return found


def of_pod(uid: str) -> list[int]:
    """Every process of a pod."""
    return [pid for pid, groups in _processes() if uid in groups or uid.replace("-", "_") in groups]


def of_programs(*names: str) -> dict[str, list[int]]:
    """Children of this process that run one of these programs."""
    found: dict[str, list[int]] = {name: [] for name in names}
    for pid, _ in _processes():
        with contextlib.suppress(OSError):
            head, _, tail = Path(f"/proc/{pid}/stat").read_text().rpartition(")")
            name = head.partition("(")[2]
            if int(tail.split()[1]) == os.getpid() and name in found:
                found[name].append(pid)
    return found


def started(pid: int) -> int:
    """When a process began, in ticks since boot: with its pid it is never another's. Raises
    OSError.
    """
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19])


def command(pid: int) -> str:
    """What it runs, in short. Raises OSError."""
    words = Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace").split("\0")
    return " ".join(word for word in words if word)[:80]


def anonymous_mib(pid: int) -> float:
    """Memory of its own, whoever shares it since a fork (RssAnon). Raises OSError,
    StopIteration.
    """
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("RssAnon:")).split()[1]) / 1024


def cpu_seconds(pids: list[int]) -> float:
    """User and system time, of ended and reaped children too."""
    total = 0
    for pid in pids:
        with contextlib.suppress(OSError):
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            total += sum(map(int, fields[11:15]))
    return total / TICKS


def pss_mib(pids: list[int]) -> float:
    """Proportional set size: shared pages are divided among those who share them."""
    total = 0
    for pid in pids:
        with contextlib.suppress(OSError):
            for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
                if line.startswith("Pss:"):
                    total += int(line.split()[1])
    return total / 1024
