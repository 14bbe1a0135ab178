"""Bytes of the day, per queue: reserved when a job is admitted, settled when it ends. Pure.

Counted from the MediaJobs themselves. What was deleted since is remembered here and, over a
restart, in the queue's own checkpoint.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from trawler_crds.media_job import ACCEPTED, STORED, MediaJob
from trawler_operator.state.pending import DEFAULT

REUSED: Final = "Reused"
"""Reason of the condition Stored of a job that was answered with what another one stored."""


@dataclass(frozen=True, slots=True)
class _Entry:
    """What a job that has not ended may still store."""

    day: str
    queue: str
    bytes: int


def accepted_day(job: MediaJob) -> str | None:
    """The UTC day on which a job was admitted; None where it was not."""
    for condition in job.status.conditions or ():
        if condition.type == ACCEPTED:
            return condition.last_transition_time[:10]
    return None


def stored_bytes(job: MediaJob) -> int:
    """What a finished job stored itself; nothing where it was answered with what another one
    stored.
    """
    if any(c.type == STORED and c.reason == REUSED for c in job.status.conditions or ()):
        return 0
    return sum(file.bytes for file in job.status.files or ())


class _Sums:
    """Bytes by day and by queue name, and the sum of all names that no MediaQueue has."""

    def __init__(self, declared: Callable[[str], bool]) -> None:
        self._declared = declared
        self._by_name: dict[str, Counter[str]] = {}
        self._undeclared: Counter[str] = Counter()

    def add(self, day: str, queue: str, size: int) -> None:
        self._by_name.setdefault(day, Counter())[queue] += size
        if not self._declared(queue):
            self._undeclared[day] += size

    def move(self, queue: str, *, declared: bool) -> None:
        """A queue was declared, or is no more."""
        for day, sums in self._by_name.items():
            self._undeclared[day] += -sums[queue] if declared else sums[queue]

    def of(self, day: str, queue: str) -> int:
        """Of one queue; for the default one, with all that nobody declared."""
        if queue != DEFAULT:
            return self._by_name.get(day, Counter())[queue]
        own = self._by_name.get(day, Counter())[DEFAULT] if self._declared(DEFAULT) else 0
        return own + self._undeclared[day]

    def by_name(self, day: str) -> Counter[str]:
        return self._by_name.get(day, Counter())

    def forget_before(self, day: str) -> None:
        for old in [known for known in self._by_name if known < day]:
            del self._by_name[old]
            self._undeclared.pop(old, None)


class DailyUsage:
    """Sums by day and queue. `declared` tells whether there is a MediaQueue of a name."""

    def __init__(self, declared: Callable[[str], bool] = lambda _: False) -> None:
        self._entries: dict[str, _Entry] = {}
        self._reserved = _Sums(declared)
        self._settled = _Sums(declared)

    def see(self, job: MediaJob) -> None:
        """One that has not ended, as it is now."""
        day = accepted_day(job)
        entry = _Entry(day, job.spec.queue, job.spec.limits.max_bytes) if day is not None else None
        if entry == self._entries.get(job.uid):
            return
        self.leave(job.uid)
        if entry is not None:
            self._entries[job.uid] = entry
            self._reserved.add(entry.day, entry.queue, entry.bytes)

    def settle(self, job: MediaJob) -> None:
        """One that has ended, seen so for the first time: what it stored stays counted."""
        self.leave(job.uid)
        day = accepted_day(job)
        if day is not None:
            self._settled.add(day, job.spec.queue, stored_bytes(job))

    def leave(self, uid: str) -> None:
        """It ended or was deleted: what it had reserved counts no more."""
        entry = self._entries.pop(uid, None)
        if entry is not None:
            self._reserved.add(entry.day, entry.queue, -entry.bytes)

    def restore(self, queue: str, day: str, size: int) -> None:
        """So much more was stored than the jobs that are left tell."""
        self._settled.add(day, queue, size)

    def move(self, queue: str, *, declared: bool) -> None:
        """A queue was declared, or is no more."""
        self._reserved.move(queue, declared=declared)
        self._settled.move(queue, declared=declared)

    def stored(self, queue: str, day: str) -> int:
        """Bytes of a day that a queue stored."""
        return self._settled.of(day, queue)

    def used(self, queue: str, day: str) -> int:
        """Bytes of a day that a queue stored, or that its jobs may still store."""
        return self._settled.of(day, queue) + self._reserved.of(day, queue)

    def settled(self, day: str) -> Counter[str]:
        """Queue name → bytes stored that day."""
        return self._settled.by_name(day)

    def reserved(self, day: str) -> Counter[str]:
        """Queue name → bytes that admitted jobs may still store."""
        return self._reserved.by_name(day)

    def turn_over(self, day: str) -> None:
        """Forget the sums of earlier days."""
        for sums in (self._reserved, self._settled):
            sums.forget_before(day)
