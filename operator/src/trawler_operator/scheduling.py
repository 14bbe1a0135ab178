"""Whose turn it is and which pod takes it: by share, then by turn; the emptiest pod first. Pure."""

from collections import Counter
from collections.abc import Iterator
from itertools import chain, islice
from typing import Final

from trawler_crds.failures import FailureReason
from trawler_crds.media_job import MediaJob, Phase, Reuse
from trawler_operator.actions import Dispatch
from trawler_operator.board import Board, Clock, Pod, PodPhase
from trawler_operator.lifecycle import ready_at
from trawler_operator.shares import Hand, Shares
from trawler_operator.waiting import Turn

ALONE: Final = frozenset({FailureReason.OUT_OF_MEMORY, FailureReason.WORKER_LOST})
"""What a job may do to its neighbours: it is tried again without any."""


class Scheduler:
    """Deals free slots to queues. Remembers only what the queues of each pool have saved up."""

    def __init__(self) -> None:
        self._shares: dict[str, Shares] = {}

    def assign(self, board: Board, clock: Clock, *, skip: set[str]) -> list[Dispatch]:
        """As many dispatches as there are free slots; jobs in `skip` are being worked on."""
        found: list[Dispatch] = []
        for pool in tuple(board.waiting.pools()):
            slots = _slots(board, clock, pool)
            if any(slots.values()):
                found += self._deal(board, clock, pool, slots, skip)
        return found

    def order(self, board: Board, pool: str) -> Iterator[MediaJob]:
        """All who wait for a pool, in the order in which they would go with slots one by one."""
        shares = self._shares.get(pool, Shares()).copy()
        hands = {
            queue: Hand(
                weight=board.share(queue).weight, items=iter([board.jobs[u] for _, _, u in lane])
            )
            for queue, lane in board.waiting.lanes(pool).items()
            if not board.share(queue).paused
        }
        return shares.deal(hands)

    def _deal(
        self, board: Board, clock: Clock, pool: str, slots: dict[str, int], skip: set[str]
    ) -> list[Dispatch]:
        found: list[Dispatch] = []
        shares = self._shares.setdefault(pool, Shares())
        for job in shares.deal(_hands(board, clock, pool, skip)):
            pod = _choose(job, board, slots)
            if pod is not None:
                attempt = job.status.attempt + 1
                found.append(Dispatch(uid=job.uid, version=job.version, pod=pod, attempt=attempt))
            if not any(slots.values()):
                break
        return found


def _hands(board: Board, clock: Clock, pool: str, skip: set[str]) -> dict[str, Hand[MediaJob]]:
    running = board.running()
    fetched = _being_fetched(board, clock)
    hands: dict[str, Hand[MediaJob]] = {}
    for queue, lane in board.waiting.lanes(pool).items():
        share = board.share(queue)
        if share.paused:
            continue
        room = None if share.max_running is None else share.max_running - running[queue]
        items = _ready(board, clock, lane, skip, fetched)
        hands[queue] = Hand(weight=share.weight, items=items, room=room)
    return hands


def runnable(board: Board, clock: Clock, pool: str, *, most: int) -> int:
    """Jobs (up to `most`) that would go with slots without end, those just let in included."""
    running = board.running()
    lanes = board.waiting.lanes(pool)
    fetched = _being_fetched(board, clock)
    found = 0
    for queue in {*lanes, *board.waiting.entered_queues()}:
        share = board.share(queue)
        if share.paused:
            continue
        room = most - found
        if share.max_running is not None:
            room = min(room, share.max_running - running[queue])
        under_way = {uid for uid, _ in board.reserved}
        ready = _ready(board, clock, lanes.get(queue, []), under_way, fetched)
        coming = (job for job in board.waiting.entering(queue) if job.spec.pool == pool)
        found += sum(1 for _ in islice(chain(ready, coming), max(0, room)))
        if found >= most:
            break
    return found


def _being_fetched(board: Board, clock: Clock) -> set[str]:
    """What is being fetched for somebody who shares it."""
    running = board.by_phase[Phase.RUNNING].values()
    handed = (board.jobs[uid] for uid, _ in board.reserved if uid in board.jobs)
    # who waits after a failure has not given up: else every twin would try the broken site at once
    trying = (
        job
        for job in board.by_phase[Phase.QUEUED].values()
        if job.status.failures and ready_at(job, board) > clock.now
    )
    return {
        board.twins.mark(job)
        for job in chain(running, handed, trying)
        if job.spec.reuse is Reuse.ALWAYS
    }


def _ready(
    board: Board, clock: Clock, lane: list[Turn], skip: set[str], fetched: set[str]
) -> Iterator[MediaJob]:
    """Those of a lane that may go now, in turn; of twins only one, added to what is fetched."""
    for _, _, uid in lane:
        job = board.jobs[uid]
        held = job.spec.cancel or job.spec.suspend
        if uid in skip or held or ready_at(job, board) > clock.now:
            continue
        if job.spec.reuse is Reuse.ALWAYS:
            mark = board.twins.mark(job)
            if mark in fetched:
                continue
            fetched.add(mark)
        yield job


def _slots(board: Board, clock: Clock, pool: str) -> dict[str, int]:
    """Pod → orders it may be given. A pod with a job that must be alone takes no second one."""
    lonely = {job.status.worker for job in board.by_phase[Phase.RUNNING].values() if alone(job)} | {
        pod
        for (uid, _), pod in board.reserved.items()
        if (job := board.jobs.get(uid)) is not None and alone(job)
    }
    return {
        pod.name: 0 if pod.name in lonely else board.free(pod)
        for pod in board.pods.values()
        if pod.pool == pool and usable(pod, clock)
    }


def _choose(job: MediaJob, board: Board, slots: dict[str, int]) -> str | None:
    """The pod for a job, whose slot is then taken; None where it has to wait for an empty pod."""
    free = [name for name, count in slots.items() if count > 0]
    if not alone(job):
        chosen = max(free, key=lambda name: (slots[name], name))
        slots[chosen] -= 1
        return chosen
    given = Counter(board.reserved.values())
    load = {name: board.pods[name].taken + given[name] for name in free}
    emptiest = min(free, key=lambda name: (load[name], name))
    slots[emptiest] = 0  # taken by this job, or kept free until it is empty
    return emptiest if load[emptiest] == 0 and not board.pods[emptiest].held else None


def alone(job: MediaJob) -> bool:
    """Whether its next attempt must not share a pod."""
    return job.status.reason in ALONE


def usable(pod: Pod, clock: Clock) -> bool:
    """Whether a pod may be given an order."""
    return (
        pod.phase is PodPhase.RUNNING
        and not pod.leaving
        and not pod.draining
        and not pod.mute
        and pod.heard_at is not None
        and not clock.silent(pod)
    )


def next_wake(board: Board, clock: Clock) -> float | None:
    """Seconds until the next waiting job may run; None where none waits for a time."""
    later = [
        at - clock.now
        for job in board.by_phase[Phase.QUEUED].values()
        if job.status.failures and (at := ready_at(job, board)) > clock.now
    ]
    return min(later, default=None)
