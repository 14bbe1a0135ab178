"""Measures how long one turn of the operator takes with many objects, in memory: no API server, no
pods.
"""

import statistics
import time
from collections.abc import Callable, Iterator
from typing import Any, Final

from objects import NOON, clock, job, pod, pool, running, state_of
from trawler_crds.media_job import MediaJob
from trawler_operator import formatting
from trawler_operator.planning.planner import Planner
from trawler_operator.planning.scaling import Scaler
from trawler_operator.planning.scheduling import InHand, Scheduler, next_wake
from trawler_operator.state.cluster_state import ClusterState

MANY: Final = 30_000
POOLS: Final = 50
TURNS: Final = 9
BAR: Final = 0.05
"""Maximum processor time of one turn, in seconds."""
SPENT: Final = 0.03
Show = Callable[..., None]


def _queued(number: int, **more: object) -> MediaJob:
    address = f"http://site:8080/video/{number}.mp4"
    return job(f"u{number}", **{"url": address, "status_phase": "Queued", **more})


def _scenes() -> Iterator[tuple[str, float, ClusterState]]:
    """The name of each scene, its start (monotonic seconds) and its cluster state."""
    failed = {"status_failures": 3, "status_queuedTime": formatting.stamp(NOON)}
    same: dict[str, Any] = {"url": "http://site:8080/same.mp4"}
    resting = [_queued(n, **failed) for n in range(MANY)]
    yield f"{MANY} wait for a retry", 1001.0, state_of(*resting, pool(), pod())
    yield f"{MANY} whose retry is due", 1010.0, state_of(*resting, pool(), pod())
    twins = [_queued(n, **same) for n in range(MANY)]
    leader = running("leader", **same)
    yield f"{MANY} wait for one link", 1001.0, state_of(*twins, leader, pool(), pod(), pod("p2"))
    cancelled = [_queued(n, cancel=True) for n in range(MANY)]
    yield f"{MANY} cancelled together", 1001.0, state_of(*cancelled, pool(), pod())
    lonely = [_queued(n, status_reason="WorkerLost") for n in range(MANY)]
    at_work = (running("r", worker="p1"), running("r2", worker="p2"))
    pods = (pod("p1"), pod("p2"))
    yield f"{MANY} must be alone", 1001.0, state_of(*lonely, *at_work, pool(), *pods)
    names = [f"pool-{n}" for n in range(POOLS)]
    yield (
        f"{POOLS} pools, 500 pods, 1500 jobs",
        1001.0,
        state_of(
            *(_queued(n, pool=names[n % POOLS], **failed) for n in range(1000)),
            *(running(f"r{n}", pool=names[n % POOLS], worker=f"w{n}") for n in range(500)),
            *(pod(f"w{n}", pool=names[n % POOLS]) for n in range(500)),
            *(pool(name) for name in names),
        ),
    )


def _turn(state: ClusterState, decider: Planner, scaler: Scaler, at: float) -> float:
    """Processor time in seconds of one turn of the reconciler, without starting effects."""
    begun = time.thread_time()
    now = clock(at)
    next_wake(state, now)
    for _ in decider.due(state, now, set(), spent=lambda: time.thread_time() - begun > SPENT):
        pass
    in_hand = InHand(state)
    for each in tuple(state.pools.values()):
        scaler.shape(each, state, now, template="t", in_hand=in_hand)
    return time.thread_time() - begun


def run(show: Show) -> None:
    """Print the median of several turns of each scene beside the bar."""
    for what, at, state in _scenes():
        state.dirty.clear()
        decider, scaler = Planner(Scheduler()), Scaler()
        took = statistics.median(_turn(state, decider, scaler, at + n) for n in range(TURNS))
        show(f"a turn: {what}", f"{took * 1000:.1f} ms", f"<= {BAR * 1000:.0f} ms", met=took <= BAR)
