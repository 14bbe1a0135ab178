"""Who waits in which queue, in the order of their turns. Pure.

A waiting job's effective priority rises by one for each minute. All of them rise alike, so the
order of two jobs never changes by waiting: each is sorted once, when it begins to wait.
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
"""Seconds of waiting that weigh as much as one step of priority."""

ALONE: Final = frozenset({FailureReason.OUT_OF_MEMORY, FailureReason.WORKER_LOST})
"""What a job may do to its neighbours: it is tried again without any."""

Turn = tuple[float, str, str]
"""Sorts first: higher effective priority, then age, then name. The uid makes it unique."""


def alone(job: MediaJob) -> bool:
    """Whether its next attempt must not share a pod."""
    return job.status.reason in ALONE


def turn(job: MediaJob) -> Turn:
    """When a job's turn comes among those of its queue."""
    created = job.metadata.creation_timestamp
    begun = parse(created) if created else 0.0
    return begun - AGEING * job.spec.priority, job.name, job.uid


@dataclass(frozen=True, slots=True)
class _Place:
    pool: str
    queue: str
    turn: Turn
    fingerprint: str | None
    """Fingerprint of what it shares with its duplicates."""
    alone: bool
    """Its next attempt must not share a pod."""
    aside: bool
    """It keeps its turn, and nobody who looks for work sees it."""

    @property
    def lane(self) -> tuple[str, str, bool]:
        """Where it stands when it may go."""
        return self.pool, self.queue, self.alone


class _Lanes:
    """Turns in order, by pool and queue; only where somebody waits."""

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
    """Jobs that wait, by pool and queue. A queue that nobody declared counts as `default`. All keep
    their turn; who looks for work sees neither those that rest or are held back, nor of duplicates
    more than the first, and those that must be alone in a pod by themselves.
    """

    def __init__(self, declared: Callable[[str], bool]) -> None:
        self._declared = declared
        self._all = _Lanes()
        self._ready = {alone: _Lanes() for alone in (False, True)}
        """Whether they must be alone in a pod → those among whom to look for work."""
        self._duplicates: dict[tuple[tuple[str, str, bool], str], list[Turn]] = {}
        """Lane and fingerprint → turns in order of duplicates that stand there; the first is among
        those that are ready.
        """
        self._places: dict[str, _Place] = {}
        self._counts: Counter[str] = Counter()
        self._entering: dict[str, dict[str, MediaJob]] = {}
        self._doors: dict[str, str] = {}
        """Uid → queue of each that is entering, in the order in which they came."""
        self._entering_bytes: Counter[str] = Counter()
        """Queue → the most that those entering may store."""

    def queue_of(self, job: MediaJob) -> str:
        """The queue whose share a job uses."""
        return job.spec.queue if self._declared(job.spec.queue) else DEFAULT

    def put(self, job: MediaJob, *, fingerprint: str | None = None, aside: bool = False) -> None:
        """It waits, or something about its turn changed. Aside: nobody who looks for work is to see
        it.
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
        """It waits no more."""
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
        """It keeps its turn, but nobody who looks for work sees it."""
        place = self._places.get(uid)
        if place is not None and not place.aside:
            self._step_out(place)
            self._places[uid] = replace(place, aside=True)

    def come_back(self, uid: str) -> None:
        """Whoever looks for work sees it again."""
        place = self._places.get(uid)
        if place is not None and place.aside:
            place = self._places[uid] = replace(place, aside=False)
            self._stand(place)

    def _stand(self, place: _Place) -> None:
        """Among those that are ready, or behind a duplicate of the same lane."""
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
        """Where it was the first of duplicates, the next takes its place."""
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
        """It is let in and waits for its turn, but its status does not say so yet."""
        self.put(job, fingerprint=fingerprint)
        queue = self._doors[job.uid] = self.queue_of(job)
        self._entering.setdefault(queue, {})[job.uid] = job
        self._entering_bytes[queue] += job.spec.limits.max_bytes

    def move(self, job: MediaJob) -> None:
        """The queue whose share it uses may have changed."""
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
        """The most that jobs of a queue may store that are let in, though their status does not say
        so yet.
        """
        return self._entering_bytes[queue]

    def let_in(self) -> KeysView[str]:
        """Uids of all that are let in, though their status does not say so yet; who came first
        first.
        """
        return self._doors.keys()

    def count(self, queue: str) -> int:
        """Jobs that wait in a queue, whichever pool they wait for."""
        return self._counts[queue]

    def queues(self, pool: str) -> list[str]:
        """Queues in which somebody is ready for one pool."""
        lanes = [ready.of.get(pool, {}) for ready in self._ready.values()]
        return list(dict.fromkeys(chain(*lanes)))

    def ready(self, pool: str, queue: str, *, alone_too: bool = True) -> Iterator[str]:
        """Uids in turn, for one pool and queue, of those among whom to look for work."""
        kinds = (False, True) if alone_too else (False,)
        lanes = [self._ready[alone].of.get(pool, {}).get(queue, []) for alone in kinds]
        return (uid for _, _, uid in merge(*(lane for lane in lanes if lane)))

    def behind(self, uid: str) -> Iterator[str]:
        """Uids of the duplicates that stand behind one that is ready, in turn."""
        place = self._places[uid]
        if place.fingerprint is None:
            return iter(())
        duplicates = self._duplicates[place.lane, place.fingerprint]
        return (uid for _, _, uid in islice(duplicates, 1, None))

    def lanes(self, pool: str) -> Mapping[str, list[Turn]]:
        """Queue → turns in order of all who wait for one pool; only queues in which somebody
        waits.
        """
        return self._all.of.get(pool, {})

    def pools(self) -> KeysView[str]:
        """Pools for which somebody waits."""
        return self._all.of.keys()
