"""Who waits in which queue, in the order of their turns. Pure.

A waiting job's effective priority rises by one for each minute. All of them rise alike, so the
order of two jobs never changes by waiting: each is sorted once, when it begins to wait.
"""

from bisect import bisect_left, insort
from collections import Counter
from collections.abc import Callable, Iterator, KeysView, Mapping
from dataclasses import dataclass
from typing import Final

from trawler_crds.media_job import MediaJob
from trawler_operator.wording import parse

DEFAULT: Final = "default"
AGEING: Final = 60.0
"""Seconds of waiting that weigh as much as one step of priority."""

Turn = tuple[float, str, str]
"""Sorts first: higher effective priority, then age, then name. The uid makes it unique."""


def turn(job: MediaJob) -> Turn:
    """When a job's turn comes among those of its queue."""
    created = job.metadata.creation_timestamp
    begun = parse(created) if created else 0.0
    return begun - AGEING * job.spec.priority, job.name, job.uid


@dataclass(frozen=True)
class _Place:
    pool: str
    queue: str
    turn: Turn


class Waiting:
    """Jobs that wait, by pool and queue. A queue that nobody declared counts as `default`."""

    def __init__(self, declared: Callable[[str], bool]) -> None:
        self._declared = declared
        self._lanes: dict[str, dict[str, list[Turn]]] = {}
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

    def put(self, job: MediaJob) -> None:
        """It waits, or something about its turn changed."""
        self._through(job.uid)
        place = _Place(job.spec.pool, self.queue_of(job), turn(job))
        if self._places.get(job.uid) == place:
            return
        self.drop(job.uid)
        insort(self._lanes.setdefault(place.pool, {}).setdefault(place.queue, []), place.turn)
        self._places[job.uid] = place
        self._counts[place.queue] += 1

    def drop(self, uid: str) -> None:
        """It waits no more."""
        self._through(uid)
        place = self._places.pop(uid, None)
        if place is None:
            return
        lanes = self._lanes[place.pool]
        lane = lanes[place.queue]
        del lane[bisect_left(lane, place.turn)]
        self._counts[place.queue] -= 1
        if not lane:
            del lanes[place.queue]

    def enter(self, job: MediaJob) -> None:
        """It is let in and waits for its turn, but its status does not say so yet."""
        self.put(job)
        queue = self._doors[job.uid] = self.queue_of(job)
        self._entering.setdefault(queue, {})[job.uid] = job
        self._entering_bytes[queue] += job.spec.limits.max_bytes

    def move(self, job: MediaJob) -> None:
        """The queue whose share it uses may have changed."""
        if job.uid in self._doors:
            self.enter(job)
        elif job.uid in self._places:
            self.put(job)

    def _through(self, uid: str) -> None:
        queue = self._doors.pop(uid, None)
        if queue is not None:
            job = self._entering[queue].pop(uid)
            self._entering_bytes[queue] -= job.spec.limits.max_bytes
            if not self._entering[queue]:
                del self._entering[queue]

    def entering_bytes(self, queue: str) -> int:
        """The most that jobs of a queue may store that are let in, though their status does not say so
        yet.
        """
        return self._entering_bytes[queue]

    def let_in(self) -> KeysView[str]:
        """Uids of all that are let in, though their status does not say so yet; who came first first."""
        return self._doors.keys()

    def count(self, queue: str) -> int:
        """Jobs that wait in a queue, whichever pool they wait for."""
        return self._counts[queue]

    def lanes(self, pool: str) -> Mapping[str, list[Turn]]:
        """Queue → turns in order, for one pool; only queues in which somebody waits."""
        return self._lanes.get(pool, {})

    def pools(self) -> Iterator[str]:
        """Pools for which somebody waits."""
        return (pool for pool, lanes in self._lanes.items() if lanes)
