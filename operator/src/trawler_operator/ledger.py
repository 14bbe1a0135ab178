"""Bytes of the day, per queue: reserved when a job is admitted, settled when it ends. Pure.

Counted from the MediaJobs themselves. What was deleted since is remembered here and, over a
restart, in the queue's own checkpoint.
"""

from collections import Counter
from dataclasses import dataclass
from typing import Final

from trawler_crds.media_job import ACCEPTED, STORED, TERMINAL, MediaJob

REUSED: Final = "Reused"
"""Reason of the condition Stored of a job that was answered with what another one stored."""


@dataclass(frozen=True)
class _Entry:
    day: str
    queue: str
    bytes: int
    settled: bool


def accepted_day(job: MediaJob) -> str | None:
    """The UTC day on which a job was admitted; None where it was not."""
    for condition in job.status.conditions or ():
        if condition.type == ACCEPTED:
            return condition.last_transition_time[:10]
    return None


def _entry(job: MediaJob) -> _Entry | None:
    day = accepted_day(job)
    if day is None:
        return None
    settled = job.status.phase in TERMINAL
    if not settled:
        size = job.spec.limits.max_bytes
    elif any(c.type == STORED and c.reason == REUSED for c in job.status.conditions or ()):
        size = 0  # nothing was fetched for it
    else:
        size = sum(file.bytes for file in job.status.files or ())
    return _Entry(day, job.spec.queue, size, settled)


class Ledger:
    """Sums by day and queue name, as the jobs name it."""

    def __init__(self) -> None:
        self._entries: dict[str, _Entry] = {}
        self._reserved: dict[str, Counter[str]] = {}
        self._settled: dict[str, Counter[str]] = {}

    def see(self, job: MediaJob) -> None:
        """One job as it is now."""
        entry = _entry(job)
        known = self._entries.get(job.uid)
        if entry == known:
            return
        if known is not None:
            self._add(known, -known.bytes)
        if entry is None:
            self._entries.pop(job.uid, None)
        else:
            self._entries[job.uid] = entry
            self._add(entry, entry.bytes)

    def forget(self, uid: str) -> None:
        """A job was deleted: what it stored stays counted, what it had reserved does not."""
        entry = self._entries.pop(uid, None)
        if entry is not None and not entry.settled:
            self._add(entry, -entry.bytes)

    def restore(self, queue: str, day: str, size: int) -> None:
        """So much more was stored than the jobs that are left tell."""
        self._settled.setdefault(day, Counter())[queue] += size

    def _add(self, entry: _Entry, size: int) -> None:
        sums = self._settled if entry.settled else self._reserved
        sums.setdefault(entry.day, Counter())[entry.queue] += size

    def settled(self, day: str) -> Counter[str]:
        """Queue name → bytes stored that day."""
        return self._settled.get(day, Counter())

    def reserved(self, day: str) -> Counter[str]:
        """Queue name → bytes that admitted jobs may still store."""
        return self._reserved.get(day, Counter())

    def turn_over(self, day: str) -> None:
        """Forget the sums of earlier days."""
        for sums in (self._settled, self._reserved):
            for old in [known for known in sums if known < day]:
                del sums[old]
