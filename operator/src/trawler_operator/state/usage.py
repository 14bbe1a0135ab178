"""Daily usage in bytes per queue: reserved when a job is admitted, settled when it ends. Pure.

The bytes are counted from the MediaJobs themselves. Those of jobs that were deleted since are
remembered here and, across a restart, in the queue's own checkpoint.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from trawler_crds.media_job import ACCEPTED, STORED, MediaJob
from trawler_operator.state.pending import DEFAULT

REUSED: Final = "Reused"
"""Reason of the condition Stored of a job that was answered with the files of another job."""


@dataclass(frozen=True, slots=True)
class _Entry:
    """Maximum bytes that a job that has not ended may still store."""

    day: str
    queue: str
    bytes: int


def accepted_day(job: MediaJob) -> str | None:
    """The UTC day on which a job was admitted; None if it was not."""
    for condition in job.status.conditions or ():
        if condition.type == ACCEPTED:
            return condition.last_transition_time[:10]
    return None


def stored_bytes(job: MediaJob) -> int:
    """Bytes that a finished job stored itself; 0 if it was answered with another job's files."""
    if any(c.type == STORED and c.reason == REUSED for c in job.status.conditions or ()):
        return 0
    return sum(file.bytes for file in job.status.files or ())


class _Sums:
    """Bytes by day and queue name, and the sum for all names without a MediaQueue."""

    def __init__(self, declared: Callable[[str], bool]) -> None:
        self._declared = declared
        self._by_name: dict[str, Counter[str]] = {}
        self._undeclared: Counter[str] = Counter()

    def add(self, day: str, queue: str, size: int) -> None:
        self._by_name.setdefault(day, Counter())[queue] += size
        if not self._declared(queue):
            self._undeclared[day] += size

    def move(self, queue: str, *, declared: bool) -> None:
        """Adjust the sums to a queue that was declared or is no longer."""
        for day, sums in self._by_name.items():
            self._undeclared[day] += -sums[queue] if declared else sums[queue]

    def of(self, day: str, queue: str) -> int:
        """Bytes of one queue. The default queue includes all undeclared ones."""
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
    """Bytes by day and queue. `declared` tells whether a MediaQueue of a name exists."""

    def __init__(self, declared: Callable[[str], bool] = lambda _: False) -> None:
        self._entries: dict[str, _Entry] = {}
        self._reserved = _Sums(declared)
        self._settled = _Sums(declared)

    def see(self, job: MediaJob) -> None:
        """Add or update a job that has not ended."""
        day = accepted_day(job)
        entry = _Entry(day, job.spec.queue, job.spec.limits.max_bytes) if day is not None else None
        if entry == self._entries.get(job.uid):
            return
        self.leave(job.uid)
        if entry is not None:
            self._entries[job.uid] = entry
            self._reserved.add(entry.day, entry.queue, entry.bytes)

    def settle(self, job: MediaJob) -> None:
        """Settle a job when it is first seen as ended: what it stored stays counted."""
        self.leave(job.uid)
        day = accepted_day(job)
        if day is not None:
            self._settled.add(day, job.spec.queue, stored_bytes(job))

    def leave(self, uid: str) -> None:
        """Release the reservation of a job that ended or was deleted."""
        entry = self._entries.pop(uid, None)
        if entry is not None:
            self._reserved.add(entry.day, entry.queue, -entry.bytes)

    def restore(self, queue: str, day: str, size: int) -> None:
        """Add bytes that were stored beyond what the remaining jobs account for."""
        self._settled.add(day, queue, size)

    def move(self, queue: str, *, declared: bool) -> None:
        """Adjust the sums to a queue that was declared or is no longer."""
        self._reserved.move(queue, declared=declared)
        self._settled.move(queue, declared=declared)

    def stored(self, queue: str, day: str) -> int:
        """Bytes that a queue stored on a day."""
        return self._settled.of(day, queue)

    def used(self, queue: str, day: str) -> int:
        """Bytes that a queue stored on a day, or that its jobs may still store."""
        return self._settled.of(day, queue) + self._reserved.of(day, queue)

    def settled(self, day: str) -> Counter[str]:
        """Queue name → bytes stored on a day."""
        return self._settled.by_name(day)

    def reserved(self, day: str) -> Counter[str]:
        """Queue name → bytes that jobs admitted on a day may still store."""
        return self._reserved.by_name(day)

    def turn_over(self, day: str) -> None:
        """Forget the sums of earlier days."""
        for sums in (self._reserved, self._settled):
            sums.forget_before(day)
