"""Waiting jobs by queue, in the order of their turns. Pure.

The effective priority of a waiting job rises by one each minute. It rises for all jobs alike, so
waiting never changes the order of two jobs: each is sorted once, when it begins to wait.
"""

from bisect import bisect_left, insort
from collections import Counter
from collections.abc import Callable, Iterator, KeysView, Mapping
from dataclasses import dataclass, replace
from heapq import merge
from itertools import chain, islice
from typing import Final

from trawler_crds.failures import FailureReason
from trawler_crds.media_job import MediaJob
from trawler_operator.formatting import parse

DEFAULT: Final = "default"
AGEING: Final = 60.0
"""Seconds of waiting that count as much as one step of priority."""

ALONE: Final = frozenset({FailureReason.OUT_OF_MEMORY, FailureReason.WORKER_LOST})
"""Failures by which a job may harm its neighbours. After one of them it is retried alone."""

Turn = tuple[float, str, str]
"""Sort key: higher effective priority first, then age, then name. The uid makes it unique."""


def alone(job: MediaJob) -> bool:
    """Whether the next attempt of a job must not share a pod."""
    return job.status.reason in ALONE


def turn(job: MediaJob) -> Turn:
    """The sort key of a job among those of its queue."""
    created = job.metadata.creation_timestamp
    begun = parse(created) if created else 0.0
    return begun - AGEING * job.spec.priority, job.name, job.uid


@dataclass(frozen=True, slots=True)
class _Place:
    pool: str
    queue: str
    turn: Turn
    fingerprint: str | None
    """Fingerprint of what the job fetches for its duplicates too; None if there is nothing to
    share.
    """
    alone: bool
    """Whether the next attempt must not share a pod."""
    aside: bool
    """Whether the job keeps its turn but is hidden from the scheduler."""

    @property
    def lane(self) -> tuple[str, str, bool]:
        """The lane in which the job stands when it may run."""
        return self.pool, self.queue, self.alone


class _Lanes:
    """Turns in order, by pool and queue. Only lanes with waiting jobs exist."""

    def __init__(self) -> None:
        self.of: dict[str, dict[str, list[Turn]]] = {}

    def add(self, place: _Place, turn: Turn) -> None:
        insort(self.of.setdefault(place.pool, {}).setdefault(place.queue, []), turn)

    def remove(self, place: _Place, turn: Turn) -> None:
        lanes = self.of[place.pool]
        lane = lanes[place.queue]
        del lane[bisect_left(lane, turn)]
        if not lane:
            del lanes[place.queue]
        if not lanes:
            del self.of[place.pool]


class PendingQueues:
    """Waiting jobs by pool and queue. A queue without a MediaQueue counts as `default`. Every job
    keeps its turn. The scheduler does not see jobs that rest or are held back, sees only the first
    of duplicates, and sees jobs that must run alone in a pod separately.
    """

    def __init__(self, declared: Callable[[str], bool]) -> None:
        self._declared = declared
        self._all = _Lanes()
        self._ready = {alone: _Lanes() for alone in (False, True)}
        """Whether jobs must run alone in a pod → the jobs that the scheduler sees."""
        self._duplicates: dict[tuple[tuple[str, str, bool], str], list[Turn]] = {}
        """Lane and fingerprint → turns in order of the duplicates in that lane. The first of them
        is among the ready jobs.
        """
        self._places: dict[str, _Place] = {}
        self._counts: Counter[str] = Counter()
        self._entering: dict[str, dict[str, MediaJob]] = {}
        self._doors: dict[str, str] = {}
        """Uid → queue of each job that is entering, in order of arrival."""
        self._entering_bytes: Counter[str] = Counter()
        """Queue → maximum bytes that its entering jobs may store."""

    def queue_of(self, job: MediaJob) -> str:
        """The queue whose share a job uses."""
        return job.spec.queue if self._declared(job.spec.queue) else DEFAULT

    def put(self, job: MediaJob, *, fingerprint: str | None = None, aside: bool = False) -> None:
        """Add a waiting job, or update its turn. A job that is `aside` is hidden from the
        scheduler.
        """
        self._through(job.uid)
        place = _Place(
            job.spec.pool, self.queue_of(job), turn(job), fingerprint, alone=alone(job), aside=aside
        )
        if self._places.get(job.uid) == place:
            return
        self.drop(job.uid)
        self._places[job.uid] = place
        self._counts[place.queue] += 1
        self._all.add(place, place.turn)
        if not aside:
            self._stand(place)

    def drop(self, uid: str) -> None:
        """Remove a job that no longer waits."""
        self._through(uid)
        place = self._places.pop(uid, None)
        if place is None:
            return
        self._counts[place.queue] -= 1
        if not self._counts[place.queue]:
            del self._counts[place.queue]
        self._all.remove(place, place.turn)
        if not place.aside:
            self._step_out(place)

    def step_aside(self, uid: str) -> None:
        """Hide a job from the scheduler. It keeps its turn."""
        place = self._places.get(uid)
        if place is not None and not place.aside:
            self._step_out(place)
            self._places[uid] = replace(place, aside=True)

    def come_back(self, uid: str) -> None:
        """Show a job to the scheduler again."""
        place = self._places.get(uid)
        if place is not None and place.aside:
            place = self._places[uid] = replace(place, aside=False)
            self._stand(place)

    def _stand(self, place: _Place) -> None:
        """Put a job among the ready ones, or behind a duplicate in the same lane."""
        ready = self._ready[place.alone]
        if place.fingerprint is not None:
            duplicates = self._duplicates.setdefault((place.lane, place.fingerprint), [])
            insort(duplicates, place.turn)
            if duplicates[0] != place.turn:
                return
            if len(duplicates) > 1:
                ready.remove(place, duplicates[1])
        ready.add(place, place.turn)

    def _step_out(self, place: _Place) -> None:
        """Remove a job from the ready ones. If it was the first of its duplicates, the next one
        takes its place.
        """
        ready = self._ready[place.alone]
        if place.fingerprint is None:
            ready.remove(place, place.turn)
            return
        key = (place.lane, place.fingerprint)
        duplicates = self._duplicates[key]
        first = duplicates[0] == place.turn
        del duplicates[bisect_left(duplicates, place.turn)]
        if first:
            ready.remove(place, place.turn)
            if duplicates:
                ready.add(place, duplicates[0])
            else:
                del self._duplicates[key]

    def enter(self, job: MediaJob, *, fingerprint: str | None = None) -> None:
        """Add a job that was admitted and waits, but whose status does not say so yet."""
        self.put(job, fingerprint=fingerprint)
        queue = self._doors[job.uid] = self.queue_of(job)
        self._entering.setdefault(queue, {})[job.uid] = job
        self._entering_bytes[queue] += job.spec.limits.max_bytes

    def move(self, job: MediaJob) -> None:
        """Place a job again, since the queue whose share it uses may have changed."""
        place = self._places.get(job.uid)
        if job.uid in self._doors and place is not None:
            self.enter(job, fingerprint=place.fingerprint)
        elif place is not None:
            self.put(job, fingerprint=place.fingerprint, aside=place.aside)

    def _through(self, uid: str) -> None:
        queue = self._doors.pop(uid, None)
        if queue is not None:
            job = self._entering[queue].pop(uid)
            self._entering_bytes[queue] -= job.spec.limits.max_bytes
            if not self._entering[queue]:
                del self._entering[queue], self._entering_bytes[queue]

    def entering_bytes(self, queue: str) -> int:
        """Maximum bytes that a queue's admitted jobs may store whose status does not say so yet."""
        return self._entering_bytes[queue]

    def let_in(self) -> KeysView[str]:
        """Uids of all admitted jobs whose status does not say so yet, in order of arrival."""
        return self._doors.keys()

    def count(self, queue: str) -> int:
        """Number of jobs that wait in a queue, for any pool."""
        return self._counts[queue]

    def queues(self, pool: str) -> list[str]:
        """Queues with ready jobs for a pool."""
        lanes = [ready.of.get(pool, {}) for ready in self._ready.values()]
        return list(dict.fromkeys(chain(*lanes)))

    def ready(self, pool: str, queue: str, *, alone_too: bool = True) -> Iterator[str]:
        """Uids of the ready jobs of a pool and queue, in turn. `alone_too`: with those that must
        run alone.
        """
        kinds = (False, True) if alone_too else (False,)
        lanes = [self._ready[alone].of.get(pool, {}).get(queue, []) for alone in kinds]
        return (uid for _, _, uid in merge(*(lane for lane in lanes if lane)))

    def behind(self, uid: str) -> Iterator[str]:
        """Uids of the duplicates behind a ready job, in turn."""
        place = self._places[uid]
        if place.fingerprint is None:
            return iter(())
        duplicates = self._duplicates[place.lane, place.fingerprint]
        return (uid for _, _, uid in islice(duplicates, 1, None))

    def lanes(self, pool: str) -> Mapping[str, list[Turn]]:
        """Queue → turns in order of all jobs that wait for a pool. Only queues with waiting jobs
        are included.
        """
        return self._all.of.get(pool, {})

    def pools(self) -> KeysView[str]:
        """Pools with waiting jobs."""
        return self._all.of.keys()
