"""The picture of the cluster in memory: what the API server and the pods said last."""

import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from trawler_crds.media_job import TERMINAL, MediaJob, Phase
from trawler_crds.media_queue import MediaQueue, MediaQueueSpec
from trawler_crds.messages import Held, Presence, Stage
from trawler_crds.worker_pool import WorkerPool
from trawler_operator.ledger import Ledger
from trawler_operator.twins import Twins
from trawler_operator.waiting import DEFAULT, Waiting

LEASE_SECONDS: Final = 30.0
"""Without a presence for so long, a pod's jobs are lost."""

WAITS: Final = frozenset({Phase.PENDING, Phase.QUEUED, Phase.SUSPENDED})
"""Phases from which an attempt may begin."""

NEWEST_SHARE: Final = 0.1
"""How much the newest job counts in the average of how long one takes."""


class PodPhase(StrEnum):
    PENDING = "Pending"
    RUNNING = "Running"
    ENDED = "Ended"  # succeeded or failed: its containers will not start again


@dataclass(kw_only=True)
class Pod:
    """One worker pod: what the API server knows, and what it said itself."""

    name: str
    pool: str
    created: str = ""
    phase: PodPhase = PodPhase.PENDING
    leaving: bool = False
    """It has a deletion timestamp."""
    resource_version: int = 0
    template: str = ""
    """What it was made from (`pods.template`); a pod of an older one is replaced."""
    heard_at: float | None = None
    """Monotonic seconds of its last presence."""
    seen_at: float = 0.0
    """Monotonic seconds of when we first saw it."""
    idle_since: float | None = None
    """Monotonic seconds since when it has had nothing to do; None while it has."""
    sequence: int = 0
    free: int = 0
    taken: int = 0
    draining: bool = False
    mute: bool = False
    """It did not answer an order: it is given none until it is heard again."""
    held: dict[tuple[str, int], Held] = field(default_factory=dict)

    def hear(self, presence: Presence, now: float) -> None:
        """Take what it says, unless something later was heard already."""
        self.heard_at = now
        if presence.sequence < self.sequence:
            return
        self.mute = False
        self.sequence = presence.sequence
        self.free = presence.free
        self.taken = presence.taken
        self.draining = presence.draining
        self.held = {(held.uid, held.attempt): held for held in presence.held}
        if self.held or self.taken:
            self.idle_since = None
        elif self.idle_since is None:
            self.idle_since = now

    def accept(self, uid: str, attempt: int) -> None:
        """It took an order; until its next presence this is what we know of it."""
        self.idle_since = None
        self.held.setdefault(
            (uid, attempt),
            Held(uid=uid, attempt=attempt, stage=Stage.STARTING, age_seconds=0.0),
        )


@dataclass(frozen=True, kw_only=True)
class Clock:
    """When it is, and since when silence counts. Monotonic seconds, but for `wall` (Unix)."""

    now: float
    wall: float
    listening_since: float | None
    """Since when presences reach us (bus and leadership); None while they do not."""

    def silent(self, pod: Pod) -> bool:
        """Whether a pod's lease is over. Never judged while we could not have heard it."""
        if self.listening_since is None:
            return False
        last = max(self.listening_since, pod.heard_at or 0.0)
        return self.now - last > LEASE_SECONDS


def _version(seen: MediaJob | MediaQueue | WorkerPool) -> int:
    """An object's resourceVersion: the store's revision, so later sights have greater ones."""
    return int(seen.metadata.resource_version or 0)


class Board:
    """Jobs, pods, pools and queues by what was seen last. Older sights of an object change nothing."""

    def __init__(
        self, now: Callable[[], float] = time.monotonic, *, reuse_seconds: float = 3600.0
    ) -> None:
        self._now = now
        self.reuse_seconds = reuse_seconds
        """How old a stored result may be that answers a new job."""
        self.twins = Twins()
        self.jobs: dict[str, MediaJob] = {}
        self.pods: dict[str, Pod] = {}
        self.pools: dict[str, WorkerPool] = {}
        self.queues: dict[str, MediaQueue] = {}
        self.waiting = Waiting(self.queues.__contains__)
        self.ledger = Ledger()
        self.since: dict[str, float] = {}
        """Uid → when (monotonic) a job was first seen in the phase that it is in."""
        self.seconds_per_job: dict[str, float] = {}
        """Pool → how long a job takes there, on average over the last ones."""
        self.reserved: dict[tuple[str, int], str] = {}
        """Orders under way: (uid, attempt) → pod. Each takes a slot the pod did not count yet."""
        self.dirty: dict[str, None] = {}
        """Uids of jobs that changed since they were last decided on, in the order they did."""
        self.resting: dict[str, MediaJob] = {}
        """Queued jobs that failed before: each waits a while before it is tried again."""
        self.by_phase: dict[Phase, dict[str, MediaJob]] = {phase: {} for phase in Phase}
        self.on_change: Callable[[], None] = lambda: None
        self._gone: dict[str, int] = {}

    # what the API server says -------------------------------------------------------------

    def see_job(self, job: MediaJob, *, gone: bool = False) -> None:
        """One job as it is now."""
        known = self.jobs.get(job.uid)
        version = _version(job)
        if known is not None and version < _version(known):
            return
        if known is not None:
            self.by_phase[known.status.phase].pop(job.uid, None)
            self.resting.pop(job.uid, None)
        if gone or self._gone.get(job.uid, -1) >= version:
            self._gone[job.uid] = version
            if len(self._gone) > 10_000:
                self._gone.pop(next(iter(self._gone)))
            self.jobs.pop(job.uid, None)
            self.since.pop(job.uid, None)
            self.waiting.drop(job.uid)
            self.ledger.forget(job.uid)
            self.touch(self.twins.waiting(job))
            self.twins.forget(job.uid)
        else:
            self._place(job, known)
            self.jobs[job.uid] = job
            self.by_phase[job.status.phase][job.uid] = job
            if job.status.phase not in TERMINAL:
                self.touch([job.uid])
        self.on_change()

    def touch(self, uids: Iterable[str]) -> None:
        """Have jobs decided on in the next turn."""
        self.dirty.update(dict.fromkeys(uids))

    def knows(self, uid: str, version: str) -> bool:
        """Whether this very version of a job was seen already."""
        job = self.jobs.get(uid)
        return job is not None and job.version == version

    def _place(self, job: MediaJob, known: MediaJob | None) -> None:
        now = self._now()
        if known is None or known.status.phase is not job.status.phase:
            if known is not None and known.status.phase is Phase.RUNNING:
                self._took(job.spec.pool, now - self.since.get(job.uid, now))
            self.since[job.uid] = now
        if job.status.phase is Phase.QUEUED:
            self.waiting.put(job)
            if job.status.failures:
                self.resting[job.uid] = job
        else:
            self.waiting.drop(job.uid)
        self.ledger.see(job)
        self.twins.see(job)
        if job.status.phase in TERMINAL:
            self.touch(self.twins.waiting(job))

    def _took(self, pool: str, seconds: float) -> None:
        mean = self.seconds_per_job.get(pool, seconds)
        self.seconds_per_job[pool] = mean + NEWEST_SHARE * (seconds - mean)

    def see_queue(self, queue: MediaQueue, *, gone: bool = False) -> None:
        """One queue as it is now; jobs that name it move to its lane, or to the default one."""
        known = self.queues.get(queue.name)
        if known is not None and _version(queue) < _version(known):
            return
        if gone:
            self.queues.pop(queue.name, None)
        else:
            self.queues[queue.name] = queue
        if gone or known is None:
            for job in self.jobs.values():
                if job.spec.queue == queue.name:
                    self.waiting.move(job)
        self.on_change()

    def see_pod(self, pod: Pod, *, gone: bool = False) -> None:
        """One pod as the API server knows it; what the pod said itself stays."""
        known = self.pods.get(pod.name)
        if known is not None:
            if pod.resource_version < known.resource_version:
                return
            known.phase, known.leaving = pod.phase, pod.leaving
            known.resource_version = pod.resource_version
            known.created, known.pool = pod.created, pod.pool
        if gone:
            self.pods.pop(pod.name, None)
        elif known is None:
            pod.seen_at = pod.seen_at or self._now()
            self.pods[pod.name] = pod
        self.touch(self.by_phase[Phase.RUNNING])
        self.on_change()

    def see_pool(self, pool: WorkerPool, *, gone: bool = False) -> None:
        """One pool as it is now."""
        known = self.pools.get(pool.name)
        if known is not None and _version(pool) < _version(known):
            return
        if gone:
            self.pools.pop(pool.name, None)
        else:
            self.pools[pool.name] = pool
        self.on_change()

    def replace(
        self,
        jobs: Iterable[MediaJob],
        pods: Iterable[Pod],
        pools: Iterable[WorkerPool],
        queues: Iterable[MediaQueue],
    ) -> None:
        """A full list: what is not in it is gone (a watch may have missed that)."""
        seen_jobs = {job.uid: job for job in jobs}
        seen_pods = {pod.name: pod for pod in pods}
        seen_pools = {pool.name: pool for pool in pools}
        seen_queues = {queue.name: queue for queue in queues}
        for queue in [queue for name, queue in self.queues.items() if name not in seen_queues]:
            self.see_queue(queue, gone=True)
        for queue in seen_queues.values():
            self.see_queue(queue)
        for job in [job for uid, job in self.jobs.items() if uid not in seen_jobs]:
            self.see_job(job, gone=True)
        for pod in [pod for name, pod in self.pods.items() if name not in seen_pods]:
            self.see_pod(pod, gone=True)
        for pool in [pool for name, pool in self.pools.items() if name not in seen_pools]:
            self.see_pool(pool, gone=True)
        for job in seen_jobs.values():
            self.see_job(job)
        for seen in seen_pods.values():
            self.see_pod(seen)
        for known in seen_pools.values():
            self.see_pool(known)

    # what the pods say --------------------------------------------------------------------

    def hear(self, name: str, presence: Presence, now: float) -> bool:
        """A pod's presence; False where the API server does not know such a pod (yet)."""
        pod = self.pods.get(name)
        if pod is None:
            return False
        pod.hear(presence, now)
        running = self.by_phase[Phase.RUNNING]
        self.touch(uid for uid, job in running.items() if job.status.worker == name)
        self.on_change()
        return True

    # queues -------------------------------------------------------------------------------

    def share(self, queue: str) -> MediaQueueSpec:
        """What a queue may use; one that nobody declared may use what is left."""
        known = self.queues.get(queue)
        return known.spec if known is not None else MediaQueueSpec()

    def running(self) -> Counter[str]:
        """Queue → jobs that run, or are being handed to a pod."""
        found = Counter(self.waiting.queue_of(job) for job in self.by_phase[Phase.RUNNING].values())
        handed = (job for uid, _ in self.reserved if (job := self.jobs.get(uid)) is not None)
        found.update(self.waiting.queue_of(j) for j in handed if j.status.phase in WAITS)
        return found

    def day_bytes(self, queue: str, day: str) -> int:
        """Bytes of a day that a queue stored, or that its jobs may still store."""
        return self.stored_bytes(queue, day) + self._lane_sum(queue, self.ledger.reserved(day))

    def stored_bytes(self, queue: str, day: str) -> int:
        """Bytes of a day that a queue stored."""
        return self._lane_sum(queue, self.ledger.settled(day))

    def _lane_sum(self, queue: str, sums: Counter[str]) -> int:
        """Of one queue; for the default one, of every queue that nobody declared."""
        if queue != DEFAULT:
            return sums[queue]
        return sum(
            size for name, size in sums.items() if name == DEFAULT or name not in self.queues
        )

    # orders under way -----------------------------------------------------------------------

    @contextmanager
    def reserving(self, uid: str, attempt: int, pod: str) -> Iterator[None]:
        """A slot of a pod is promised to an order for as long as it is under way."""
        self.reserved[uid, attempt] = pod
        try:
            yield
        finally:
            self.reserved.pop((uid, attempt), None)

    def free(self, pod: Pod) -> int:
        """Slots of a pod that neither it nor an order under way has taken."""
        waiting = sum(
            1 for key, name in self.reserved.items() if name == pod.name and key not in pod.held
        )
        return max(0, pod.free - waiting)

    def load(self, pod: Pod) -> int:
        """Jobs that a pod has, orders under way included."""
        under_way = {key for key, name in self.reserved.items() if name == pod.name}
        return max(pod.taken, len(pod.held.keys() | under_way))

    def handing(self, job: MediaJob) -> bool:
        """Whether its next attempt is being handed to a pod."""
        return (job.uid, job.status.attempt + 1) in self.reserved

    def ordered(self, pod: str, *, free: int, sequence: int) -> None:
        """A pod accepted or refused an order and told what room is left."""
        known = self.pods.get(pod)
        if known is not None and sequence >= known.sequence:
            known.free, known.sequence = free, sequence
        self.on_change()

    def unanswered(self, pod: str) -> None:
        """A pod did not answer an order. It may be gone, though nobody has said so yet: without
        this a job would be offered to it again and again, each time as another attempt.
        """
        known = self.pods.get(pod)
        if known is not None:
            known.mute = True

    def settled(self, pod: str, uid: str, attempt: int) -> None:
        """A pod's result was recorded: it lets go of the attempt before it says so."""
        known = self.pods.get(pod)
        if known is not None:
            known.held.pop((uid, attempt), None)
