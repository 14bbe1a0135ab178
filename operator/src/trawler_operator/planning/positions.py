"""Computes the place of each waiting job and how long it may still wait. Pure."""

import math
from collections import Counter
from collections.abc import Iterator
from itertools import islice
from typing import Final

from trawler_crds.messages import Place, Positions
from trawler_operator.planning.scheduling import Scheduler, usable
from trawler_operator.state.cluster_state import Clock, ClusterState

NAMED: Final = 1000
"""Maximum number of places published per queue."""
PIECE: Final = 250
"""Number of jobs that are estimated between two pauses."""
ESTIMATED: Final = 5000
"""Number of jobs per pool, those whose turn comes first, that get an estimate of their wait."""


def positions(
    state: ClusterState, clock: Clock, scheduler: Scheduler
) -> Iterator[Positions | None]:
    """The positions of every queue with waiting jobs. They are computed piece by piece, so that
    other work need not wait for all of them; None marks a pause. Each pool is read at once, when
    its turn comes. A place counts the jobs of the same queue and pool.
    """
    seconds: dict[str, int | None] = {}
    found: dict[str, list[tuple[int, str]]] = {}
    waiting: Counter[str] = Counter()
    for pool in tuple(state.pending.pools()):
        order = scheduler.order(state, pool)
        capped: dict[str, float] = {}
        for queue, lane in state.pending.lanes(pool).items():
            named = [(place, uid) for place, (_, _, uid) in enumerate(lane[:NAMED], 1)]
            found.setdefault(queue, []).extend(named)
            waiting[queue] += len(lane)
            capped |= _capped(state, pool, queue, named)
        pace = _pace(state, clock, pool)
        for number, uid in enumerate(islice(order, ESTIMATED), 1):
            if pace is not None:
                seconds[uid] = math.ceil(max(number * pace, capped.get(uid, 0.0)))
            if number % PIECE == 0:
                yield None
    for queue, places in sorted(found.items()):
        yield Positions(
            queue=queue,
            waiting=waiting[queue],
            places=[
                Place(uid=uid, place=place, seconds=seconds.get(uid))
                for place, uid in sorted(places)[:NAMED]
            ],
        )


def _capped(
    state: ClusterState, pool: str, queue: str, named: list[tuple[int, str]]
) -> dict[str, float]:
    """Uid → lower bound in seconds of the wait, for a queue that may run only so many jobs at once;
    empty for any other queue.
    """
    most, each = state.share(queue).max_running, state.seconds_per_job.get(pool)
    if not most or each is None:
        return {}
    running = state.running_in(queue)
    return {uid: (place + running - most) * each / most for place, uid in named}


def _pace(state: ClusterState, clock: Clock, pool: str) -> float | None:
    """Seconds until the next slot becomes free, on average, by how long the last jobs took. None if
    no job has finished yet: no estimate is better than an invented one.
    """
    pods = [pod for pod in state.pods_of(pool) if usable(pod, clock)]
    slots = sum(pod.free + pod.taken for pod in pods)
    each = state.seconds_per_job.get(pool)
    return None if each is None or slots == 0 else each / slots
