"""Where each waiting job stands, and how long it may still wait. Pure."""

import math
from collections import Counter
from collections.abc import Iterator
from itertools import islice
from typing import Final

from trawler_crds.messages import Place, Positions
from trawler_operator.board import Board, Clock
from trawler_operator.scheduling import Scheduler, usable

NAMED: Final = 1000
"""Places told per queue."""
PIECE: Final = 250
"""Jobs that are estimated between two pauses."""
ESTIMATED: Final = 5000
"""Jobs of a pool, those whose turn comes first, that are told how long they may still wait."""


def positions(board: Board, clock: Clock, scheduler: Scheduler) -> Iterator[Positions | None]:
    """For every queue in which somebody waits, as it is when the first is asked for; made piece by piece,
    so that nobody has to wait for all of them. None where there is only a pause.
    """
    seconds: dict[str, int | None] = {}
    found: dict[str, list[str]] = {}
    waiting: Counter[str] = Counter()
    for pool in tuple(board.waiting.pools()):
        order = scheduler.order(board, pool)
        for queue, lane in board.waiting.lanes(pool).items():
            known = found.setdefault(queue, [])
            known.extend(uid for _, _, uid in lane[: NAMED - len(known)])
            waiting[queue] += len(lane)
        pace = _pace(board, clock, pool)
        for number, uid in enumerate(islice(order, ESTIMATED), 1):
            seconds[uid] = None if pace is None else math.ceil(number * pace)
            if number % PIECE == 0:
                yield None
    for queue, uids in sorted(found.items()):
        yield Positions(
            queue=queue,
            waiting=waiting[queue],
            places=[
                Place(uid=uid, place=place, seconds=seconds.get(uid))
                for place, uid in enumerate(uids, 1)
            ],
        )


def _pace(board: Board, clock: Clock, pool: str) -> float | None:
    """Seconds between two slots that become free, by how long the last jobs took; None where nothing was
    finished yet: rather no estimate than an invention.
    """
    pods = [pod for pod in board.pods_of(pool) if usable(pod, clock)]
    slots = sum(pod.free + pod.taken for pod in pods)
    each = board.seconds_per_job.get(pool)
    return None if each is None or slots == 0 else each / slots
