"""The world around the operator's pure core, in memory and with a clock that can be set: an API
server that keeps our rules, pods that may hang or die, a bus that loses, a store.

The operator's edge is played here in steps, so that it can be killed between any two of them.
"""

from collections.abc import Callable, Generator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Final

from objects import relist
from trawler_crds.failures import FailureReason
from trawler_crds.media_job import TERMINAL, MediaJob, Phase
from trawler_crds.media_queue import MediaQueue
from trawler_crds.messages import Held, Outcome, Presence, Result, Stage
from trawler_crds.worker_pool import WorkerPool
from trawler_operator.planning import admission, lifecycle, reuse
from trawler_operator.planning.actions import (
    Action,
    Cancel,
    Copy,
    CreatePod,
    DeleteJob,
    DeletePod,
    Dispatch,
    DrainPod,
    Order,
    WriteStatus,
)
from trawler_operator.planning.gc_rules import Named, Pins, Sweeper, longest_attempt
from trawler_operator.planning.planner import Planner, settled
from trawler_operator.planning.scaling import Scaler
from trawler_operator.planning.scheduling import Scheduler
from trawler_operator.state.cluster_state import Clock, ClusterState, Pod, PodPhase
from trawler_operator.state.pending import alone

TEMPLATE: Final = "t"
NOON: Final = 1_800_000_000.0
Steps = Generator[None, None, None]


class Conflict(Exception):
    """409."""


class Missing(Exception):
    """404."""


class ApiError(Exception):
    """5xx, or no answer."""


class Api:
    """MediaJobs with resource versions; refuses what our schema refuses."""

    def __init__(self) -> None:
        self.jobs: dict[str, MediaJob] = {}
        self.events: list[tuple[MediaJob, bool]] = []
        self.failing = 0
        """So many of the next calls fail, after or before they did what they should."""
        self.committing = False
        self.version = 10

    def _call(self) -> None:
        if self.failing and not self.committing:
            self.failing -= 1
            raise ApiError

    def _answer(self) -> None:
        if self.failing:
            self.failing -= 1
            raise ApiError

    def put(self, job: MediaJob) -> MediaJob:
        self.version += 1
        meta = job.metadata.model_copy(update={"resource_version": str(self.version)})
        fresh = job.model_copy(update={"metadata": meta})
        self.jobs[fresh.uid] = fresh
        self.events.append((fresh, False))
        return fresh

    def edit(self, uid: str, **spec: Any) -> None:
        job = self.jobs[uid]
        self.put(job.model_copy(update={"spec": job.spec.model_copy(update=spec)}))

    def delete(self, uid: str, version: int | None = None) -> None:
        """`version`: only if it is still this one; raises Conflict otherwise."""
        if version is not None and self.jobs[uid].version != str(version):
            raise Conflict
        self.version += 1
        job = self.jobs.pop(uid)
        meta = job.metadata.model_copy(update={"resource_version": str(self.version)})
        self.events.append((job.model_copy(update={"metadata": meta}), True))

    def write_status(self, known: MediaJob, changes: dict[str, Any]) -> MediaJob:
        self._call()
        job = self.jobs.get(known.uid)
        if job is None:
            raise Missing
        if job.metadata.resource_version != known.metadata.resource_version:
            raise Conflict
        status = job.status.wire()
        for key, value in changes.items():
            if value is None:
                status.pop(key, None)
            else:
                status[key] = value
        new = MediaJob.model_validate({**job.wire(), "status": status})
        assert job.status.phase not in TERMINAL, "a terminal phase was left"
        assert new.status.attempt >= job.status.attempt, "attempt fell"
        fresh = self.put(new)
        self._answer()
        return fresh


@dataclass
class Worker:
    """A pod as it really is, whatever anybody believes of it."""

    name: str
    slots: int = 2
    held: dict[tuple[str, int], Stage] = field(default_factory=dict)
    results: dict[tuple[str, int], Result] = field(default_factory=dict)
    draining: bool = False
    frozen: bool = False
    sequence: int = 0
    said: list[Presence] = field(default_factory=list)
    """Presences that are still under way."""

    def speak(self) -> None:
        self.sequence += 1
        held = [
            Held(uid=uid, attempt=attempt, stage=stage, age_seconds=1.0)
            for (uid, attempt), stage in self.held.items()
        ]
        self.said.append(
            Presence(
                pool="default",
                sequence=self.sequence,
                free=self.free(),
                taken=len(held),
                draining=self.draining,
                held=held,
            )
        )

    def free(self) -> int:
        return 0 if self.draining else max(0, self.slots - len(self.held))

    def drop(self, uid: str, attempt: int) -> None:
        self.held.pop((uid, attempt), None)
        self.results.pop((uid, attempt), None)


class Operator:
    """One life of the operator: all that it knows dies with it."""

    def __init__(self, world: "Simulation") -> None:
        self.world = world
        self.state = ClusterState(now=lambda: world.now)
        self.scheduler = Scheduler()
        self.planner = Planner(self.scheduler)
        self.scaler = Scaler()
        self.since = world.now
        self.pins = Pins()
        self.sweeper = Sweeper(since=world.now)
        self.missing = 0
        self.crowded: list[Dispatch] = []
        """Orders by which somebody got a neighbour though one of them must be alone."""
        self.effects: dict[str, Steps] = {}
        pods = [Pod(name=n, pool="default", template=TEMPLATE) for n in world.workers]
        for pod in pods:
            pod.phase = PodPhase.RUNNING
        jobs, version = tuple(world.api.jobs.values()), world.api.version
        relist(self.state, jobs, pods, [world.pool], world.queues, as_of=version)

    def clock(self) -> Clock:
        since = max(self.since, self.world.bus_since) if self.world.bus else None
        return Clock(now=self.world.now, wall=self.world.wall(), listening_since=since)

    def turn(self) -> None:
        """Decide; what is decided is only begun."""
        for key, action in self.planner.due(self.state, self.clock(), self.effects.keys()):
            if isinstance(action, Dispatch) and self._crowds(action):
                self.crowded.append(action)
            self.effects[key] = self._perform(action)
        shape = self.scaler.shape(self.world.pool, self.state, self.clock(), template=TEMPLATE)
        self.missing = sum(isinstance(action, CreatePod) for action in shape.actions)
        if self.missing and "pods" not in self.effects:
            self.effects["pods"] = self._create_missing()
        for action in shape.actions:
            if not isinstance(action, (DeletePod, DrainPod)):
                continue
            if f"pod {action.pod}" not in self.effects:
                if isinstance(action, DrainPod):
                    self.state.pods[action.pod].told_at = self.world.now
                self.effects[f"pod {action.pod}"] = self._perform(action)

    def _crowds(self, action: Dispatch) -> bool:
        state = self.state
        there = {uid for uid, _ in state.reserved.of(action.pod)}
        there |= state.by_worker.get(action.pod, {}).keys()
        beside = [state.jobs[uid] for uid in there - {action.uid} if uid in state.jobs]
        return bool(beside) and any(alone(job) for job in (*beside, state.jobs[action.uid]))

    def step(self, key: str) -> None:
        """One effect goes one step further."""
        try:
            next(self.effects[key])
        except (StopIteration, ApiError):
            self._release(key)
        except Conflict:
            self._look_again(key)
            self._release(key)
        except Missing:
            job = self.state.jobs.get(key)
            if job is not None:
                self.state.see_job(job, gone=True)
            self._release(key)

    def _release(self, key: str) -> None:
        self.effects.pop(key).close()
        settled(key, self.state)

    def _look_again(self, uid: str) -> None:
        fresh = self.world.api.jobs.get(uid)
        known = self.state.jobs.get(uid)
        if fresh is not None:
            self.state.see_job(fresh)
        elif known is not None:
            self.state.see_job(known, gone=True)

    # effects ----------------------------------------------------------------------------------

    def _create_missing(self) -> Steps:
        while self.missing > 0:
            yield
            self._see_pod(self.world.create_worker())
            self.missing -= 1

    def _perform(self, action: Action) -> Steps:
        match action:
            case WriteStatus():
                yield from self._write_surely(lambda: action)
            case Dispatch():
                yield from self._dispatch(action)
            case Order(uid=uid, pod=pod, attempt=attempt):
                with self.state.reserving(uid, attempt, pod):
                    yield
                    yield from self._hand_over(uid, pod, attempt)
            case Cancel(pod=pod, uid=uid, attempt=attempt):
                yield
                self.world.cancel(pod, uid, attempt)
            case Copy():
                yield from self._copy(action)
            case DeleteJob(uid=uid, version=version):
                yield
                if uid in self.world.api.jobs:
                    self.world.api.delete(uid, version)
                self.state.job_sights.lose(uid, version)
            case DrainPod(pod=pod):
                yield
                if pod in self.world.workers and self.world.bus:
                    self.world.workers[pod].draining = True
            case DeletePod(pod=pod):
                yield
                self.world.kill_worker(pod)
                known = self.state.pods.get(pod)
                if known is not None:
                    self.state.see_pod(known, gone=True)

    def _see_pod(self, name: str) -> None:
        pod = Pod(name=name, pool="default", template=TEMPLATE, phase=PodPhase.RUNNING)
        self.state.see_pod(pod)

    def _write(self, action: WriteStatus) -> None:
        job = self._known(action.uid, action.version)
        self.state.see_job(self.world.api.write_status(job, dict(action.changes)))

    def _known(self, uid: str, version: str) -> MediaJob:
        job = self.state.jobs.get(uid)
        if job is None:
            raise Missing
        if job.version != version:
            raise Conflict
        return job

    def _write_surely(self, decide: Callable[[], WriteStatus]) -> Steps:
        """Again and again, until it is known whether it was done."""
        while True:
            yield
            try:
                self._write(decide())
            except ApiError:
                continue
            return

    def _copy(self, action: Copy) -> Steps:
        job = self._known(action.uid, action.version)
        twin = self.world.api.jobs.get(action.source)
        if twin is None:
            self.state.duplicates.disbelieve(action.source)
            return
        hashes = {file.sha256 for file in twin.status.files or ()}
        if self.pins.going(hashes):
            return
        with self.pins.held(hashes):
            yield
            if not hashes <= self.world.store:
                self.state.duplicates.disbelieve(action.source)
                return
            yield from self._write_surely(lambda: reuse.reuse(job, twin, self.world.wall()))

    def sweep(self) -> None:
        """The broom begins: one folder holds everything here."""
        if "sweep" not in self.effects:
            self.effects["sweep"] = self._sweep()

    def _sweep(self) -> Steps:
        listed = set(self.world.store)
        yield
        if self.pins.inherited(self.state):
            return
        may_go = self.sweeper.look(
            "all",
            listed,
            Named(self.state, self.pins),
            now=self.world.now,
            apart=longest_attempt(self.state),
        )
        for sha256 in may_go:
            if sha256 in Named(self.state, self.pins) or self.pins.inherited(self.state):
                continue
            with self.pins.letting_go(sha256):
                yield
                self.world.store.discard(sha256)

    def grant(self, pod: str, uid: str, attempt: int, sha256: str) -> bool:
        """What the upload desk does; True where the pod may store that."""
        job = self.state.jobs.get(uid)
        if not lifecycle.is_current_attempt(job, pod=pod, attempt=attempt) or self.pins.going(
            {sha256}
        ):
            return False
        self.pins.grant(uid, attempt, {sha256})
        return True

    def _dispatch(self, action: Dispatch) -> Steps:
        uid, pod, attempt = action.uid, action.pod, action.attempt
        with self.state.reserving(uid, attempt, pod):
            while True:
                yield
                job = self.state.jobs.get(uid)
                if lifecycle.is_current_attempt(job, pod=pod, attempt=attempt):
                    break
                job = self._known(uid, action.version)
                with suppress(ApiError):
                    try:
                        wall = self.world.wall()
                        self.pins.begin(uid, attempt)
                        self._write(
                            admission.begin(job, self.state, pod=pod, attempt=attempt, wall=wall)
                        )
                    except Conflict:
                        self._look_again(uid)
            yield
            yield from self._hand_over(uid, pod, attempt)

    def _hand_over(self, uid: str, pod: str, attempt: int) -> Steps:
        job = self.state.jobs.get(uid)
        if job is None or not lifecycle.is_current_attempt(job, pod=pod, attempt=attempt):
            return
        answer = self.world.order(pod, uid, attempt)
        if answer is not None:
            accepted, free, sequence = answer
            self.state.ordered(pod, free=free, sequence=sequence)
            if accepted:
                if pod in self.state.pods:
                    self.state.pods[pod].accept(uid, attempt)
                return
        self.state.declined(pod, answered=answer is not None)
        yield
        self.world.cancel(pod, uid, attempt)
        yield
        now = self.state.jobs.get(uid)
        if now is not None and lifecycle.is_current_attempt(now, pod=pod, attempt=attempt):
            self._write(lifecycle.requeue(now, self.world.wall()))

    def record(self, pod: str, uid: str, result: Result) -> bool:
        """What the result desk does; True where the pod hears *recorded*."""
        if uid in self.effects:
            return False
        for _ in range(3):
            job = self.state.jobs.get(uid)
            if job is None or not lifecycle.is_current_attempt(
                job, pod=pod, attempt=result.attempt
            ):
                return True
            if not {file.sha256 for file in result.files} <= self.world.store:
                result = Result(
                    attempt=result.attempt,
                    outcome=Outcome.FAILED,
                    reason=FailureReason.STORAGE_ERROR,
                )
            try:
                self._write(lifecycle.apply_result(job, result, self.world.wall()))
            except Conflict:
                self._look_again(uid)
            except Missing:
                self.state.see_job(job, gone=True)
            except ApiError:
                return False
            else:
                self.state.settled(pod, uid, result.attempt)
                return True
        return False


class Simulation:
    """Everything, and who was given what."""

    def __init__(self, pool: WorkerPool, queues: list[MediaQueue]) -> None:
        self.api = Api()
        self.pool = pool
        self.queues = queues
        self.store: set[str] = set()
        self.workers: dict[str, Worker] = {}
        self.given: dict[tuple[str, int], set[str]] = {}
        """(uid, attempt) → every pod that ever took it."""
        self.now = 1000.0
        self.skew = 0.0
        self.bus = True
        self.bus_since = 1000.0
        self.lose: Callable[[], str] = lambda: "nothing"
        self.operator: Operator | None = None
        self.old: Operator | None = None
        """A leader that was taken over from and does not know: it goes on with what it had begun.
        """
        self.listed: tuple[tuple[MediaJob, ...], int, Operator] | None = None
        """What is left of a list that is under way, its version, and who asked."""
        self._names = 0

    def wall(self) -> float:
        return NOON + self.now + self.skew

    # pods -------------------------------------------------------------------------------------

    def create_worker(self) -> str:
        self._names += 1
        name = f"p{self._names}"
        self.workers[name] = Worker(name)
        return name

    def kill_worker(self, name: str) -> None:
        self.workers.pop(name, None)

    def order(self, pod: str, uid: str, attempt: int) -> tuple[bool, int, int] | None:
        """Request and reply; either may be lost."""
        worker, lost = self.workers.get(pod), self.lose()
        if worker is None or worker.frozen or not self.bus or lost == "request":
            return None
        key = (uid, attempt)
        accepted = key in worker.held or worker.free() > 0
        if accepted:
            worker.held.setdefault(key, Stage.FETCHING)
            self.given.setdefault(key, set()).add(pod)
        worker.sequence += 1
        return None if lost == "reply" else (accepted, worker.free(), worker.sequence)

    def cancel(self, pod: str, uid: str, attempt: int) -> None:
        worker = self.workers.get(pod)
        if worker is not None and not worker.frozen and self.bus and self.lose() != "request":
            worker.drop(uid, attempt)

    def take_over(self) -> None:
        """Another leads from now on. What the old one has under way may still arrive anywhere; only
        deletions in the store never outlast its Lease.
        """
        self.old, self.operator = self.operator, Operator(self)
        if self.old is not None:
            self.old.effects.pop("sweep", None)

    # lists --------------------------------------------------------------------------------------

    def begin_list(self) -> None:
        """The API server reads out all jobs as they are now; the answer is under way for a
        while.
        """
        if self.operator is not None:
            self.operator.state.job_sights.begin_list()
            self.listed = (tuple(self.api.jobs.values()), self.api.version, self.operator)

    def list_on(self, count: int) -> None:
        """Some of it arrives; with the last of it the list is complete."""
        if self.listed is None:
            return
        jobs, version, whose = self.listed
        if whose is not self.operator:
            self.listed = None
            return
        for job in jobs[:count]:
            whose.state.job_sights.list_one(job.uid)
            whose.state.see_job(job, as_of=version)
        self.listed = (jobs[count:], version, whose)
        if not jobs[count:]:
            self.listed = None
            whose.state.job_sights.end_list(version)

    # what reaches the operator ----------------------------------------------------------------

    def deliver_events(self) -> None:
        """The watch catches up."""
        if self.operator is not None:
            for job, gone in self.api.events:
                self.operator.state.see_job(job, gone=gone)
            for name in [n for n in self.operator.state.pods if n not in self.workers]:
                self.operator.state.see_pod(self.operator.state.pods[name], gone=True)
        self.api.events.clear()

    def deliver_presence(self, worker: Worker, which: int) -> None:
        if worker.said and self.operator is not None and self.bus:
            said = worker.said.pop(which % len(worker.said))
            self.operator.state.hear(worker.name, said, self.now)

    def active(self) -> list[MediaJob]:
        return [job for job in self.api.jobs.values() if job.status.phase not in TERMINAL]

    def waits_for_a_person(self, job: MediaJob) -> bool:
        paused = {queue.name for queue in self.queues if queue.spec.paused}
        return job.spec.suspend or (job.spec.queue in paused and job.status.phase is Phase.QUEUED)
