"""Assigns waiting jobs to pods: queues by share, jobs by turn, the emptiest pod first. Pure."""

from collections import Counter
from collections.abc import Iterator, Mapping
from collections.abc import Set as AbstractSet
from copy import copy
from dataclasses import dataclass
from itertools import chain, islice

from trawler_crds.media_job import MediaJob, Phase
from trawler_operator.planning.actions import Dispatch
from trawler_operator.planning.fair_queue import Candidates, DeficitRoundRobin
from trawler_operator.state.cluster_state import Clock, ClusterState, Pod, PodPhase
from trawler_operator.state.pending import alone


@dataclass(frozen=True)
class _Kept:
    """A pod that gets no orders until it is empty, kept for a job that must run alone and whose
    turn it was.
    """

    uid: str
    pod: str


class InHand:
    """Jobs that run or are being handed to a pod, counted once for all pools."""

    def __init__(self, state: ClusterState) -> None:
        self._state = state
        self.running = state.running()
        """Queue → number of jobs."""
        self.uids = {uid for uid, _ in state.reserved}
        handed = (state.shared(job) for uid in self.uids if (job := state.jobs.get(uid)))
        self._fingerprints = {fingerprint for fingerprint in handed if fingerprint is not None}
        self.foreseen: set[str] = set()
        """Fingerprints that a job will fetch for its duplicates too."""
        self._given: Counter[str] = Counter()
        """Pod → number of orders that are assigned in this turn and not reserved yet."""

    def fork(self) -> "InHand":
        """A copy for looking ahead. What it foresees is not foreseen here; all else is shared."""
        fork = copy(self)
        fork.foreseen = set()
        return fork

    def load(self, pod: str) -> int:
        """Number of jobs that a pod has, including those assigned in this turn."""
        return self._state.load(self._state.pods[pod]) + self._given[pod]

    def take(self, job: MediaJob, pod: str) -> None:
        """Record that a job is handed to a pod."""
        self._given[pod] += 1
        self.running[self._state.pending.queue_of(job)] += 1
        self.uids.add(job.uid)
        fingerprint = self._state.shared(job)
        if fingerprint is not None:
            self._fingerprints.add(fingerprint)

    def fetches(self, fingerprint: str) -> bool:
        """Whether a job fetches this for its duplicates too, or will try it again after a rest."""
        return (
            fingerprint in self._fingerprints
            or fingerprint in self.foreseen
            or fingerprint in self._state.fetched()
            or self._state.resting.shares(fingerprint)
        )


class Scheduler:
    """Assigns free slots to queues. Remembers the credit of each pool's queues, and which pod is
    kept for which job.
    """

    def __init__(self) -> None:
        self._shares: dict[str, DeficitRoundRobin] = {}
        self._kept: dict[str, _Kept] = {}

    def assign(self, state: ClusterState, clock: Clock, *, skip: set[str]) -> list[Dispatch]:
        """As many dispatches as there are free slots. Jobs in `skip` are left out, because
        something else is being done about them.
        """
        state.wake(clock.now)
        found: list[Dispatch] = []
        in_hand = InHand(state)
        for pool in state.pending.pools():
            slots = _slots(state, clock, pool)
            if any(slots.values()):
                found += self._deal(state, pool, slots, skip, in_hand.fork())
        state.rest_refused()
        return found

    def order(self, state: ClusterState, pool: str) -> Iterator[str]:
        """Uids of all jobs that wait for a pool now, in the order in which they would run if slots
        became free one by one.
        """
        shares = self._shares.get(pool, DeficitRoundRobin()).copy()
        hands = {
            queue: Candidates(weight=state.share(queue).weight, items=iter([u for _, _, u in lane]))
            for queue, lane in state.pending.lanes(pool).items()
            if not state.share(queue).paused and state.share(queue).max_running != 0
        }
        return shares.deal(hands)

    def _deal(
        self, state: ClusterState, pool: str, slots: dict[str, int], skip: set[str], in_hand: InHand
    ) -> list[Dispatch]:
        found: list[Dispatch] = []

        def give(job: MediaJob, pod: str) -> None:
            in_hand.take(job, pod)
            state.sent_to_site(job)
            found.append(_dispatch(job, pod))

        kept = self._still_kept(state, pool, slots, skip, in_hand)
        if kept is not None:
            job, empty = state.jobs[kept.uid], _empty(kept, slots, in_hand)
            slots[empty or kept.pod] = 0
            if empty is not None:
                del self._kept[pool]  # this ends the wait, whatever becomes of the order
                give(job, empty)
            skip = {*skip, job.uid}
            if (fingerprint := state.shared(job)) is not None:
                in_hand.foreseen.add(fingerprint)
        hands = _hands(state, pool, skip, in_hand, alone_too=kept is None)
        for job in (
            self._shares.setdefault(pool, DeficitRoundRobin()).deal(hands)
            if any(slots.values())
            else ()
        ):
            if state.is_refused(job):
                continue  # another job was just sent to this site as its probe
            pod = _choose(job, slots, in_hand)
            slots[pod] = 0 if alone(job) else slots[pod] - 1
            if alone(job) and in_hand.load(pod):
                self._kept[pool] = _Kept(job.uid, pod)
                break  # the next pass takes the kept pod into account
            give(job, pod)
            if not any(slots.values()):
                break
        return found

    def _still_kept(
        self, state: ClusterState, pool: str, slots: dict[str, int], skip: set[str], in_hand: InHand
    ) -> _Kept | None:
        """Which job still waits for which pod to empty; None if the pod is gone or the job may not
        run.
        """
        kept = self._kept.pop(pool, None)
        job = state.jobs.get(kept.uid) if kept is not None else None
        if kept is None or job is None or kept.pod not in slots:
            return None
        if (
            job.status.phase is not Phase.QUEUED
            or job.uid in skip
            or state.handing(job)
            or state.refuses(job)
            or not _may_go(job, state)
            or ((fingerprint := state.shared(job)) is not None and in_hand.fetches(fingerprint))
            or _room(state, state.pending.queue_of(job), in_hand.running) == 0
        ):
            return None
        self._kept[pool] = kept
        return kept


def _empty(kept: _Kept, slots: Mapping[str, int], in_hand: InHand) -> str | None:
    """The kept pod if it has no work, or else another pod that became idle sooner."""
    pods = (kept.pod, *slots)
    return next((pod for pod in pods if slots[pod] and in_hand.load(pod) == 0), None)


def _dispatch(job: MediaJob, pod: str) -> Dispatch:
    return Dispatch(uid=job.uid, version=job.version, pod=pod, attempt=job.status.attempt + 1)


def _room(state: ClusterState, queue: str, running: Mapping[str, int]) -> int | None:
    """How many more jobs of a queue may run now; None if there is no limit."""
    share = state.share(queue)
    if share.paused:
        return 0
    return None if share.max_running is None else max(0, share.max_running - running[queue])


def _hands(
    state: ClusterState, pool: str, skip: AbstractSet[str], in_hand: InHand, *, alone_too: bool
) -> dict[str, Candidates[MediaJob]]:
    hands: dict[str, Candidates[MediaJob]] = {}
    for queue in state.pending.queues(pool):
        room = _room(state, queue, in_hand.running)
        if room != 0:
            items = _ready(state, pool, queue, skip, in_hand, alone_too=alone_too)
            hands[queue] = Candidates(weight=state.share(queue).weight, items=items, room=room)
    return hands


def wanted_slots(
    state: ClusterState, pool: str, in_hand: InHand, *, per_pod: int, most: int
) -> int:
    """Number of slots for all jobs that would run if slots were unlimited. A job that must run
    alone takes all slots of a pod. Counting stops at `most`, which the result may exceed slightly.
    """
    in_hand = in_hand.fork()
    found = 0
    for queue in state.pending.queues(pool):
        room = _room(state, queue, in_hand.running)
        ready = _ready(state, pool, queue, in_hand.uids, in_hand)
        for job in islice(ready, room):
            found += per_pod if alone(job) else 1
            if found >= most:
                return found
    return found


def _may_go(job: MediaJob, state: ClusterState) -> bool:
    """Whether a job is not held back and its rest is over."""
    return not (job.held_back or job.uid in state.resting)


def _ready(
    state: ClusterState,
    pool: str,
    queue: str,
    skip: AbstractSet[str],
    in_hand: InHand,
    *,
    alone_too: bool = True,
) -> Iterator[MediaJob]:
    """The jobs of a queue that may run now, in turn. Of duplicates this is only the first that is
    not being worked on; the others wait for it.
    """
    for first in state.pending.ready(pool, queue, alone_too=alone_too):
        uid: str | None = first
        if first in skip:
            uid = next((each for each in state.pending.behind(first) if each not in skip), None)
        if uid is None:
            continue
        job = state.jobs[uid]
        fingerprint = state.shared(job)
        if fingerprint is not None and in_hand.fetches(fingerprint):
            continue
        if state.is_refused(job):
            continue
        if fingerprint is not None:
            in_hand.foreseen.add(fingerprint)
        yield job


def _slots(state: ClusterState, clock: Clock, pool: str) -> dict[str, int]:
    """Pod → number of orders that it may get. A pod with a job that must run alone gets no second
    one.
    """
    return {
        pod.name: 0 if lonely(pod, state) else state.free(pod)
        for pod in state.pods_of(pool)
        if takes_orders(pod, clock)
    }


def lonely(pod: Pod, state: ClusterState) -> bool:
    """Whether a pod has a job that must run alone, reports one, or is being handed one."""
    there = chain(state.reserved.of(pod.name), pod.held)
    others = (state.jobs[uid] for uid, _ in there if uid in state.jobs)
    return any(alone(job) for job in chain(state.by_worker.get(pod.name, {}).values(), others))


def _choose(job: MediaJob, slots: Mapping[str, int], in_hand: InHand) -> str:
    """The pod with the most room; for a job that must run alone, the pod with the fewest jobs."""
    free = [name for name, count in slots.items() if count > 0]
    if alone(job):
        return min(free, key=lambda name: (in_hand.load(name), name))
    return max(free, key=lambda name: (slots[name], name))


def usable(pod: Pod, clock: Clock) -> bool:
    """Whether a pod works: it responds and accepts orders in general."""
    return (
        pod.phase is PodPhase.RUNNING
        and not pod.leaving
        and not pod.draining
        and not pod.mute
        and pod.heard_at is not None
        and not clock.silent(pod)
    )


def takes_orders(pod: Pod, clock: Clock) -> bool:
    """Whether a pod may get an order now: it did not just decline some, it was not told to drain,
    and orders can reach it.
    """
    return (
        usable(pod, clock)
        and pod.told_at is None
        and pod.rests_until <= clock.now
        and clock.listening_since is not None
    )


def next_wake(state: ClusterState, clock: Clock) -> float | None:
    """Seconds until the next resting job may run; None if no job rests."""
    at = state.resting.next_at()
    return None if at is None else max(0.0, at - clock.now)
