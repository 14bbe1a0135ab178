"""Keeps the state of the cluster in memory: the latest from the API server and from the pods."""

import math
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final

from trawler_common.pauses import grown
from trawler_common.replica import Replica
from trawler_crds.failures import FailureReason
from trawler_crds.media_job import TERMINAL, EngineAttempt, MediaJob, Phase, Reuse
from trawler_crds.media_queue import MediaQueue, MediaQueueSpec
from trawler_crds.messages import Held, Presence, Stage
from trawler_crds.worker_pool import WorkerPool
from trawler_operator.formatting import site
from trawler_operator.state.breakers import FAILURES, Breakers
from trawler_operator.state.duplicates import DuplicateIndex
from trawler_operator.state.finished import FinishedJobs, condense, keep_until
from trawler_operator.state.pending import PendingQueues, turn
from trawler_operator.state.reservations import Reservations
from trawler_operator.state.resting import FIRST_REST, LONGEST_REST, Resting, not_before, wait
from trawler_operator.state.usage import DailyUsage

LEASE_SECONDS: Final = 30.0
"""Seconds without a presence message after which a pod's jobs are lost."""

WAITS: Final = frozenset({Phase.PENDING, Phase.QUEUED, Phase.SUSPENDED})
"""Phases from which an attempt may start."""

TOLD: Final = 10.0
"""Seconds after which a pod that still accepts orders counts as not having received the message to
drain. What it reports sooner may have been on its way already. It sends a presence message every
five seconds.
"""

PROVED: Final = 15.0
"""Seconds over which a pod must be heard before its start counts as successful."""
NEWEST_SHARE: Final = 0.1
"""Weight of the newest job in the moving average of job durations."""


UNSCHEDULABLE: Final = "Unschedulable"
"""Prefix of `Pod.trouble` for a pod that waits for room on a node."""


class PodPhase(StrEnum):
    PENDING = "Pending"
    RUNNING = "Running"
    ENDED = "Ended"  # Succeeded or Failed: its containers do not start again


@dataclass(kw_only=True)
class Pod:
    """One worker pod: its state from the API server and from its own presence messages."""

    name: str
    pool: str
    created: str = ""
    phase: PodPhase = PodPhase.PENDING
    leaving: bool = False
    """Whether it has a deletion timestamp."""
    resource_version: int = 0
    template: str = ""
    """Hash of the template that it was created from (`pod_manifest.template`). A pod of an older
    template is replaced.
    """
    heard_at: float | None = None
    """When its last presence message arrived, in monotonic seconds; None if it was never heard."""
    first_heard_at: float | None = None
    seen_at: float = 0.0
    """When we first saw it, in monotonic seconds."""
    idle_since: float | None = None
    """Since when it has had no work, in monotonic seconds; None while it has some."""
    sequence: int = 0
    free: int = 0
    taken: int = 0
    draining: bool = False
    told_at: float | None = None
    """When it was told to drain, in monotonic seconds, while it may still do so. It gets no orders,
    and no other pod is told to drain in its place.
    """
    mute: bool = False
    """Whether it left an order unanswered. It gets no orders until it is heard again."""
    declined: int = 0
    """Consecutive orders that it declined although it reported room."""
    rests_until: float = 0.0
    """Monotonic seconds until which it gets no orders, because it declined some."""
    trouble: str = ""
    """Why it does not start, in the words of its scheduler or of its containers; empty: nothing is
    known.
    """
    ready_once: bool = False
    """Whether it has worked: it was heard over some time, or finished a job."""
    held: dict[tuple[str, int], Held] = field(default_factory=dict)

    def hear(self, presence: Presence, now: float) -> None:
        """Apply a presence message. Its contents are ignored if a later one was heard already."""
        if self.first_heard_at is None:
            self.first_heard_at = now
        self.ready_once = self.ready_once or now - self.first_heard_at >= PROVED
        self.heard_at = now
        if presence.sequence < self.sequence:
            return
        self.mute = False
        self.sequence = presence.sequence
        self.free = presence.free
        self.taken = presence.taken
        self.draining = presence.draining
        if self.draining or (self.told_at is not None and now - self.told_at > TOLD):
            self.told_at = None
        self.held = {(held.uid, held.attempt): held for held in presence.held}
        if self.held or self.taken:
            self.idle_since = None
        elif self.idle_since is None:
            self.idle_since = now

    def decline(self, now: float) -> None:
        """Record that the pod declined an order although it reported room. It is left alone for
        longer each time.
        """
        self.declined += 1
        self.rests_until = now + grown(FIRST_REST, LONGEST_REST, self.declined - 1)

    def accept(self, uid: str, attempt: int) -> None:
        """Record that the pod accepted an order. This is all we know until its next presence
        message.
        """
        self.idle_since = None
        self.declined = 0
        self.held.setdefault(
            (uid, attempt),
            Held(uid=uid, attempt=attempt, stage=Stage.STARTING, age_seconds=0.0),
        )


@dataclass(frozen=True, kw_only=True)
class Clock:
    """The current time, and since when silence counts. Monotonic seconds, except `wall` (Unix)."""

    now: float
    wall: float
    listening_since: float | None
    """Since when presence messages reach us, which requires the bus and leadership; None while they
    do not.
    """

    def silent(self, pod: Pod) -> bool:
        """Whether a pod's lease is over. Always False while we could not have heard the pod."""
        if self.listening_since is None:
            return False
        last = max(self.listening_since, pod.heard_at or 0.0)
        return self.now - last > LEASE_SECONDS


def _version(seen: MediaJob | MediaQueue | WorkerPool) -> int:
    """An object's resourceVersion as a number. It is the store's revision, so it grows with every
    change.
    """
    return int(seen.metadata.resource_version or 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Unreadable:
    """A MediaJob that this version of the operator cannot process."""

    uid: str
    name: str
    version: int
    ended: bool
    why: str
    """The cause, for the log. People get a fixed sentence instead."""
    understood: bool = False
    """Whether at least its fields could be read. If not, we do not know which objects it names."""
    keep_until: float = math.inf
    """Unix seconds after which it is deleted. Infinity if it has not ended, or if its expiry cannot
    be read.
    """


@dataclass(frozen=True, slots=True, kw_only=True)
class NotUnderstood:
    """A MediaQueue or WorkerPool that this version of the operator cannot read."""

    kind: str
    name: str
    uid: str
    version: int
    marked: bool = False
    """Whether its conditions say so already."""
    others: tuple[Mapping[str, Any], ...] = ()
    """Its other conditions, as others wrote them."""


class ClusterState:
    """Jobs, pods, pools and queues at their newest known versions. An older version of an object
    changes nothing.
    """

    def __init__(
        self,
        now: Callable[[], float],
        *,
        reuse_seconds: float = 3600.0,
        refusals: int = FAILURES,
    ) -> None:
        self._now = now
        self.reuse_seconds = reuse_seconds
        """Maximum age in seconds of a stored result that answers a new job."""
        self.duplicates = DuplicateIndex()
        self.jobs: dict[str, MediaJob] = {}
        """Uid → job, for all jobs that have not ended."""
        self.finished = FinishedJobs()
        self.unreadable: dict[str, Unreadable] = {}
        """Uid → MediaJob that the operator cannot process."""
        self.to_end: dict[str, Unreadable] = {}
        """Uid → unreadable MediaJob that has not ended yet."""
        self.not_understood: dict[tuple[str, str], NotUnderstood] = {}
        """Kind and name → queue or pool that is left alone."""
        self.pods: dict[str, Pod] = {}
        self._by_pool: dict[str, dict[str, Pod]] = {}
        self.pools: dict[str, WorkerPool] = {}
        self.queues: dict[str, MediaQueue] = {}
        self.pending = PendingQueues(self.queues.__contains__)
        self.usage = DailyUsage(self.queues.__contains__)
        # uid → when (monotonic seconds) a job was first seen in its current phase
        self.since: dict[str, float] = {}
        self.waited: dict[str, float] = {}
        """Uid → seconds of earlier waits in the queue, since the job was admitted or last failed.
        """
        self.returned: dict[str, int] = {}
        """Uid → how often in a row the job returned to the queue without a failure."""
        self.seconds_per_job: dict[str, float] = {}
        """Pool → average seconds that a job takes there, weighted towards the latest jobs."""
        self.reserved = Reservations()
        """Orders under way: (uid, attempt) → pod. Each takes a slot that the pod does not count
        yet.
        """
        self.dirty: dict[str, None] = {}
        """Uids of jobs that changed since they were last decided on, in order of change."""
        self.breakers = Breakers(refusals)
        self.resting = Resting()
        """Queued jobs that are not tried for now."""
        self.by_phase: dict[Phase, dict[str, MediaJob]] = {
            phase: {} for phase in Phase if phase not in TERMINAL
        }
        self.by_worker: dict[str, dict[str, MediaJob]] = {}
        """Pod → jobs that run there according to their status."""
        self.lost_with: dict[str, dict[str, MediaJob]] = {}
        """Pod that went away → jobs that ran in it and are queued again."""
        self.on_change: Callable[[], None] = lambda: None
        self._by_queue: dict[str, dict[str, MediaJob]] = {}
        """Queue as named in the spec → jobs that have not ended."""
        self._running: Counter[str] = Counter()
        """Queue whose share is used → number of running jobs."""
        self._fetched: Counter[str] = Counter()
        """Fingerprint → number of running jobs that share what they fetch."""
        self.job_sights = Replica[MediaJob | Unreadable](self._put_job, self._drop_job, now)
        self.pod_sights = Replica[Pod](self._put_pod, self._drop_pod, now)
        self.pool_sights = Replica[WorkerPool | NotUnderstood](self._put_pool, self._drop_pool, now)
        self.queue_sights = Replica[MediaQueue | NotUnderstood](
            self._put_queue, self._drop_queue, now
        )

    # from the API server ------------------------------------------------------------------

    def see_job(
        self, job: MediaJob | Unreadable, *, gone: bool = False, as_of: int | None = None
    ) -> None:
        """Record a job at its version. `as_of`: a list shows that the job still existed at this
        version.
        """
        version = job.version if isinstance(job, Unreadable) else _version(job)
        if gone:
            self.job_sights.lose(job.uid, version)
        else:
            self.job_sights.see(job.uid, version, job, as_of=as_of)
        self.on_change()

    def touch(self, uids: Iterable[str]) -> None:
        """Mark jobs for a decision in the next turn."""
        self.dirty.update(dict.fromkeys(uids))

    def _put_job(self, uid: str, job: MediaJob | Unreadable) -> None:
        if isinstance(job, MediaJob):
            try:
                self._place(job)
                self.unreadable.pop(uid, None)
                self.to_end.pop(uid, None)
                return
            except Exception as error:  # noqa: BLE001 - whatever it is, it is about this job alone
                job = _unreadable(job, repr(error))
        self._drop_job(uid)
        self._keep_unreadable(job)

    def set_aside(self, uid: str, why: str) -> None:
        """Set aside a job that a step cannot process. It is only ended, and blocks no other job."""
        job = self.jobs.get(uid)
        if job is not None:
            self._drop_job(uid)
            self._keep_unreadable(_unreadable(job, why))

    def _keep_unreadable(self, job: Unreadable) -> None:
        self.unreadable[job.uid] = job
        if not job.ended:
            self.to_end[job.uid] = job

    def _drop_job(self, uid: str) -> None:
        self.unreadable.pop(uid, None)
        self.to_end.pop(uid, None)
        fingerprint = self.duplicates.known(uid)
        waiting = self.duplicates.waiting(fingerprint) if fingerprint is not None else []
        self._leave(uid)
        self.touch(each for each in waiting if each != uid)
        finished = self.finished.drop(uid)
        if finished is not None:
            self.duplicates.forget(finished)

    def _place(self, job: MediaJob) -> None:
        if job.status.phase in TERMINAL:
            self._place_finished(job)
            return
        known = self.jobs.get(job.uid)
        (
            turn(job),
            self.duplicates.fingerprint(job),
            not_before(job),
        )  # before anything changes: these may raise
        if known is not None:
            self._unindex(known)
        if known is None or known.status.phase is not job.status.phase:
            self._enter_phase(job, known)
        if job.status.phase is Phase.QUEUED:
            self._queue(job)
        elif self._stays_let_in(job):
            self.pending.enter(job, fingerprint=self.shared(job))
        else:
            self.pending.drop(job.uid)
        self.usage.see(job)
        self.duplicates.see(job)
        self._index(job)
        self.touch([job.uid])

    def _stays_let_in(self, job: MediaJob) -> bool:
        """Whether a job was admitted already and something else about it changed. It is not judged
        again.
        """
        new = job.status.phase in {Phase.PENDING, Phase.SUSPENDED} and not job.status.queued_time
        return new and not job.held_back and job.uid in self.pending.let_in()

    def _queue(self, job: MediaJob) -> None:
        until = self.since[job.uid] + wait(job, self.returned.get(job.uid, 0))
        rests, fingerprint = until > self._now(), self.shared(job)
        if rests:
            self.resting.put(job.uid, until, fingerprint)
        self.pending.put(job, fingerprint=fingerprint, aside=rests or job.held_back)

    def shared(self, job: MediaJob) -> str | None:
        """The fingerprint of what a job fetches for its duplicates too; None if it fetches only for
        itself.
        """
        return self.duplicates.fingerprint(job) if job.spec.reuse is Reuse.ALWAYS else None

    def wake(self, now: float) -> None:
        """Offer jobs to the scheduler again whose rest is over at `now` (monotonic seconds)."""
        for uid in self.resting.wake(now):
            self.breakers.forget(uid)
            self.offer(uid)

    def is_refused(self, job: MediaJob) -> bool:
        """Whether the job's site must not be used now. The job then rests until the site can be
        used (`rest_refused`), and its slot goes to another job.
        """
        if not self.refuses(job):
            return False
        self.breakers.hold(site(job), job.uid)
        return True

    def rest_refused(self) -> None:
        """Let jobs that were passed over because of their site rest until the site can be used."""
        for uid in self.breakers.newly_held():
            job = self.jobs.get(uid)
            until = self._refused_until(job) if job is not None else 0.0
            if job is not None and uid not in self.resting and until > self._now():
                self.resting.put(uid, until, self.shared(job))
                self.pending.step_aside(uid)

    def _refused_until(self, job: MediaJob) -> float:
        return self.breakers.closed_until(site(job), self._now(), job.spec.engines)

    def refuses(self, job: MediaJob) -> bool:
        """Whether the job's site refuses us now. Changes nothing."""
        return bool(self.breakers) and self._refused_until(job) > self._now()

    def sent_to_site(self, job: MediaJob) -> None:
        """Record that a job is sent to a pod. If its site is due for a probe, it is the probe."""
        if self.breakers:
            self.breakers.forget(job.uid)
            self.breakers.probe(site(job), job.uid, self._now())

    def heard_of_site(
        self, job: MediaJob, attempts: list[EngineAttempt], retry_after: float | None
    ) -> None:
        """Record the outcomes of a job's engine attempts at its site. If the site can be used
        again, jobs that waited for it are offered to the scheduler.
        """
        where, now = site(job), self._now()
        if self.breakers.record(where, job.uid, attempts, now, retry_after=retry_after):
            for uid in self.breakers.release(where):
                self.resting.drop(uid)
                self.offer(uid)

    def withhold(self, uid: str) -> None:
        """Hide a waiting job from the scheduler while something else is done about it."""
        self.pending.step_aside(uid)

    def offer(self, uid: str) -> None:
        """Offer a waiting job to the scheduler, unless it rests or is held back."""
        job = self.jobs.get(uid)
        if job is not None and not job.held_back and uid not in self.resting:
            self.pending.come_back(uid)

    def _place_finished(self, job: MediaJob) -> None:
        """Record a job that has ended. The first time, it is removed from all active tables."""
        shared = job.spec.reuse is not Reuse.NEVER
        if job.uid not in self.finished:
            waiting = self.duplicates.waiting(self.duplicates.fingerprint(job))
            fingerprint = self.duplicates.fingerprint(job) if shared else None
            condensed = condense(job, fingerprint)
            known = self.jobs.get(job.uid)
            if known is not None and known.status.phase is Phase.RUNNING:
                self._took(job.spec.pool, self._now() - self.since.get(job.uid, self._now()))
            self.usage.settle(job)
            self._leave(job.uid)
            self.touch(uid for uid in waiting if uid != job.uid)
        else:
            before = self.finished.get(job.uid)
            condensed = condense(job, before.fingerprint if before is not None else None)
        self.finished.put(condensed)
        self.duplicates.finish(condensed)

    def _enter_phase(self, job: MediaJob, known: MediaJob | None) -> None:
        """Restart the clocks of a job that enters a new phase. The time in the queue continues if
        the job came back without a failure.
        """
        now = self._now()
        before = now - self.since.get(job.uid, now)
        if known is not None and known.status.phase is Phase.QUEUED:
            self.waited[job.uid] = self.waited.get(job.uid, 0.0) + before
        if known is not None and known.status.phase is Phase.RUNNING:
            self._took(job.spec.pool, before)
        failed = known is not None and job.status.failures > known.status.failures
        if failed or job.status.phase is Phase.SUSPENDED:
            self.waited.pop(job.uid, None)
            self.returned.pop(job.uid, None)
        elif (
            known is not None
            and known.status.phase is Phase.RUNNING
            and job.status.phase is Phase.QUEUED
        ):
            worked = before >= PROVED  # then this job is not the cause
            self.returned[job.uid] = 1 if worked else self.returned.get(job.uid, 0) + 1
        self.since[job.uid] = now

    def _index(self, job: MediaJob) -> None:
        uid, phase = job.uid, job.status.phase
        self.jobs[uid] = job
        self.by_phase[phase][uid] = job
        self._by_queue.setdefault(job.spec.queue, {})[uid] = job
        if phase is Phase.QUEUED and job.status.reason is FailureReason.WORKER_LOST:
            self.lost_with.setdefault(job.status.worker or "", {})[uid] = job
        if phase is Phase.RUNNING:
            self.by_worker.setdefault(job.status.worker or "", {})[uid] = job
            self._running[self.pending.queue_of(job)] += 1
            if job.spec.reuse is Reuse.ALWAYS:
                self._fetched[self.duplicates.fingerprint(job)] += 1

    def _unindex(self, job: MediaJob) -> None:
        uid, phase = job.uid, job.status.phase
        if self.by_phase[phase].pop(uid, None) is None:
            return
        self.resting.drop(uid)
        self.breakers.forget(uid)  # or its own rest would count as the site's
        _pop(self._by_queue, job.spec.queue, uid)
        _pop(self.lost_with, job.status.worker or "", uid)
        if phase is Phase.RUNNING:
            _pop(self.by_worker, job.status.worker or "", uid)
            _less(self._running, self.pending.queue_of(job))
            if job.spec.reuse is Reuse.ALWAYS:
                _less(self._fetched, self.duplicates.fingerprint(job))

    def _leave(self, uid: str) -> None:
        """Remove a job that ended, is gone or could not be placed from all active tables."""
        job = self.jobs.pop(uid, None)
        if job is not None:
            self._unindex(job)
        self.resting.drop(uid)
        for table in (self.since, self.waited, self.returned, self.dirty):
            table.pop(uid, None)
        self.pending.drop(uid)
        self.usage.leave(uid)
        self.duplicates.leave(uid)

    def _took(self, pool: str, seconds: float) -> None:
        mean = self.seconds_per_job.get(pool, seconds)
        self.seconds_per_job[pool] = mean + NEWEST_SHARE * (seconds - mean)

    def see_queue(
        self, queue: MediaQueue | NotUnderstood, *, gone: bool = False, as_of: int | None = None
    ) -> None:
        """Record a queue at its version."""
        version = queue.version if isinstance(queue, NotUnderstood) else _version(queue)
        if gone:
            self.queue_sights.lose(queue.name, version)
        else:
            self.queue_sights.see(queue.name, version, queue, as_of=as_of)
        self.on_change()

    def _put_queue(self, name: str, queue: MediaQueue | NotUnderstood) -> None:
        if isinstance(queue, NotUnderstood):
            self._drop_queue(name)
            self.not_understood["MediaQueue", name] = queue
            return
        self.not_understood.pop(("MediaQueue", name), None)
        known = name in self.queues
        if not known:
            self._declare(name, lambda: self.queues.__setitem__(name, queue), declared=True)
        self.queues[name] = queue

    def _drop_queue(self, name: str) -> None:
        self.not_understood.pop(("MediaQueue", name), None)
        if name in self.queues:
            self._declare(name, lambda: self.queues.__delitem__(name), declared=False)

    def _declare(self, name: str, change: Callable[[], None], *, declared: bool) -> None:
        """Declare a queue or revoke it. Jobs that name the queue move to its lane, or to the
        default one.
        """
        mine = self._by_queue.get(name, {})
        running = [job for job in mine.values() if job.status.phase is Phase.RUNNING]
        for job in running:
            _less(self._running, self.pending.queue_of(job))
        change()
        for job in running:
            self._running[self.pending.queue_of(job)] += 1
        self.usage.move(name, declared=declared)
        for job in mine.values():
            self.pending.move(job)

    def see_pod(self, pod: Pod, *, gone: bool = False, as_of: int | None = None) -> None:
        """Record a pod as the API server knows it. What its presence messages said is kept."""
        if gone:
            self.pod_sights.lose(pod.name, pod.resource_version)
        else:
            self.pod_sights.see(pod.name, pod.resource_version, pod, as_of=as_of)
        self.on_change()

    def _put_pod(self, name: str, pod: Pod) -> None:
        known = self.pods.get(name)
        if known is None:
            pod.seen_at = pod.seen_at or self._now()
            self.pods[name] = known = pod
        elif known is not pod:
            self._leave_pool(known)
            known.phase, known.leaving = pod.phase, pod.leaving
            known.resource_version = pod.resource_version
            known.created, known.pool, known.trouble = pod.created, pod.pool, pod.trouble
        self._by_pool.setdefault(known.pool, {})[name] = known
        self.touch(self.by_worker.get(name, ()))

    def _drop_pod(self, name: str) -> None:
        known = self.pods.pop(name, None)
        if known is not None:
            self._leave_pool(known)
        self.touch(self.by_worker.get(name, ()))

    def _leave_pool(self, pod: Pod) -> None:
        mates = self._by_pool.get(pod.pool, {})
        mates.pop(pod.name, None)
        if not mates:
            self._by_pool.pop(pod.pool, None)

    def pods_of(self, pool: str) -> Collection[Pod]:
        """The pods that were created for a pool."""
        return self._by_pool.get(pool, {}).values()

    def see_pool(self, pool: WorkerPool | NotUnderstood, *, gone: bool = False) -> None:
        """Record a pool at its version."""
        version = pool.version if isinstance(pool, NotUnderstood) else _version(pool)
        if gone:
            self.pool_sights.lose(pool.name, version)
        else:
            self.pool_sights.see(pool.name, version, pool)
        self.on_change()

    def _put_pool(self, name: str, pool: WorkerPool | NotUnderstood) -> None:
        self._drop_pool(name)
        if isinstance(pool, NotUnderstood):
            self.not_understood["WorkerPool", name] = pool
        else:
            self.pools[name] = pool

    def _drop_pool(self, name: str) -> None:
        self.not_understood.pop(("WorkerPool", name), None)
        self.pools.pop(name, None)

    # from the pods ------------------------------------------------------------------------

    def hear(self, name: str, presence: Presence, now: float) -> bool:
        """Apply a pod's presence message. Returns False if the API server does not know the pod
        (yet).
        """
        pod = self.pods.get(name)
        if pod is None:
            return False
        pod.hear(presence, now)
        self.touch(self.by_worker.get(name, ()))
        self.on_change()
        return True

    # queues -------------------------------------------------------------------------------

    def share(self, queue: str) -> MediaQueueSpec:
        """What a queue may use. An undeclared queue gets the default spec."""
        known = self.queues.get(queue)
        return known.spec if known is not None else MediaQueueSpec()

    def running(self) -> Counter[str]:
        """Queue → number of jobs that run, or are being handed to a pod."""
        found = self._running.copy()
        found.update(self._handed())
        return found

    def running_in(self, queue: str) -> int:
        """Number of jobs of a queue that run, or are being handed to a pod."""
        return self._running[queue] + sum(handed == queue for handed in self._handed())

    def _handed(self) -> Iterator[str]:
        """The queue of each job that is being handed to a pod and does not run yet."""
        for uid, _ in self.reserved:
            job = self.jobs.get(uid)
            if job is not None and job.status.phase in WAITS:
                yield self.pending.queue_of(job)

    def fetched(self) -> AbstractSet[str]:
        """Fingerprints that running jobs fetch for their duplicates too."""
        return self._fetched.keys()

    # orders under way -----------------------------------------------------------------------

    @contextmanager
    def reserving(self, uid: str, attempt: int, pod: str) -> Iterator[None]:
        """Reserve a slot of a pod for an order while the order is under way."""
        self.reserved[uid, attempt] = pod
        try:
            yield
        finally:
            self.reserved.pop((uid, attempt), None)

    def free(self, pod: Pod) -> int:
        """Number of slots of a pod that neither the pod nor an order under way has taken."""
        waiting = sum(1 for key in self.reserved.of(pod.name) if key not in pod.held)
        return max(0, pod.free - waiting)

    def load(self, pod: Pod) -> int:
        """Number of jobs that a pod has, by its own report and by the jobs' status, including
        orders under way.
        """
        running = self.by_worker.get(pod.name, {})
        theirs = {(uid, job.status.attempt) for uid, job in running.items()}
        return max(pod.taken, len(pod.held.keys() | self.reserved.of(pod.name) | theirs))

    def handing(self, job: MediaJob) -> bool:
        """Whether the job's next attempt is being handed to a pod."""
        return (job.uid, job.status.attempt + 1) in self.reserved

    def ordered(self, pod: str, *, free: int, sequence: int) -> None:
        """Record a pod's answer to an order: how much room is left."""
        known = self.pods.get(pod)
        if known is not None and sequence >= known.sequence:
            known.free, known.sequence = free, sequence
        self.on_change()

    def declined(self, pod: str, *, answered: bool) -> None:
        """Record that a pod declined an order although it reported room, or did not answer at all.
        It may be gone without any report of that yet. Without this record, a job would be offered
        to it again and again, each time as another attempt.
        """
        known = self.pods.get(pod)
        if known is None:
            return
        known.mute = known.mute or not answered
        if not answered or known.free > 0:
            known.decline(self._now())

    def settled(self, pod: str, uid: str, attempt: int) -> None:
        """Record that a pod's result was stored in the job's status. The pod lets go of the attempt
        before its presence messages show it.
        """
        known = self.pods.get(pod)
        if known is not None:
            known.held.pop((uid, attempt), None)
            known.ready_once = True


def _unreadable(job: MediaJob, why: str) -> Unreadable:
    return Unreadable(
        uid=job.uid,
        name=job.name,
        version=_version(job),
        ended=job.status.phase in TERMINAL,
        why=why,
        understood=True,
        keep_until=_kept(job),
    )


def _kept(job: MediaJob) -> float:
    try:
        return keep_until(job) if job.status.phase in TERMINAL else math.inf
    except Exception:  # noqa: BLE001 - it is set aside because something about it raises
        return math.inf


def _pop(table: dict[str, dict[str, MediaJob]], key: str, uid: str) -> None:
    jobs = table.get(key)
    if jobs is not None:
        jobs.pop(uid, None)
        if not jobs:
            del table[key]


def _less(counter: Counter[str], key: str) -> None:
    counter[key] -= 1
    if counter[key] <= 0:
        del counter[key]
