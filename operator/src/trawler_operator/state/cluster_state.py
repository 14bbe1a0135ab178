"""The picture of the cluster in memory: what the API server and the pods said last."""

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
"""Without a presence for so long, a pod's jobs are lost."""

WAITS: Final = frozenset({Phase.PENDING, Phase.QUEUED, Phase.SUSPENDED})
"""Phases from which an attempt may begin."""

TOLD: Final = 10.0
"""Seconds after which a pod that goes on as before was not told to take no more: what it says
sooner may have been on its way. It speaks every five.
"""

PROVED: Final = 15.0
"""Seconds over which a pod has to be heard before its start counts as a good one."""
NEWEST_SHARE: Final = 0.1
"""How much the newest job counts in the average of how long one takes."""


UNSCHEDULABLE: Final = "Unschedulable"
"""How the trouble of a pod begins that waits for room on a node."""


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
    first_heard_at: float | None = None
    seen_at: float = 0.0
    """Monotonic seconds of when we first saw it."""
    idle_since: float | None = None
    """Monotonic seconds since when it has had nothing to do; None while it has."""
    sequence: int = 0
    free: int = 0
    taken: int = 0
    draining: bool = False
    told_at: float | None = None
    """Monotonic seconds of when it was told to take no more, while it may still do so: it is given
    nothing, and no other is told in its place.
    """
    mute: bool = False
    """It did not answer an order: it is given none until it is heard again."""
    declined: int = 0
    """Orders in a row that it did not take though it claimed room."""
    rests_until: float = 0.0
    """Monotonic seconds; until then it is given no order, because it declined some."""
    trouble: str = ""
    """Why it does not start, in the words of its scheduler or of its containers; empty: nothing
    known.
    """
    ready_once: bool = False
    """It worked: it was heard over some time, or finished a job."""
    held: dict[tuple[str, int], Held] = field(default_factory=dict)

    def hear(self, presence: Presence, now: float) -> None:
        """Take what it says, unless something later was heard already."""
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
        """It did not take an order though it claimed room: it is left alone for longer each
        time.
        """
        self.declined += 1
        self.rests_until = now + grown(FIRST_REST, LONGEST_REST, self.declined - 1)

    def accept(self, uid: str, attempt: int) -> None:
        """It took an order; until its next presence this is what we know of it."""
        self.idle_since = None
        self.declined = 0
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Unreadable:
    """A MediaJob that this version of the operator cannot take."""

    uid: str
    name: str
    version: int
    ended: bool
    why: str
    """For the log; a person is told a sentence of ours."""
    understood: bool = False
    """Whether at least its fields were read; else nobody knows which objects it names."""
    keep_until: float = math.inf
    """Unix seconds; then it is deleted. Never where it has not ended, or nobody can read until
    when.
    """


@dataclass(frozen=True, slots=True, kw_only=True)
class NotUnderstood:
    """A MediaQueue or WorkerPool that this version of the operator cannot read."""

    kind: str
    name: str
    uid: str
    version: int
    marked: bool = False
    """Whether it says so already."""
    others: tuple[Mapping[str, Any], ...] = ()
    """What else its conditions say, as others wrote it."""


class ClusterState:
    """Jobs, pods, pools and queues by their newest sights. Older sights of an object change
    nothing.
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
        """How old a stored result may be that answers a new job."""
        self.duplicates = DuplicateIndex()
        self.jobs: dict[str, MediaJob] = {}
        """Uid → job, of those that have not ended."""
        self.finished = FinishedJobs()
        self.unreadable: dict[str, Unreadable] = {}
        """Uid → MediaJob that no step can take."""
        self.to_end: dict[str, Unreadable] = {}
        """Those of them that have not ended yet."""
        self.not_understood: dict[tuple[str, str], NotUnderstood] = {}
        """Kind and name → queue or pool that is left alone."""
        self.pods: dict[str, Pod] = {}
        self._by_pool: dict[str, dict[str, Pod]] = {}
        self.pools: dict[str, WorkerPool] = {}
        self.queues: dict[str, MediaQueue] = {}
        self.pending = PendingQueues(self.queues.__contains__)
        self.usage = DailyUsage(self.queues.__contains__)
        # uid → when (monotonic) a job was first seen in the phase that it is in
        self.since: dict[str, float] = {}
        self.waited: dict[str, float] = {}
        """Uid → seconds that a job waited in the queue before, since it was let in or failed last.
        """
        self.returned: dict[str, int] = {}
        """Uid → how often in a row it came back to the queue at no cost."""
        self.seconds_per_job: dict[str, float] = {}
        """Pool → how long a job takes there, on average over the last ones."""
        self.reserved = Reservations()
        """Orders under way: (uid, attempt) → pod. Each takes a slot the pod did not count yet."""
        self.dirty: dict[str, None] = {}
        """Uids of jobs that changed since they were last decided on, in the order they did."""
        self.breakers = Breakers(refusals)
        self.resting = Resting()
        """Queued jobs that are left alone for now."""
        self.by_phase: dict[Phase, dict[str, MediaJob]] = {
            phase: {} for phase in Phase if phase not in TERMINAL
        }
        self.by_worker: dict[str, dict[str, MediaJob]] = {}
        """Pod → what runs there, by the jobs' own account."""
        self.lost_with: dict[str, dict[str, MediaJob]] = {}
        """Pod that went away → what was in it, and is queued again."""
        self.on_change: Callable[[], None] = lambda: None
        self._by_queue: dict[str, dict[str, MediaJob]] = {}
        """Queue, as jobs name it → those that have not ended."""
        self._running: Counter[str] = Counter()
        """Queue whose share they use → jobs that run."""
        self._fetched: Counter[str] = Counter()
        """Fingerprint → jobs that run and share what they fetch."""
        self.job_sights = Replica[MediaJob | Unreadable](self._put_job, self._drop_job, now)
        self.pod_sights = Replica[Pod](self._put_pod, self._drop_pod, now)
        self.pool_sights = Replica[WorkerPool | NotUnderstood](self._put_pool, self._drop_pool, now)
        self.queue_sights = Replica[MediaQueue | NotUnderstood](
            self._put_queue, self._drop_queue, now
        )

    # what the API server says -------------------------------------------------------------

    def see_job(
        self, job: MediaJob | Unreadable, *, gone: bool = False, as_of: int | None = None
    ) -> None:
        """One job as it is at its version; `as_of`: a list shows that it was there then, too."""
        version = job.version if isinstance(job, Unreadable) else _version(job)
        if gone:
            self.job_sights.lose(job.uid, version)
        else:
            self.job_sights.see(job.uid, version, job, as_of=as_of)
        self.on_change()

    def touch(self, uids: Iterable[str]) -> None:
        """Have jobs decided on in the next turn."""
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
        """A job that some step cannot take: it is only ended, and holds up nobody."""
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
        """Whether it was let in already, and what changed is something else: it is not judged
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
        """The fingerprint of what a job fetches for others too; None where it fetches for itself
        alone.
        """
        return self.duplicates.fingerprint(job) if job.spec.reuse is Reuse.ALWAYS else None

    def wake(self, now: float) -> None:
        """Let those stand in line again whose time (monotonic seconds) has come."""
        for uid in self.resting.wake(now):
            self.breakers.forget(uid)
            self.offer(uid)

    def is_refused(self, job: MediaJob) -> bool:
        """Whether its site is not to be asked now: then it will rest until it may be
        (`rest_refused`), and its slot is another's.
        """
        if not self.refuses(job):
            return False
        self.breakers.hold(site(job), job.uid)
        return True

    def rest_refused(self) -> None:
        """Let those rest that were passed over because of their site, until it may be asked."""
        for uid in self.breakers.newly_held():
            job = self.jobs.get(uid)
            until = self._refused_until(job) if job is not None else 0.0
            if job is not None and uid not in self.resting and until > self._now():
                self.resting.put(uid, until, self.shared(job))
                self.pending.step_aside(uid)

    def _refused_until(self, job: MediaJob) -> float:
        return self.breakers.closed_until(site(job), self._now(), job.spec.engines)

    def refuses(self, job: MediaJob) -> bool:
        """Whether its site refuses us now; nothing follows from it here."""
        return bool(self.breakers) and self._refused_until(job) > self._now()

    def sent_to_site(self, job: MediaJob) -> None:
        """It is given to a pod: where its site is only to be tried, it is the trial."""
        if self.breakers:
            self.breakers.forget(job.uid)
            self.breakers.probe(site(job), job.uid, self._now())

    def heard_of_site(
        self, job: MediaJob, attempts: list[EngineAttempt], retry_after: float | None
    ) -> None:
        """What engines made of a job at its site; who waited for that goes on where it may."""
        where, now = site(job), self._now()
        if self.breakers.record(where, job.uid, attempts, now, retry_after=retry_after):
            for uid in self.breakers.release(where):
                self.resting.drop(uid)
                self.offer(uid)

    def withhold(self, uid: str) -> None:
        """Something else is done about a waiting job: nobody looks at it for a slot meanwhile."""
        self.pending.step_aside(uid)

    def offer(self, uid: str) -> None:
        """A waiting job may be given a slot, unless it rests or is held back."""
        job = self.jobs.get(uid)
        if job is not None and not job.held_back and uid not in self.resting:
            self.pending.come_back(uid)

    def _place_finished(self, job: MediaJob) -> None:
        """The first time it is seen so, it leaves everything that goes on."""
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
        """Clocks begin anew with each phase, but for the time in the queue: it goes on over what
        brought a job back at no cost.
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
            worked = before >= PROVED  # then it is not what is wrong
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
        self.breakers.forget(uid)  # else its own rest would be taken for one that the site made
        _pop(self._by_queue, job.spec.queue, uid)
        _pop(self.lost_with, job.status.worker or "", uid)
        if phase is Phase.RUNNING:
            _pop(self.by_worker, job.status.worker or "", uid)
            _less(self._running, self.pending.queue_of(job))
            if job.spec.reuse is Reuse.ALWAYS:
                _less(self._fetched, self.duplicates.fingerprint(job))

    def _leave(self, uid: str) -> None:
        """It ended, is gone, or could not be placed: nothing that goes on knows of it any more."""
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
        """One queue as it is at its version."""
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
        """Jobs that name a queue move to its lane, or to the default one."""
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
        """One pod as the API server knows it; what the pod said itself stays."""
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
        """The pods that were made for a pool."""
        return self._by_pool.get(pool, {}).values()

    def see_pool(self, pool: WorkerPool | NotUnderstood, *, gone: bool = False) -> None:
        """One pool as it is at its version."""
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

    # what the pods say --------------------------------------------------------------------

    def hear(self, name: str, presence: Presence, now: float) -> bool:
        """A pod's presence; False where the API server does not know such a pod (yet)."""
        pod = self.pods.get(name)
        if pod is None:
            return False
        pod.hear(presence, now)
        self.touch(self.by_worker.get(name, ()))
        self.on_change()
        return True

    # queues -------------------------------------------------------------------------------

    def share(self, queue: str) -> MediaQueueSpec:
        """What a queue may use; one that nobody declared may use what is left."""
        known = self.queues.get(queue)
        return known.spec if known is not None else MediaQueueSpec()

    def running(self) -> Counter[str]:
        """Queue → jobs that run, or are being handed to a pod."""
        found = self._running.copy()
        found.update(self._handed())
        return found

    def running_in(self, queue: str) -> int:
        """Jobs of one queue that run, or are being handed to a pod."""
        return self._running[queue] + sum(handed == queue for handed in self._handed())

    def _handed(self) -> Iterator[str]:
        """The queue of each job that is being handed to a pod and does not run yet."""
        for uid, _ in self.reserved:
            job = self.jobs.get(uid)
            if job is not None and job.status.phase in WAITS:
                yield self.pending.queue_of(job)

    def fetched(self) -> AbstractSet[str]:
        """Fingerprints of what runs and is shared."""
        return self._fetched.keys()

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
        waiting = sum(1 for key in self.reserved.of(pod.name) if key not in pod.held)
        return max(0, pod.free - waiting)

    def load(self, pod: Pod) -> int:
        """Jobs that a pod has, by its own account and by theirs, orders under way included."""
        running = self.by_worker.get(pod.name, {})
        theirs = {(uid, job.status.attempt) for uid, job in running.items()}
        return max(pod.taken, len(pod.held.keys() | self.reserved.of(pod.name) | theirs))

    def handing(self, job: MediaJob) -> bool:
        """Whether its next attempt is being handed to a pod."""
        return (job.uid, job.status.attempt + 1) in self.reserved

    def ordered(self, pod: str, *, free: int, sequence: int) -> None:
        """A pod accepted or refused an order and told what room is left."""
        known = self.pods.get(pod)
        if known is not None and sequence >= known.sequence:
            known.free, known.sequence = free, sequence
        self.on_change()

    def declined(self, pod: str, *, answered: bool) -> None:
        """A pod did not take an order that it claimed to have room for, or did not answer at all.
        It may be gone, though nobody has said so yet: without this a job would be offered to it
        again and again, each time as another attempt.
        """
        known = self.pods.get(pod)
        if known is None:
            return
        known.mute = known.mute or not answered
        if not answered or known.free > 0:
            known.decline(self._now())

    def settled(self, pod: str, uid: str, attempt: int) -> None:
        """A pod's result was recorded: it lets go of the attempt before it says so."""
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
