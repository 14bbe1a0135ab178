"""Decides which actions are due for jobs, in the order in which they should start. Pure, except for
pending decisions that it keeps in the cluster state: admitted jobs and reserved slots.
"""

import heapq
from collections.abc import Callable, Container, Hashable, Iterator
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from itertools import islice
from typing import Final

from trawler_common.pauses import grown
from trawler_crds.failures import FailureReason
from trawler_crds.media_job import MediaJob, Phase
from trawler_operator.formatting import stamp
from trawler_operator.planning import admission, lifecycle, reuse
from trawler_operator.planning.actions import Action, DeleteJob, Dispatch, Order, SetAside
from trawler_operator.planning.scheduling import Scheduler
from trawler_operator.state.cluster_state import Clock, ClusterState, Unreadable
from trawler_operator.state.finished import FinishedJob

AT_ONCE: Final = 32
"""Maximum number of concurrent effects."""
QUIET: Final = 8
"""The status write which says that a job waits is the least urgent: it is held back while this many
effects are under way. If the job's turn comes meanwhile, the write is not needed at all.
"""
LOOKED_AT: Final = 64
"""How many admitted jobs, the longest waiting first, a turn examines for a status to write."""
SETTLE: Final = 0.5
"""Seconds that an admitted job may wait for its turn before its status says that it waits. Its
place is published on the bus at once; when many people ask together, they first of all wait for
their jobs to be created.
"""
LOOK_EVERY: Final = 1.0
"""Seconds between two checks of everything that may be due by time alone."""
EXPIRED_AT_ONCE: Final = 16
"""Maximum number of expired jobs that one turn starts to delete."""
MOST_ORDERS: Final = 6
"""How often the order of one attempt is sent to a pod that does not report the attempt. With the
pauses this takes about eight seconds.
"""
SPARE: Final = 200
"""Outdated deadlines that may accumulate before they are removed."""
FIRST_REPEAT: Final = 0.25
LONGEST_REPEAT: Final = 30.0
"""Bounds of the pause in seconds before the same message is sent to the same pod again."""


def _never() -> bool:
    return False


@dataclass
class _Said:
    """How often a message was sent to a pod without effect, and when it may be sent again."""

    times: int = 0
    again: float = 0.0


class Repeats:
    """Messages that are repeated because they may have been lost, after growing pauses."""

    def __init__(self, *, longest: float = LONGEST_REPEAT) -> None:
        self._longest = longest
        self._said: dict[Hashable, _Said] = {}

    def may(self, what: Hashable, now: float) -> bool:
        """Whether a message may be sent now (monotonic seconds). If so, it counts as sent."""
        said = self._said.setdefault(what, _Said())
        if now < said.again:
            return False
        said.again = now + grown(FIRST_REPEAT, self._longest, said.times)
        said.times += 1
        return True

    def times(self, what: Hashable) -> int:
        return self._said[what].times if what in self._said else 0

    def keep(self, still: Container[Hashable]) -> None:
        """Forget all messages that are not in `still`."""
        for what in [known for known in self._said if known not in still]:
            del self._said[what]


class Planner:
    """Decides for all jobs. Each decision has a key; one decision per key may be under way at a
    time.
    """

    def __init__(self, scheduler: Scheduler) -> None:
        self._scheduler = scheduler
        self._looked_at = 0.0
        self._cancels = Repeats()
        self._orders = Repeats()
        self._expired: list[Unreadable] = []
        """Unreadable jobs whose time to live is over."""
        self._deadlines: list[tuple[float, str]] = []
        self._deadline_of: dict[str, float] = {}

    def due(
        self,
        state: ClusterState,
        clock: Clock,
        busy: AbstractSet[str],
        spent: Callable[[], bool] = _never,
        quiet: Callable[[], bool] | None = None,
    ) -> Iterator[tuple[str, Action]]:
        """The actions that are due now. Keys in `busy` get none; the caller adds each key that it
        takes. Once the turn is `spent`, the remaining changes are left for the next turn. Status
        writes which only say that a job waits are made only while it is `quiet`.
        """
        if clock.now - self._looked_at >= LOOK_EVERY:
            self._looked_at = clock.now
            self._look_at_clocks(state, clock, busy)
        yield from self._changed(state, clock, busy, spent)
        # a job that is still to be decided on may have an answer already
        for dispatch in self._scheduler.assign(state, clock, skip={*busy, *state.dirty}):
            _promise(dispatch, state)
            yield dispatch.uid, dispatch
        yield from self._strays(state, clock, busy)
        yield from _admissions(state, clock, busy, quiet or (lambda: len(busy) < QUIET))
        expired: list[FinishedJob | Unreadable] = [
            *state.finished.due(clock.wall, most=EXPIRED_AT_ONCE),
            *self._expired,
        ]
        self._expired = []
        for job in expired:
            if job.uid not in busy:
                yield job.uid, DeleteJob(uid=job.uid, name=job.name, version=job.version)

    def _changed(
        self, state: ClusterState, clock: Clock, busy: AbstractSet[str], spent: Callable[[], bool]
    ) -> Iterator[tuple[str, Action]]:
        while state.dirty and not spent():
            uid = next(iter(state.dirty))
            del state.dirty[uid]
            if uid in busy:
                continue  # the job is touched again when its effect is done
            try:
                action = self._step(uid, state, clock)
            except Exception as error:  # noqa: BLE001 - whatever it is, it is about this job alone
                state.set_aside(uid, repr(error))
                continue
            if action is None:
                state.offer(uid)
            else:
                state.withhold(uid)
                _promise(action, state)
                yield uid, action
        idle = (job for job in state.to_end.values() if job.uid not in busy)
        for job in tuple(islice(idle, LOOKED_AT)):
            yield job.uid, _end_unreadable(job, clock)

    def _step(self, uid: str, state: ClusterState, clock: Clock) -> Action | None:
        job = state.jobs.get(uid)
        if job is None:
            return None
        late = job.status.phase is Phase.QUEUED and lifecycle.overdue(job, state, clock)
        shared = None if late else reuse.answer(job, state, clock)
        if shared is not None:
            return shared
        if job.status.phase is Phase.QUEUED:
            self._remember_deadline(job, state)
        if not lifecycle.is_new(job):
            action = lifecycle.next_step(job, state, clock)
            return self._ordered_again(action, job, state, clock)
        if uid in state.pending.let_in():
            return None
        refused = admission.refuse(job, state, clock)
        if refused is None:
            state.pending.enter(job, fingerprint=state.shared(job))
        return refused

    def _ordered_again(
        self, action: Action | None, job: MediaJob, state: ClusterState, clock: Clock
    ) -> Action | None:
        """Repeat an order that a pod accepted but does not report, after growing pauses. After
        `MOST_ORDERS` orders the attempt counts as lost.
        """
        if not isinstance(action, Order):
            return action
        key = (action.uid, action.attempt)
        if not self._orders.may(key, clock.now):
            return None
        if self._orders.times(key) > MOST_ORDERS:
            return lifecycle.lost(job, state, clock)
        return action

    def _remember_deadline(self, job: MediaJob, state: ClusterState) -> None:
        at = lifecycle.queue_deadline(job, state)
        if self._deadline_of.get(job.uid) != at:
            self._deadline_of[job.uid] = at
            heapq.heappush(self._deadlines, (at, job.uid))

    def _look_at_clocks(self, state: ClusterState, clock: Clock, busy: AbstractSet[str]) -> None:
        """Collect what may be due although nothing has changed."""
        for phase in (Phase.RUNNING, Phase.SUSPENDED):
            state.touch(state.by_phase[phase])
        let_in = state.pending.let_in()
        state.touch(uid for uid in state.by_phase[Phase.PENDING] if uid not in let_in)
        while self._deadlines and self._deadlines[0][0] < clock.now:
            at, uid = heapq.heappop(self._deadlines)
            if self._deadline_of.get(uid) != at:
                continue
            del self._deadline_of[uid]
            if uid in state.by_phase[Phase.QUEUED]:
                state.touch([uid])
        self._forget_deadlines(state)
        old = (job for job in state.unreadable.values() if job.keep_until <= clock.wall)
        self._expired = list(islice((job for job in old if job.uid not in busy), EXPIRED_AT_ONCE))
        running = state.by_phase[Phase.RUNNING]
        self._orders.keep({(uid, job.status.attempt) for uid, job in running.items()})

    def _forget_deadlines(self, state: ClusterState) -> None:
        """Drop the deadlines of jobs that no longer wait, once these are the majority."""
        queued = state.by_phase[Phase.QUEUED]
        if len(self._deadlines) > 2 * len(queued) + SPARE:
            self._deadline_of = {u: at for u, at in self._deadline_of.items() if u in queued}
            self._deadlines = [(at, uid) for uid, at in self._deadline_of.items()]
            heapq.heapify(self._deadlines)

    def _strays(
        self, state: ClusterState, clock: Clock, busy: AbstractSet[str]
    ) -> Iterator[tuple[str, Action]]:
        strays = lifecycle.orphaned_attempts(state, clock)
        self._cancels.keep(set(strays))
        for stray in strays:
            key = f"{stray.pod}/{stray.uid}/{stray.attempt}"
            # while its result is recorded, the watch may show that before our own write returns
            if key in busy or stray.uid in busy:
                continue
            if self._cancels.may(stray, clock.now):
                yield key, stray


def settled(key: str, state: ClusterState) -> None:
    """Have a job decided on again after a decision about it was carried out or failed."""
    if key in state.jobs:
        state.touch([key])


def _promise(action: Action, state: ClusterState) -> None:
    """Reserve the slot of an order now, although the order is sent only later."""
    if isinstance(action, (Dispatch, Order)):
        state.reserved[action.uid, action.attempt] = action.pod


def _end_unreadable(job: Unreadable, clock: Clock) -> SetAside:
    return SetAside(
        uid=job.uid,
        name=job.name,
        version=job.version,
        reason=FailureReason.INTERNAL,
        message="This version of Trawler cannot work with this request. Please send it again.",
        completed=stamp(clock.wall),
    )


def _admissions(
    state: ClusterState, clock: Clock, busy: AbstractSet[str], quiet: Callable[[], bool]
) -> Iterator[tuple[str, Action]]:
    """Write the status of admitted jobs that wait, unless their turn comes soon."""
    for uid in tuple(islice(state.pending.let_in(), LOOKED_AT)) if quiet() else ():
        if clock.now - state.since[uid] < SETTLE:
            continue
        job = state.jobs[uid]
        if uid not in busy and not state.handing(job):
            yield uid, admission.admit(job, state, clock.wall)
            if not quiet():
                return
