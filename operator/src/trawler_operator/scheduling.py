"""Whose turn it is and which pod takes it: by share, then by turn; the emptiest pod first. Pure."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
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


@dataclass(frozen=True)
class _Kept:
    """A pod left to empty for a job that must be alone in one, and whose turn it was."""

    uid: str
    pod: str


class Scheduler:
    """Deals free slots to queues. Remembers what the queues of each pool have saved up, and which
    pod is kept for whom.
    """

    def __init__(self) -> None:
        self._shares: dict[str, Shares] = {}
        self._kept: dict[str, _Kept] = {}

    def assign(self, board: Board, clock: Clock, *, skip: set[str]) -> list[Dispatch]:
        """As many dispatches as there are free slots; jobs in `skip` are being worked on."""
        found: list[Dispatch] = []
        for pool in tuple(board.waiting.pools()):
            slots = _slots(board, clock, pool)
            if any(slots.values()):
                found += self._deal(board, clock, pool, slots, skip)
        return found

    def order(self, board: Board, pool: str) -> Iterator[str]:
        """Uids of all who wait for a pool now, in the order in which they would go with slots one by one."""
        shares = self._shares.get(pool, Shares()).copy()
        hands = {
            queue: Hand(weight=board.share(queue).weight, items=iter([u for _, _, u in lane]))
            for queue, lane in board.waiting.lanes(pool).items()
            if not board.share(queue).paused
        }
        return shares.deal(hands)

    def _deal(
        self, board: Board, clock: Clock, pool: str, slots: dict[str, int], skip: set[str]
    ) -> list[Dispatch]:
        found: list[Dispatch] = []
        fetched = _being_fetched(board, clock)
        kept = self._still_kept(board, clock, pool, slots, fetched)
        if kept is not None:
            job, room = board.jobs[kept.uid], slots[kept.pod]
            slots[kept.pod] = 0
            if room and job.uid not in skip and _empty(kept.pod, board):
                found.append(_dispatch(job, kept.pod))
            skip = {*skip, job.uid}
            fetched.add(board.twins.mark(job))
        hands = _hands(board, clock, pool, skip, fetched, alone_too=kept is None)
        for job in (
            self._shares.setdefault(pool, Shares()).deal(hands) if any(slots.values()) else ()
        ):
            pod = _choose(job, board, slots)
            slots[pod] = 0 if alone(job) else slots[pod] - 1
            if alone(job) and not _empty(pod, board):
                self._kept[pool] = _Kept(job.uid, pod)
                break  # the next pass knows of it
            found.append(_dispatch(job, pod))
            if not any(slots.values()):
                break
        return found

    def _still_kept(
        self, board: Board, clock: Clock, pool: str, slots: dict[str, int], fetched: set[str]
    ) -> _Kept | None:
        """Who waits for which pod to empty; nobody where the pod is gone or the job may not go."""
        kept = self._kept.pop(pool, None)
        job = board.jobs.get(kept.uid) if kept is not None else None
        if kept is None or job is None or kept.pod not in slots:
            return None
        if (
            job.status.phase is not Phase.QUEUED
            or board.handing(job)
            or not _may_go(job, board, clock)
            or board.twins.mark(job) in fetched
            or _full(board, board.waiting.queue_of(job))
        ):
            return None
        self._kept[pool] = kept
        return kept


def _dispatch(job: MediaJob, pod: str) -> Dispatch:
    return Dispatch(uid=job.uid, version=job.version, pod=pod, attempt=job.status.attempt + 1)


def _full(board: Board, queue: str) -> bool:
    """Whether no more of a queue may run now."""
    return _room(board, queue, {queue: board.running_in(queue)}) == 0


def _room(board: Board, queue: str, running: Mapping[str, int]) -> int | None:
    """How many more of a queue may run now; None where nothing bounds them."""
    share = board.share(queue)
    if share.paused:
        return 0
    return None if share.max_running is None else max(0, share.max_running - running[queue])


def _hands(
    board: Board, clock: Clock, pool: str, skip: set[str], fetched: set[str], *, alone_too: bool
) -> dict[str, Hand[MediaJob]]:
    running = board.running()
    hands: dict[str, Hand[MediaJob]] = {}
    for queue, lane in board.waiting.lanes(pool).items():
        room = _room(board, queue, running)
        if room != 0:
            items = _ready(board, clock, lane, skip, fetched, alone_too=alone_too)
            hands[queue] = Hand(weight=board.share(queue).weight, items=items, room=room)
    return hands


def runnable(board: Board, clock: Clock, pool: str, *, most: int) -> int:
    """Jobs (up to `most`) that would go with slots without end."""
    running = board.running()
    lanes = board.waiting.lanes(pool)
    fetched = _being_fetched(board, clock)
    under_way = {uid for uid, _ in board.reserved}
    found = 0
    for queue, lane in lanes.items():
        room = _room(board, queue, running)
        ready = _ready(board, clock, lane, under_way, fetched)
        bound = most - found if room is None else min(room, most - found)
        found += sum(1 for _ in islice(ready, bound))
        if found >= most:
            break
    return found


def _being_fetched(board: Board, clock: Clock) -> set[str]:
    """What is being fetched for somebody who shares it."""
    handed = (board.jobs[uid] for uid, _ in board.reserved if uid in board.jobs)
    # who waits after a failure has not given up: else every twin would try the broken site at once
    trying = (job for job in board.resting.values() if ready_at(job, board) > clock.now)
    waiting = {
        board.twins.mark(job) for job in chain(handed, trying) if job.spec.reuse is Reuse.ALWAYS
    }
    return waiting.union(board.fetched())


def _may_go(job: MediaJob, board: Board, clock: Clock) -> bool:
    """Whether nobody holds it back and its wait after a failure is over."""
    return not (job.unwanted or job.spec.suspend) and ready_at(job, board) <= clock.now


def _ready(
    board: Board,
    clock: Clock,
    lane: list[Turn],
    skip: set[str],
    fetched: set[str],
    *,
    alone_too: bool = True,
) -> Iterator[MediaJob]:
    """Those of a lane that may go now, in turn; of twins only one, added to what is fetched."""
    for _, _, uid in lane:
        job = board.jobs[uid]
        if uid in skip or not _may_go(job, board, clock) or (alone(job) and not alone_too):
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
        if pod.pool == pool and takes_orders(pod, clock)
    }


def _choose(job: MediaJob, board: Board, slots: Mapping[str, int]) -> str:
    """The pod with the most room; for a job that must be alone, the one with the least to do."""
    free = [name for name, count in slots.items() if count > 0]
    if alone(job):
        return min(free, key=lambda name: (board.load(board.pods[name]), name))
    return max(free, key=lambda name: (slots[name], name))


def _empty(pod: str, board: Board) -> bool:
    """Whether a pod has nothing to do, orders under way included."""
    return board.load(board.pods[pod]) == 0


def alone(job: MediaJob) -> bool:
    """Whether its next attempt must not share a pod."""
    return job.status.reason in ALONE


def usable(pod: Pod, clock: Clock) -> bool:
    """Whether a pod works: it answers, and takes orders in general."""
    return (
        pod.phase is PodPhase.RUNNING
        and not pod.leaving
        and not pod.draining
        and not pod.mute
        and pod.heard_at is not None
        and not clock.silent(pod)
    )


def takes_orders(pod: Pod, clock: Clock) -> bool:
    """Whether it may be given one now: it did not just decline some, and orders reach it at all."""
    return (
        usable(pod, clock)
        and not pod.told
        and pod.rests_until <= clock.now
        and clock.listening_since is not None
    )


def next_wake(board: Board, clock: Clock) -> float | None:
    """Seconds until the next waiting job may run; None where none waits for a time."""
    later = [
        at - clock.now for job in board.resting.values() if (at := ready_at(job, board)) > clock.now
    ]
    return min(later, default=None)
