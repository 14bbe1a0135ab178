"""Where each waiting job stands, and how long it may still wait. Pure."""

import math
from collections.abc import Iterable
from typing import Final

from trawler_crds.media_job import MediaJob
from trawler_crds.messages import Place, Positions
from trawler_operator.board import Board, Clock
from trawler_operator.scheduling import Scheduler, usable

NAMED: Final = 1000
"""Places told per queue."""


def positions(board: Board, clock: Clock, scheduler: Scheduler) -> list[Positions]:
    """For every queue in which somebody waits."""
    seconds: dict[str, int | None] = {}
    for pool in board.waiting.pools():
        seconds |= _estimates(scheduler.order(board, pool), _pace(board, clock, pool))
    found: dict[str, list[str]] = {}
    for pool in board.waiting.pools():
        for queue, lane in board.waiting.lanes(pool).items():
            found.setdefault(queue, []).extend(uid for _, _, uid in lane)
    return [
        Positions(
            queue=queue,
            waiting=len(uids),
            places=[
                Place(uid=uid, place=place, seconds=seconds.get(uid))
                for place, uid in enumerate(uids[:NAMED], 1)
            ],
        )
        for queue, uids in sorted(found.items())
    ]


def _pace(board: Board, clock: Clock, pool: str) -> float | None:
    """Seconds between two slots that become free; None where nothing was finished yet."""
    pods = [pod for pod in board.pods.values() if pod.pool == pool and usable(pod, clock)]
    slots = sum(pod.free + pod.taken for pod in pods)
    each = board.seconds_per_job.get(pool)
    return None if each is None or slots == 0 else each / slots


def _estimates(jobs: Iterable[MediaJob], pace: float | None) -> dict[str, int | None]:
    """Honest: by how long the last jobs took, else nothing at all."""
    return {
        job.uid: None if pace is None else math.ceil(number * pace)
        for number, job in enumerate(jobs, 1)
    }
