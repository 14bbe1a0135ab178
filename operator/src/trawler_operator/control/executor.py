"""Turns actions into effects. Each effect checks the Lease and may be repeated; none decides."""

import asyncio
import secrets
import time
from collections.abc import Awaitable, Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Final

from pydantic import ValidationError

from trawler_common import logs, telemetry
from trawler_common.backoff import Backoff
from trawler_common.bus import Bus, RequestTimeout
from trawler_common.errors import Permanent, Transient
from trawler_common.failpoints import Failpoint, hit
from trawler_common.kube import ApiUnavailable, Conflict, NotFound, Rejected
from trawler_common.replica import FOREVER
from trawler_common.store import Store, StoreUnavailable
from trawler_crds import subjects
from trawler_crds.keys import ANNOTATION_TRACEPARENT
from trawler_crds.media_job import Condition, ConditionStatus, MediaJob, Phase
from trawler_crds.messages import Control, ControlAction, ControlReply, OrderReply
from trawler_crds.messages import Order as OrderMessage
from trawler_crds.worker_pool import WorkerPool, WorkerPoolStatus
from trawler_operator.control.metrics import Metrics
from trawler_operator.formatting import MARKED_BY, NOT_UNDERSTOOD, site
from trawler_operator.kube.client import ClusterClient
from trawler_operator.kube.leader import Leader
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
    MarkNotUnderstood,
    Order,
    ScalePool,
    SetAside,
    WritePool,
    WriteStatus,
)
from trawler_operator.planning.gc_rules import Pins
from trawler_operator.planning.pod_manifest import PodSettings, make
from trawler_operator.state.cluster_state import ClusterState

log = logs.get("performer")

ORDER_TIMEOUT: Final = 5.0
CONTROL_TIMEOUT: Final = 2.0
LONGEST_PAUSE: Final = 5.0
"""Seconds between two tries of a status write whose outcome is unknown."""
MOST_TRIES: Final = 5
"""Tries after which the object itself is read."""
UNHEARD_GRACE: Final = 10
"""Grace period in seconds of a pod that was never heard: it holds no work."""
SOURCES: Final = 64
"""Results that are kept in memory for jobs that ask for the same."""
EVENT_BURST: Final = 25.0
EVENTS_PER_SECOND: Final = 1.0
_WRITES: Final = (WriteStatus, Dispatch, Copy)
"""Actions that change the status of exactly one version of a job."""
_ALPHABET: Final = "bcdfghjklmnpqrstvwxz2456789"


class Failed(Exception):
    """An effect failed. The object is decided on again, after a pause."""

    def __init__(self, why: str, *, retry_after: float = 0.0) -> None:
        super().__init__(why)
        self.retry_after = retry_after
        """Seconds that the server asked us to wait."""


class PodRefused(Failed):
    """The API server refused to create a pod of this pool."""

    def __init__(self, pool: str, why: str) -> None:
        super().__init__(why)
        self.pool = pool


class Stale(Conflict):
    """A newer version of the job arrived after the decision."""


class TokenBucket:
    """A token bucket on the monotonic clock."""

    def __init__(self, *, size: float, per_second: float) -> None:
        self._size, self._rate = size, per_second
        self._tokens, self._at = size, time.monotonic()

    def take(self) -> bool:
        """Take a token; False if there is none."""
        now = time.monotonic()
        self._tokens = min(self._size, self._tokens + (now - self._at) * self._rate)
        self._at = now
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True


class ActionExecutor:
    """Performs actions."""

    def __init__(
        self,
        *,
        client: ClusterClient,
        bus: Bus,
        store: Store,
        state: ClusterState,
        pins: Pins,
        leader: Leader,
        pods: PodSettings,
        metrics: Metrics,
        tasks: asyncio.TaskGroup,
    ) -> None:
        self._client = client
        self._bus = bus
        self._store = store
        self._state = state
        self._pins = pins
        self._leader = leader
        self._pods = pods
        self._metrics = metrics
        self._tasks = tasks
        self._sources: dict[str, MediaJob] = {}
        """Uid → a finished job whose files others take."""
        self._events = TokenBucket(size=EVENT_BURST, per_second=EVENTS_PER_SECOND)
        self._effects: dict[type[Any], Callable[[Any], Awaitable[None]]] = {
            WriteStatus: self.write,
            SetAside: self._set_aside,
            Dispatch: self._dispatch,
            Order: self._order,
            Cancel: self._cancel,
            Copy: self._copy,
            DeleteJob: self._delete_job,
            CreatePod: self._create_pod,
            DrainPod: self._drain_pod,
            DeletePod: self._delete_pod,
            ScalePool: self._scale_pool,
            WritePool: self._write_pool,
            MarkNotUnderstood: self._mark,
        }

    async def perform(self, action: Action) -> None:
        """Perform one action. A failed action is decided on again from what is then known. Raises
        Failed if that should not happen at once.

        A status write that got no response may have succeeded. It is repeated on the version that
        was decided on until its outcome is known: a decision based on the older version could admit
        or start one job too many. If the API server answers everything but this write, the trouble
        is with this object, and no other waits for it.
        """
        pause = Backoff(first=0.5, longest=LONGEST_PAUSE)
        with self._promised(action):
            while (asked := await self._tried(action)) is not None:
                await pause.pause(at_least=asked)
                if pause.tries >= MOST_TRIES and await self._look_again(action):
                    raise Failed("its status cannot be written, though it can be read")

    def _promised(self, action: Action) -> AbstractContextManager[None]:
        """Reserve the slot of an order until the pod has answered."""
        if isinstance(action, (Dispatch, Order)):
            return self._state.reserving(action.uid, action.attempt, action.pod)
        return nullcontext()

    async def _tried(self, action: Action) -> float | None:
        """Try once. If the outcome of a status write is unknown, return the seconds to wait before
        it is repeated. Raises Failed.
        """
        self._leader.require()
        try:
            await self._effects[type(action)](action)
        except Stale:
            log.info("decision_outdated", extra={"action": type(action).__name__})
        except Conflict as error:
            if isinstance(action, (ScalePool, WritePool)):
                await self._see_pool_again(action.pool)
            elif not isinstance(action, (*_WRITES, Order)):
                raise Failed(str(error)) from error
            await self._look_again(action)
            if isinstance(action, Dispatch) and self._begun(action):
                return await self._tried(action)  # the conflict was with our own earlier write
        except NotFound:
            self._forget(action)
        except (Transient, Permanent) as error:
            # a quota, a policy or an outage: this object waits, the others go on
            log.warning(
                "effect_failed", extra={"action": type(action).__name__, "error": str(error)}
            )
            asked = error.retry_after if isinstance(error, ApiUnavailable) else 0.0
            if isinstance(error, ApiUnavailable) and isinstance(action, _WRITES):
                return asked
            if isinstance(error, Rejected) and isinstance(action, CreatePod):
                raise PodRefused(action.pool, str(error)) from error
            raise Failed(str(error), retry_after=asked) from error
        return None

    # jobs -----------------------------------------------------------------------------------

    async def write(self, action: WriteStatus) -> None:
        """Write the status of exactly the version that was decided on. Raises Conflict, NotFound,
        ApiUnavailable.
        """
        job = self._known(action.uid, action.version)
        phase = action.changes["phase"]
        hit(Failpoint(f"before-{phase}"))
        with self._span("write status", job, phase=str(phase)):
            fresh = await self._client.write_status(job, action.changes)
        hit(Failpoint(f"after-{phase}"))
        self._metrics.status_writes.inc()
        self._state.see_job(fresh)
        log.info(
            "phase",
            extra={
                "job": job.uid,
                "name_": job.name,
                "phase": fresh.status.phase,
                "reason": fresh.status.reason,
                "attempt": fresh.status.attempt,
            },
        )
        if action.event is not None:
            reason = str(fresh.status.reason or fresh.status.phase)
            self._tell_later(fresh, reason, action.event, warning=action.warning)

    async def _set_aside(self, action: SetAside) -> None:
        """End a job that no model can hold. The watch shows it again once it has ended."""
        changes = {
            "phase": Phase.FAILED,
            "reason": action.reason,
            "message": action.message,
            "completionTime": action.completed,
        }
        await self._client.end_job(action.name, action.uid, action.version, changes)
        self._state.to_end.pop(action.uid, None)
        self._metrics.set_aside.labels("MediaJob").inc()
        log.error("job_set_aside", extra={"job": action.uid, "name_": action.name})

    def _known(self, uid: str, version: str | None = None) -> MediaJob:
        """The job, if it still exists in this version. Raises NotFound, Stale."""
        job = self._state.jobs.get(uid)
        if job is None:
            raise NotFound(uid)
        if version is not None and job.version != version:
            raise Stale(uid)
        return job

    def _tell_later(
        self, about: MediaJob | WorkerPool, reason: str, text: str, *, warning: bool
    ) -> None:
        """Post a Kubernetes Event in the background. Events are best effort: none is repeated, and
        their rate is limited, since each costs the API server as much as a status write.
        """
        if not self._events.take():
            return

        async def tell() -> None:
            try:
                await self._client.tell(about, reason, text, warning=warning)
            except Exception as error:  # noqa: BLE001 - best effort, but never silent
                log.warning("event_lost", extra={"error": repr(error)})

        self._tasks.create_task(tell(), name="event")

    async def _dispatch(self, action: Dispatch) -> None:
        job = self._known(action.uid)
        if not lifecycle.is_current_attempt(job, pod=action.pod, attempt=action.attempt):
            # otherwise we wrote it already and only the response was lost
            job = self._known(action.uid, action.version)
            pod, attempt = action.pod, action.attempt
            self._pins.begin(action.uid, attempt)
            await self.write(
                admission.begin(job, self._state, pod=pod, attempt=attempt, wall=time.time())
            )
        await self._hand_over(action.uid, action.pod, action.attempt)

    async def _order(self, action: Order) -> None:
        await self._hand_over(action.uid, action.pod, action.attempt)

    async def _hand_over(self, uid: str, pod: str, attempt: int) -> None:
        """Send the order to the pod. If the pod does not accept it, make sure that the job does not
        run there, and queue it again.
        """
        job = self._known(uid)
        if not lifecycle.is_current_attempt(job, pod=pod, attempt=attempt):
            return
        self._leader.require()
        order = OrderMessage(
            uid=uid,
            name=job.name,
            attempt=attempt,
            url=job.spec.url,
            media=job.spec.media,
            engines=job.spec.engines,
            limits=job.spec.limits,
            avoid=self._state.breakers.avoid(site(job), time.monotonic(), uid),
            attempt_seconds=lifecycle.attempt_seconds(job, self._state),
        )
        subject = subjects.orders(self._pods.install, pod)
        try:
            with self._span("order", job, attempt=attempt, pod=pod):
                reply = await self._bus.request(subject, order, OrderReply, timeout=ORDER_TIMEOUT)
        except RequestTimeout:
            reply = None
        hit(Failpoint.AFTER_ORDER)
        if reply is not None:
            self._state.ordered(pod, free=reply.free, sequence=reply.sequence)
            if reply.accepted:
                known = self._state.pods.get(pod)
                if known is not None:
                    known.accept(uid, attempt)
                return
        self._state.declined(pod, answered=reply is not None)
        log.warning("order_not_taken", extra={"job": uid, "pod": pod, "answered": bool(reply)})
        await self._cancel(Cancel(pod=pod, uid=uid, attempt=attempt))
        now = self._state.jobs.get(uid)
        if now is not None and lifecycle.is_current_attempt(now, pod=pod, attempt=attempt):
            await self.write(lifecycle.requeue(now, time.time()))

    async def _copy(self, action: Copy) -> None:
        """Give a job the stored files of another, if their objects are still in the store. A result
        without its objects is never used again.
        """
        job = self._known(action.uid, action.version)
        source = await self._source(action)
        if source is None:
            if action.source in self._state.finished:
                self._state.duplicates.disbelieve(action.source)
            return
        objects = source.status.objects
        hashes = [each.sha256 for each in objects]
        if self._pins.going(hashes):
            raise StoreUnavailable("its objects are just being deleted")
        with self._pins.held(hashes):
            for each in objects:
                if not await self._store.has(each.sha256, each.bytes):
                    log.warning("object_missing", extra={"job": source.uid, "sha256": each.sha256})
                    if source.uid in self._state.finished:
                        self._state.duplicates.disbelieve(source.uid)
                    return
            self._leader.require()
            await self.write(reuse.reuse(job, source, time.time()))

    async def _source(self, action: Copy) -> MediaJob | None:
        """The finished job with its files; None if it is gone. Its files never change."""
        known = self._sources.get(action.source)
        if known is not None:
            return known if action.source in self._state.finished else None
        try:
            found = await self._client.get_job(action.name)
        except (NotFound, ValidationError):
            return None
        if found.uid != action.source or found.status.phase is not Phase.SUCCEEDED:
            return None
        self._sources[action.source] = found
        if len(self._sources) > SOURCES:
            del self._sources[next(iter(self._sources))]
        return found

    async def _delete_job(self, action: DeleteJob) -> None:
        hit(Failpoint.BEFORE_EXPIRY)
        try:
            gone = await self._client.delete_job(action.name, action.uid, action.version)
        except Conflict:
            return  # somebody changed it: the watch will show that, and it is decided on again
        hit(Failpoint.AFTER_EXPIRY)
        if not gone:
            return  # a finalizer holds it, and it still names its objects
        self._state.job_sights.lose(action.uid, FOREVER)
        log.info("job_expired", extra={"job": action.uid, "name_": action.name})

    async def _cancel(self, action: Cancel) -> None:
        control = Control(action=ControlAction.CANCEL, uid=action.uid, attempt=action.attempt)
        await self._control(action.pod, control)

    async def _control(self, pod: str, control: Control) -> None:
        subject = subjects.control(self._pods.install, pod)
        try:
            await self._bus.request(subject, control, ControlReply, timeout=CONTROL_TIMEOUT)
        except RequestTimeout:
            log.info("control_unanswered", extra={"pod": pod, "action": control.action})

    async def _see_pool_again(self, name: str) -> None:
        """Read a pool that somebody changed; the next turn decides. Raises Failed."""
        try:
            self._state.see_pool(await self._client.get_pool(name))
        except NotFound:
            pool = self._state.pools.get(name)
            if pool is not None:
                self._state.see_pool(pool, gone=True)
        except (ApiUnavailable, Rejected, ValidationError) as error:
            raise Failed(str(error)) from error

    async def _look_again(self, action: Action) -> bool:
        """Read a job that somebody changed; the next turn decides. False if there is no answer."""
        uid = getattr(action, "uid", None)
        job = self._state.jobs.get(uid) if uid else None
        if job is None:
            return True
        try:
            fresh = await self._client.get_job(job.name)
        except NotFound:
            self._state.see_job(job, gone=True)
        except (ApiUnavailable, Rejected):
            return False
        except ValidationError as error:
            self._state.set_aside(job.uid, str(error))
        else:
            if fresh.uid != job.uid:  # it was deleted and created again under the same name
                self._state.see_job(job, gone=True)
            self._state.see_job(fresh)
        return True

    def _begun(self, action: Dispatch) -> bool:
        """Whether the write-ahead succeeded, so that the order must follow."""
        job = self._state.jobs.get(action.uid)
        return lifecycle.is_current_attempt(job, pod=action.pod, attempt=action.attempt)

    def _forget(self, action: Action) -> None:
        """Forget an object that is gone, before the watch says so."""
        match action:
            case WriteStatus(uid=uid) | Dispatch(uid=uid) | Order(uid=uid) | Copy(uid=uid):
                job = self._state.jobs.get(uid)
                if job is not None:
                    self._state.see_job(job, gone=True)
            case DeleteJob(uid=uid, version=version) | SetAside(uid=uid, version=version):
                self._state.job_sights.lose(uid, version)
            case DeletePod():
                pod = self._state.pods.get(action.pod)
                if pod is not None:
                    self._state.see_pod(pod, gone=True)
            case ScalePool(pool=name) | WritePool(pool=name):
                pool = self._state.pools.get(name)
                if pool is not None:
                    self._state.see_pool(pool, gone=True)
            case _:
                pass

    # pods and pools ---------------------------------------------------------------------------

    async def _create_pod(self, action: CreatePod) -> None:
        pool = self._state.pools.get(action.pool)
        if pool is None:
            return
        name = f"{pool.name[:40]}-{''.join(secrets.choice(_ALPHABET) for _ in range(8))}"
        manifest = make(pool, name=name, settings=self._pods, image=action.image)
        hit(Failpoint.BEFORE_POD)
        created = await self._client.create_pod(manifest)
        hit(Failpoint.AFTER_POD)
        self._state.see_pod(created)
        log.info("pod_created", extra={"pod": name, "pool": pool.name})

    async def _drain_pod(self, action: DrainPod) -> None:
        pod = self._state.pods.get(action.pod)
        if pod is not None:
            pod.told_at = time.monotonic()  # the decision may be old
        await self._control(action.pod, Control(action=ControlAction.DRAIN))

    async def _delete_pod(self, action: DeletePod) -> None:
        pod = self._state.pods.get(action.pod)
        if pod is not None and pod.heard_at is not None and not action.heard:
            return  # it was heard meanwhile and may have work: the next turn decides
        if pod is not None:
            pod.told_at = time.monotonic()  # it gets no more orders
        await self._client.delete_pod(action.pod, grace=None if action.heard else UNHEARD_GRACE)
        pod = self._state.pods.get(action.pod)
        if pod is not None:
            pod.leaving = True
        log.info("pod_deleted", extra={"pod": action.pod})

    async def _scale_pool(self, action: ScalePool) -> None:
        pool = self._state.pools.get(action.pool)
        if pool is not None:
            self._state.see_pool(await self._client.scale_pool(pool, action.replicas))
            log.info("pool_scaled", extra={"pool": pool.name, "replicas": action.replicas})

    async def _write_pool(self, action: WritePool) -> None:
        pool = self._state.pools.get(action.pool)
        if pool is None:
            return
        status: WorkerPoolStatus = action.status
        self._state.see_pool(await self._client.write_pool(pool, status.wire()))
        known = {c.type: (c.status, c.reason) for c in pool.status.conditions or ()}
        for condition in status.conditions or ():
            bad = condition.status is ConditionStatus.FALSE
            if bad and known.get(condition.type) != (condition.status, condition.reason):
                log.warning("pool_condition", extra={"pool": pool.name, "reason": condition.reason})
                self._tell_later(pool, condition.reason, condition.message, warning=True)

    async def _mark(self, action: MarkNotUnderstood) -> None:
        condition = Condition(
            type=MARKED_BY[action.kind],
            status=ConditionStatus.FALSE,
            reason=NOT_UNDERSTOOD,
            message="This version of the operator cannot read this object and leaves it alone.",
            last_transition_time=action.time,
        )
        await self._client.write_conditions(
            action.kind,
            action.name,
            action.uid,
            [*map(dict, action.others), condition.wire()],
            version=action.version,
        )

    def _span(self, name: str, job: MediaJob, **attributes: Any) -> Any:
        parent = telemetry.root(job.uid, job.metadata.annotations.get(ANNOTATION_TRACEPARENT))
        return telemetry.span(name, parent=parent, job=job.name, **attributes)
