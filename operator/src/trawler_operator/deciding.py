"""Everything that is due for jobs now, in the order in which it is to be begun. Pure, but for what
the board keeps of decisions under way: who is let in, which slots are promised.
"""

from collections.abc import Iterator
from collections.abc import Set as AbstractSet
from typing import Final

from trawler_crds.media_job import TERMINAL, Phase
from trawler_operator import admission, lifecycle, sharing
from trawler_operator.actions import Action, DeleteJob, Dispatch, Order
from trawler_operator.board import Board, Clock
from trawler_operator.scheduling import Scheduler

AT_ONCE: Final = 32
"""Effects under way together."""
QUIET: Final = 8
"""To write that somebody waits is what can wait longest: while so many effects are under way it
does, and where the turn comes meanwhile it need not be written at all.
"""
SETTLE: Final = 0.5
"""Seconds that a job's turn may take to come before it is written that it waits. Its place goes over
the bus at once; what many who ask together wait for first is that their jobs are created.
"""
LOOK_EVERY: Final = 1.0
"""Seconds after which everything that may be due by time alone is looked at again."""
EXPIRE_EVERY: Final = 5.0
"""Seconds between two looks at who was kept long enough: there may be ten thousand of them."""


class Decider:
    """Decides for all jobs. Each decision comes with a key: one at a time may be under way of each."""

    def __init__(self, scheduler: Scheduler) -> None:
        self._scheduler = scheduler
        self._looked_at = 0.0
        self._expired_at = 0.0

    def due(
        self, board: Board, clock: Clock, busy: AbstractSet[str]
    ) -> Iterator[tuple[str, Action]]:
        """What to do now; nothing for a key in `busy`, to which the caller adds each that it takes."""
        if clock.now - self._looked_at >= LOOK_EVERY:
            self._looked_at = clock.now
            _look_at_clocks(board, clock)
        due, board.dirty = board.dirty, {}
        for uid in due:
            if uid in busy:
                board.touch([uid])
            elif (action := _step(uid, board, clock)) is not None:
                _promise(action, board)
                yield uid, action
        for dispatch in self._scheduler.assign(board, clock, skip=set(busy)):
            _promise(dispatch, board)
            yield dispatch.uid, dispatch
        for stray in lifecycle.strays(board):
            key = f"{stray.pod}/{stray.uid}/{stray.attempt}"
            # while its result is being recorded, the watch may say so before we know ourselves
            if key not in busy and stray.uid not in busy:
                yield key, stray
        yield from _admissions(board, clock, busy)
        if clock.now - self._expired_at >= EXPIRE_EVERY:
            self._expired_at = clock.now
            yield from _expired(board, clock, busy)


def settled(key: str, board: Board) -> None:
    """A decision about a job was carried out, or could not be: it is looked at once more."""
    if key in board.jobs:
        board.touch([key])


def _promise(action: Action, board: Board) -> None:
    """Who is given a slot has it from now on, though the order begins only later."""
    if isinstance(action, (Dispatch, Order)):
        board.reserved[action.uid, action.attempt] = action.pod


def _step(uid: str, board: Board, clock: Clock) -> Action | None:
    job = board.jobs.get(uid)
    if job is None:
        return None
    shared = sharing.answer(job, board, clock)
    if shared is not None:
        return shared
    if not lifecycle.is_new(job):
        return lifecycle.next_step(job, board, clock)
    if uid in board.waiting.let_in():
        return None
    refused = admission.refuse(job, board, clock)
    if refused is None:
        board.waiting.enter(job)
    return refused


def _admissions(board: Board, clock: Clock, busy: AbstractSet[str]) -> Iterator[tuple[str, Action]]:
    """Have it written who waits, unless its turn comes soon."""
    for uid in tuple(board.waiting.let_in()) if len(busy) < QUIET else ():
        if clock.now - board.since[uid] < SETTLE:
            continue
        job = board.jobs[uid]
        if uid not in busy and not board.handing(job):
            yield uid, admission.admit(job, board, clock.wall)
            if len(busy) >= QUIET:
                return


def _look_at_clocks(board: Board, clock: Clock) -> None:
    """What may be due without anything having changed."""
    for phase in (Phase.RUNNING, Phase.SUSPENDED):
        board.touch(board.by_phase[phase])
    let_in = board.waiting.let_in()
    board.touch(uid for uid in board.by_phase[Phase.PENDING] if uid not in let_in)
    waiting = board.by_phase[Phase.QUEUED]
    board.touch(uid for uid, job in waiting.items() if lifecycle.overdue(job, board, clock))


def _expired(board: Board, clock: Clock, busy: AbstractSet[str]) -> Iterator[tuple[str, Action]]:
    for phase in TERMINAL:
        for uid, job in board.by_phase[phase].items():
            if uid not in busy and lifecycle.expired(job, clock):
                yield uid, DeleteJob(uid=uid)
