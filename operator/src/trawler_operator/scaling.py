"""How many pods a pool has and which one goes. Pure, but for what it remembers of bad starts."""

import math
from dataclasses import dataclass, field
from typing import Final

from trawler_crds.keys import LABEL_POOL
from trawler_crds.media_job import Condition, ConditionStatus
from trawler_crds.worker_pool import Scaling, WorkerPool, WorkerPoolSpec, WorkerPoolStatus
from trawler_operator.actions import Action, CreatePod, DeletePod, DrainPod
from trawler_operator.board import Board, Clock, Pod, PodPhase
from trawler_operator.scheduling import runnable, usable
from trawler_operator.wording import stamp

FIRST_WAIT: Final = 5.0
LONGEST_WAIT: Final = 300.0
READY: Final = "Ready"


@dataclass
class _Starts:
    """Pods of one pool that did not become ready in time, since the last that did."""

    failed: set[str] = field(default_factory=set)
    not_before: float = 0.0


@dataclass(frozen=True, kw_only=True)
class _Sorted:
    """The pods of a pool by what is to become of them; those that leave already are left out."""

    over: list[Pod]
    """Ended, or silent for a whole lease."""
    late: list[Pod]
    """Not ready within `startSeconds`."""
    draining: list[Pod]
    outdated: list[Pod]
    staying: list[Pod]


@dataclass(frozen=True, kw_only=True)
class Shape:
    """What a pool is to be."""

    wanted: int
    """What `spec.replicas` is to say."""
    actions: list[Action]
    status: WorkerPoolStatus


class Scaler:
    """Brings pools to their wanted pods."""

    def __init__(self) -> None:
        self._starts: dict[str, _Starts] = {}

    def shape(self, pool: WorkerPool, board: Board, clock: Clock, *, template: str) -> Shape:
        """What brings a pool to its wanted pods; those of an older template make way for new ones."""
        pods = _sort(pool, board, clock, template)
        may_create = self._may_create(pool, pods, clock)
        needs = _needed(pool, board, clock, pods.staying)
        wanted = pool.spec.replicas if pool.spec.scaling is Scaling.MANUAL else needs
        actions: list[Action] = [DeletePod(pod=pod.name) for pod in (*pods.over, *pods.late)]
        actions += [DeletePod(pod=p.name) for p in pods.draining if not p.held and not p.taken]
        missing = wanted - len(pods.staying)
        if may_create:
            actions += [CreatePod(pool=pool.name) for _ in range(missing)]
        too_many = sorted((p for p in pods.staying if _may_go(p, pool.spec, clock)), key=_keep)
        for pod in (*pods.outdated, *too_many[: max(0, -missing)]):
            never_heard = pod.heard_at is None
            actions.append(DeletePod(pod=pod.name) if never_heard else DrainPod(pod=pod.name))
        status = self._status(pool, board, clock, needs)
        return Shape(wanted=wanted, actions=actions, status=status)

    def _may_create(self, pool: WorkerPool, pods: _Sorted, clock: Clock) -> bool:
        starts = self._starts.setdefault(pool.name, _Starts())
        if any(pod.heard_at is not None for pod in pods.staying):
            self._starts[pool.name] = starts = _Starts()
        new = {pod.name for pod in pods.late} - starts.failed
        if new:
            starts.failed |= new
            wait = min(LONGEST_WAIT, FIRST_WAIT * 2.0 ** (len(starts.failed) - 1))
            starts.not_before = clock.now + wait
        return clock.now >= starts.not_before

    def _status(self, pool: WorkerPool, board: Board, clock: Clock, needs: int) -> WorkerPoolStatus:
        pods = [pod for pod in board.pods.values() if pod.pool == pool.name]
        return WorkerPoolStatus(
            replicas=sum(pod.phase is not PodPhase.ENDED for pod in pods),
            ready_replicas=sum(usable(pod, clock) for pod in pods),
            busy=sum(len(pod.held) for pod in pods),
            wanted=needs,
            selector=f"{LABEL_POOL}={pool.name}",
            conditions=[self._condition(pool, clock)],
        )

    def _condition(self, pool: WorkerPool, clock: Clock) -> Condition:
        """Whether pods start. Its time changes only when its answer does."""
        failed = len(self._starts.get(pool.name, _Starts()).failed)
        answer = ConditionStatus.FALSE if failed else ConditionStatus.TRUE
        before = next((c for c in pool.status.conditions or () if c.type == READY), None)
        same = before is not None and before.status is answer
        return Condition(
            type=READY,
            status=answer,
            reason="PodsDoNotStart" if failed else "PodsStart",
            message=(
                f"{failed} pods were not ready within {pool.spec.start_seconds} s;"
                " `kubectl describe` one of them."
                if failed
                else ""
            ),
            last_transition_time=(
                before.last_transition_time if same and before else stamp(clock.wall)
            ),
            observed_generation=pool.metadata.generation,
        )


def _needed(pool: WorkerPool, board: Board, clock: Clock, staying: list[Pod]) -> int:
    """Pods for all that runs, may run and is kept spare, within the pool's bounds."""
    spec = pool.spec
    slots = min(spec.slots_per_pod, spec.jobs_per_pod or spec.slots_per_pod)
    most = spec.max_replicas * slots
    busy = sum(board.load(pod) for pod in staying)
    jobs = busy + runnable(board, clock, pool.name, most=most) + spec.spare_slots
    return max(spec.min_replicas, min(spec.max_replicas, math.ceil(jobs / slots)))


def _sort(pool: WorkerPool, board: Board, clock: Clock, template: str) -> _Sorted:
    found = _Sorted(over=[], late=[], draining=[], outdated=[], staying=[])
    for pod in board.pods.values():
        if pod.pool != pool.name or pod.leaving:
            continue
        if pod.phase is PodPhase.ENDED or (pod.heard_at is not None and clock.silent(pod)):
            found.over.append(pod)
        elif pod.draining:
            found.draining.append(pod)
        elif _late(pod, pool.spec, clock):
            found.late.append(pod)
        elif pod.template != template:
            found.outdated.append(pod)
        else:
            found.staying.append(pod)
    return found


def _late(pod: Pod, spec: WorkerPoolSpec, clock: Clock) -> bool:
    """It never spoke, though it could have been heard for as long as a start may take."""
    if pod.heard_at is not None or clock.listening_since is None:
        return False
    return clock.now - max(pod.seen_at, clock.listening_since) > spec.start_seconds


def _may_go(pod: Pod, spec: WorkerPoolSpec, clock: Clock) -> bool:
    """Told by a person, any pod may; by itself, a pool lets go only of what has long been idle."""
    if spec.scaling is Scaling.MANUAL:
        return True
    since = pod.seen_at if pod.heard_at is None else pod.idle_since
    return since is not None and clock.now - since >= spec.idle_seconds


def _keep(pod: Pod) -> tuple[bool, int, str]:
    """The pods worth least come first: not yet speaking, then idle, then the youngest."""
    return (
        pod.heard_at is not None,
        len(pod.held),
        "".join(chr(0x10FFFF - ord(c)) for c in pod.created),
    )
