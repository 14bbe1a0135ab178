"""Decides how many pods a pool has and which of them go. Pure, except for its memory of failed
starts.
"""

import math
from collections.abc import Container
from dataclasses import dataclass, field
from typing import Final

from trawler_common.pauses import grown
from trawler_common.text import sanitize
from trawler_crds.keys import LABEL_POOL
from trawler_crds.media_job import Condition, ConditionStatus
from trawler_crds.messages import Stage
from trawler_crds.worker_pool import Scaling, WorkerPool, WorkerPoolSpec, WorkerPoolStatus
from trawler_operator.formatting import stamp
from trawler_operator.planning.actions import Action, CreatePod, DeletePod, DrainPod, WritePool
from trawler_operator.planning.canary import State, Verdict
from trawler_operator.planning.scheduling import InHand, lonely, usable, wanted_slots
from trawler_operator.state.cluster_state import UNSCHEDULABLE, Clock, ClusterState, Pod, PodPhase

FIRST_WAIT: Final = 5.0
LONGEST_WAIT: Final = 300.0
MOST_AT_ONCE: Final = 50
"""Maximum number of pods of one pool that one turn starts to create."""
READY: Final = "Ready"
PODS_START: Final = "PodsStart"
REFUSED: Final = "PodsRefused"
"""Reason of the condition if the API server refuses to create pods."""
CONFIGURED: Final = "Configured"
UPDATED: Final = "Updated"
AT_THE_SITE: Final = frozenset({Stage.STARTING, Stage.FETCHING, Stage.PROVING})
"""Stages in which a job occupies a slot."""


@dataclass
class _Starts:
    """Failed starts of a pool's pods since the last pod that worked."""

    failed: set[str] = field(default_factory=set)
    """Names of pods that did not start, or that ended before they had worked."""
    waves: int = 0
    """Consecutive waves of failed or refused pods. Pods that fail together are one wave."""
    not_before: float = 0.0
    reason: str = ""
    """Reason of the condition; empty: nothing is wrong."""
    why: str = ""
    proved: frozenset[str] = frozenset()
    """Pods that work. One more of them ends the series of failures."""

    def fail(self, reason: str, why: str, now: float, *, worked: bool = False) -> None:
        """Count another wave: the next pod is delayed, longer each time. If the pods `worked` for a
        moment, the first wave causes no delay.
        """
        self.waves += 1
        if not worked or self.waves > 1:
            self.not_before = now + grown(FIRST_WAIT, LONGEST_WAIT, self.waves - 1)
        self.reason, self.why = reason, why


@dataclass(frozen=True, kw_only=True)
class _Sorted:
    """The pods of a pool by what happens to them next, without those that already terminate."""

    over: list[Pod]
    """Ended, or silent for a whole lease."""
    late: list[Pod]
    """Not ready within `startSeconds`."""
    draining: list[Pod]
    outdated: list[Pod]
    staying: list[Pod]


@dataclass(frozen=True, kw_only=True)
class Update:
    """The image of new pods, and what is known about the image that they should have."""

    image: str | None = None
    wanted: str | None = None
    previous: str | None = None
    """The image that the pool had before this one."""
    verdict: Verdict | None = None


@dataclass(frozen=True, kw_only=True)
class Shape:
    """The wanted size of a pool, the actions that lead there, and its status."""

    wanted: int
    """The value for `spec.replicas`."""
    actions: list[Action]
    status: WorkerPoolStatus


class Scaler:
    """Brings pools to their wanted number of pods."""

    def __init__(self) -> None:
        self._starts: dict[str, _Starts] = {}
        self.misconfigured: dict[str, str] = {}
        """Pool → why its configuration could not be applied. The pool stays as it was."""

    def shape(
        self,
        pool: WorkerPool,
        state: ClusterState,
        clock: Clock,
        *,
        template: str,
        in_hand: InHand | None = None,
        update: Update | None = None,
    ) -> Shape:
        """The actions that bring a pool to its wanted pods. Pods of an older template are replaced
        by new ones. A caller that shapes many pools passes `in_hand`, so that it is counted only
        once.
        """
        pods = _sort(pool, state, clock, template)
        leaving = pool.metadata.deletion_timestamp is not None  # deleted, its pods first
        needs = 0 if leaving else _needed(pool, state, pods.staying, in_hand or InHand(state))
        manual = pool.spec.scaling is Scaling.MANUAL and not leaving
        wanted = pool.spec.replicas if manual else needs
        actions: list[Action] = [
            DeletePod(pod=pod.name, heard=pod.heard_at is not None)
            for pod in (*pods.over, *pods.late)
        ]
        actions += [DeletePod(pod=p.name) for p in pods.draining if not p.held and not p.taken]
        missing = wanted - len(pods.staying)
        creating = min(missing, self._may_create(pool, pods, clock))
        actions += [CreatePod(pool=pool.name) for _ in range(creating)]
        too_many = sorted(
            (p for p in pods.staying if leaving or _may_go(p, pool.spec, state, clock)),
            key=lambda pod: _keep(pod, state),
        )
        for pod in (*pods.outdated, *too_many[: max(0, -missing)]):
            never_heard = pod.heard_at is None
            actions.append(
                DeletePod(pod=pod.name, heard=False) if never_heard else DrainPod(pod=pod.name)
            )
        old = any(pod.template != template for pod in (*pods.outdated, *pods.draining))
        status = self._status(pool, state, clock, needs, update or Update(), rolling=old)
        return Shape(wanted=wanted, actions=actions, status=status)

    def refused(self, pool: str, why: str, now: float) -> None:
        """Record that the API server refused to create a pod of this pool, because of a quota or an
        admission rule.
        """
        starts = self._starts.setdefault(pool, _Starts())
        if now >= starts.not_before:  # pods whose creation started together fail as one wave
            starts.fail(REFUSED, why, now)

    def set_aside(self, pool: WorkerPool, clock: Clock) -> WritePool:
        """The status of a pool that cannot be shaped. No pods are created or deleted for it."""
        why = (
            "The operator cannot work with this pool as it is; its log says more. Change the pool."
        )
        conditions = [
            _condition(pool, kind, "SetAside", why, clock, good="") for kind in (PODS_START, READY)
        ]
        status = pool.status.model_copy(update={"conditions": conditions})
        return WritePool(pool=pool.name, status=status)

    def created(self, pool: str) -> None:
        """Record that the API server created a pod of this pool. This ends a series of refusals."""
        starts = self._starts.get(pool)
        if starts is not None and starts.reason == REFUSED:
            self._starts[pool] = _Starts(proved=starts.proved)

    def forget(self, pools: Container[str]) -> None:
        """Forget all pools except these."""
        for name in [known for known in self._starts if known not in pools]:
            del self._starts[name]

    def _may_create(self, pool: WorkerPool, pods: _Sorted, clock: Clock) -> int:
        """How many pods may be created now. While starts fail, pods are created one at a time,
        after growing pauses.
        """
        starts = self._starts.setdefault(pool.name, _Starts())
        proved = frozenset(pod.name for pod in pods.staying if pod.ready_once)
        if proved - starts.proved:
            self._starts[pool.name] = starts = _Starts()
        starts.proved = proved
        bad = [pod for pod in (*pods.late, *pods.over) if not pod.ready_once]
        new = [pod for pod in bad if pod.name not in starts.failed]
        if new:
            starts.failed |= {pod.name for pod in new}
            starts.fail(
                "PodsDoNotStart",
                f"Pod {new[-1].name}: {new[-1].trouble or _fault(new[-1], pool.spec)}",
                clock.now,
                worked=all(pod.heard_at is not None for pod in new),
            )
        if clock.now < starts.not_before:
            return 0
        unproved = sum(not pod.ready_once for pod in pods.staying)
        return max(0, 1 - unproved) if starts.waves else MOST_AT_ONCE

    def _status(
        self,
        pool: WorkerPool,
        state: ClusterState,
        clock: Clock,
        needs: int,
        update: Update,
        *,
        rolling: bool,
    ) -> WorkerPoolStatus:
        mine = state.pods_of(pool.name)
        staying = [
            pod
            for pod in mine
            if pod.phase is not PodPhase.ENDED and not pod.leaving and not pod.draining
        ]
        ready = sum(usable(pod, clock) for pod in mine)
        heard = [pod for pod in mine if not clock.silent(pod)]  # a lost node's pods hold nothing
        return WorkerPoolStatus(
            replicas=len(staying),
            ready_replicas=ready,
            busy=sum(held.stage in AT_THE_SITE for pod in heard for held in pod.held.values()),
            wanted=needs,
            image=update.image or pool.status.image,
            previous_image=update.previous or pool.status.previous_image,
            selector=f"{LABEL_POOL}={pool.name}",
            conditions=[
                *self._conditions(pool, staying, ready, clock),
                *_updated(pool, update, clock, rolling=rolling),
            ],
        )

    def _conditions(
        self, pool: WorkerPool, staying: list[Pod], ready: int, clock: Clock
    ) -> list[Condition]:
        """The conditions which say whether pods start, and whether any pod works. A transition time
        changes only when the status does.
        """
        starts = self._starts.get(pool.name, _Starts())
        reason, why = starts.reason, starts.why
        troubled = next((pod for pod in staying if pod.trouble and pod.heard_at is None), None)
        if troubled is not None:
            word = troubled.trouble.partition(":")[0]
            reason = word if word == UNSCHEDULABLE else "PodsDoNotStart"
            why = f"Pod {troubled.name}: {troubled.trouble}"
        start = _condition(pool, PODS_START, reason, why, clock, good="PodsStart")
        if ready or not pool.spec.replicas:
            reason, why = "", ""
        elif not reason:
            reason, why = "PodsStarting", "No pod has answered yet."
        found = [start, _condition(pool, READY, reason, why, clock, good="PodsReady")]
        wrong = self.misconfigured.get(pool.name)
        if wrong is not None:
            why = f"The configured spec was refused, so the pool stays as it was: {wrong}"
            found.append(_condition(pool, CONFIGURED, "Refused", why, clock, good=""))
        return found


def _updated(pool: WorkerPool, update: Update, clock: Clock, *, rolling: bool) -> list[Condition]:
    """For a pool with a canary, the condition which says whether its pods have the wanted image."""
    verdict, canary = update.verdict, pool.spec.canary
    if canary is None:
        return []
    if verdict is not None and verdict.state is State.FAILED and update.image != update.wanted:
        why = (
            f"Pods keep {update.image}, since {verdict.image} failed. {verdict.why}"
            " It is tried again within an hour; without `canary` it is taken as it is."
        )
        return [_condition(pool, UPDATED, verdict.state, why, clock, good="")]
    if update.image != update.wanted:
        why = (
            f"{update.wanted} has to fetch {len(canary.links)} links first;"
            f" pods keep {update.image}."
        )
        return [_condition(pool, UPDATED, State.CHECKING, why, clock, good="", known=False)]
    if rolling:
        why = f"Pods are replaced by those of {update.image}."
        return [_condition(pool, UPDATED, "Updating", why, clock, good="", known=False)]
    return [_condition(pool, UPDATED, "", "", clock, good="UpToDate")]


def _condition(
    pool: WorkerPool,
    kind: str,
    reason: str,
    why: str,
    clock: Clock,
    *,
    good: str,
    known: bool = True,
) -> Condition:
    answer = ConditionStatus.FALSE if reason else ConditionStatus.TRUE
    answer = answer if known else ConditionStatus.UNKNOWN
    before = next((c for c in pool.status.conditions or () if c.type == kind), None)
    same = before is not None and before.status is answer
    return Condition(
        type=kind,
        status=answer,
        reason=reason or good,
        message=sanitize(why, limit=512),
        last_transition_time=before.last_transition_time if same and before else stamp(clock.wall),
        observed_generation=pool.metadata.generation,
    )


def _needed(pool: WorkerPool, state: ClusterState, staying: list[Pod], in_hand: InHand) -> int:
    """Number of pods for all jobs that run or may run and for the spare slots, within the pool's
    bounds.
    """
    spec = pool.spec
    slots = min(spec.slots_per_pod, spec.jobs_per_pod or spec.slots_per_pod)
    most = spec.max_replicas * slots
    busy = sum(slots if lonely(pod, state) else state.load(pod) for pod in staying)
    waiting = wanted_slots(state, pool.name, in_hand, per_pod=slots, most=most)
    wanted = math.ceil((busy + waiting + spec.spare_slots) / slots)
    return max(spec.min_replicas, min(spec.max_replicas, wanted))


def _sort(pool: WorkerPool, state: ClusterState, clock: Clock, template: str) -> _Sorted:
    found = _Sorted(over=[], late=[], draining=[], outdated=[], staying=[])
    for pod in state.pods_of(pool.name):
        if pod.leaving:
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


def _fault(pod: Pod, spec: WorkerPoolSpec) -> str:
    """What is known about a pod that failed before it had worked."""
    if pod.phase is PodPhase.ENDED:
        return "ended before it had worked; `kubectl describe` it."
    if pod.heard_at is not None:
        return "was not heard any more, soon after it had begun; look at its node."
    return f"was not ready within {spec.start_seconds} s; `kubectl describe` it."


def _late(pod: Pod, spec: WorkerPoolSpec, clock: Clock) -> bool:
    """Whether a pod was never heard, although we have listened for as long as a start may take. A
    pod that waits for room on a node is not late: a replacement would wait as well, behind it.
    """
    if pod.heard_at is not None or clock.listening_since is None:
        return False
    if pod.trouble.startswith(UNSCHEDULABLE):
        return False
    return clock.now - max(pod.seen_at, clock.listening_since) > spec.start_seconds


def _may_go(pod: Pod, spec: WorkerPoolSpec, state: ClusterState, clock: Clock) -> bool:
    """Whether a pod may go. In a manually scaled pool any pod may. An automatic pool gives up only
    pods that have been idle for long enough and were not promised an order just now.
    """
    if spec.scaling is Scaling.MANUAL:
        return True
    if state.load(pod):
        return False
    since = pod.seen_at if pod.heard_at is None else pod.idle_since
    return since is not None and clock.now - since >= spec.idle_seconds


def _keep(pod: Pod, state: ClusterState) -> tuple[bool, bool, int, str]:
    """Sort key for removal, the least valuable pods first: those told to drain, then those never
    heard, then idle pods, then the youngest.
    """
    return (
        pod.told_at is None,
        pod.heard_at is not None,
        state.load(pod),
        "".join(chr(0x10FFFF - ord(c)) for c in pod.created),
    )
