"""Actions into effects. Each checks the Lease, each may be repeated, none decides."""

import asyncio
import secrets
import time
from collections.abc import Awaitable, Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Final

from trawler_common import logs, telemetry
from trawler_common.bus import Bus, NoAnswer
from trawler_common.crashing import CrashPoint, reach
from trawler_common.kube import ApiAway, Conflict, Missing, Refused
from trawler_common.store import Store, StoreAway
from trawler_crds import subjects
from trawler_crds.keys import ANNOTATION_TRACEPARENT
from trawler_crds.media_job import MediaJob
from trawler_crds.messages import Control, ControlAction, ControlReply, OrderReply
from trawler_crds.messages import Order as OrderMessage
from trawler_crds.worker_pool import WorkerPoolStatus
from trawler_operator import admission, lifecycle, sharing
from trawler_operator.actions import (
    Action,
    Cancel,
    Copy,
    CreatePod,
    DeleteJob,
    DeletePod,
    Dispatch,
    DrainPod,
    Order,
    ScalePool,
    WritePool,
    WriteStatus,
)
from trawler_operator.board import Board
from trawler_operator.cluster import Cluster
from trawler_operator.leader import Leader
from trawler_operator.metrics import Metrics
from trawler_operator.pods import PodSettings, make
from trawler_operator.sweeping import Pins

log = logs.get("performer")

ORDER_TIMEOUT: Final = 5.0
CONTROL_TIMEOUT: Final = 2.0
AFTER_FAILURE: Final = 1.0
"""Seconds before the same thing is tried again."""
EVENT_BURST: Final = 25.0
EVENTS_PER_SECOND: Final = 1.0
_WRITES: Final = (WriteStatus, Dispatch, Copy)
"""What changes a job's status; each of exactly one version of it."""
_ALPHABET: Final = "bcdfghjklmnpqrstvwxz2456789"


class Stale(Conflict):
    """We have seen a newer version of the job than the one that was decided on."""


class Bucket:
    """A token bucket by the monotonic clock."""

    def __init__(self, *, size: float, per_second: float) -> None:
        self._size, self._rate = size, per_second
        self._tokens, self._at = size, time.monotonic()

    def take(self) -> bool:
        """Whether there was one."""
        now = time.monotonic()
        self._tokens = min(self._size, self._tokens + (now - self._at) * self._rate)
        self._at = now
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True


class Performer:
    """Does what was decided."""

    def __init__(
        self,
        *,
        cluster: Cluster,
        bus: Bus,
        store: Store,
        board: Board,
        pins: Pins,
        leader: Leader,
        pods: PodSettings,
        metrics: Metrics,
        tasks: asyncio.TaskGroup,
    ) -> None:
        self._cluster = cluster
        self._bus = bus
        self._store = store
        self._board = board
        self._pins = pins
        self._leader = leader
        self._pods = pods
        self._metrics = metrics
        self._tasks = tasks
        self._events = Bucket(size=EVENT_BURST, per_second=EVENTS_PER_SECOND)
        self._effects: dict[type[Any], Callable[[Any], Awaitable[None]]] = {
            WriteStatus: self.write,
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
        }

    async def perform(self, action: Action) -> None:
        """Do one thing. What could not be done is decided on again later, from what is then seen.

        A status write without an answer may have been done. It is repeated, upon the very version
        that was decided on, until that is known: who believed the older sight meanwhile would let
        in, or start, one more than may.
        """
        with self._promised(action):
            while not await self._tried(action) and isinstance(action, _WRITES):
                pass

    def _promised(self, action: Action) -> AbstractContextManager[None]:
        """The slot that an order takes is promised for as long as the order is under way."""
        if isinstance(action, (Dispatch, Order)):
            return self._board.reserving(action.uid, action.attempt, action.pod)
        return nullcontext()

    async def _tried(self, action: Action) -> bool:
        """Do one thing; False, some time later, where it is not known whether it was done."""
        self._leader.require()
        try:
            await self._effects[type(action)](action)
        except Stale:
            log.info("decision_outdated", extra={"action": type(action).__name__})
        except Conflict:
            await self._look_again(action)
            return not isinstance(action, Dispatch)  # it may be our own write that was in the way
        except Missing:
            self._forget(action)
        except (ApiAway, Refused, StoreAway) as error:
            # a quota, a policy, an outage: this object waits a moment, the others go on
            log.warning(
                "effect_failed", extra={"action": type(action).__name__, "error": str(error)}
            )
            asked = error.retry_after if isinstance(error, ApiAway) else 0.0
            await asyncio.sleep(max(AFTER_FAILURE, asked))
            return not isinstance(error, ApiAway)
        return True

    # jobs -----------------------------------------------------------------------------------

    async def write(self, action: WriteStatus) -> None:
        """One status write, of exactly what was decided on. Raises Conflict, Missing, ApiAway."""
        job = self._known(action.uid, action.version)
        phase = action.changes["phase"]
        reach(CrashPoint(f"before-{phase}"))
        with self._span("write status", job, phase=str(phase)):
            fresh = await self._cluster.write_status(job, action.changes)
        reach(CrashPoint(f"after-{phase}"))
        self._metrics.status_writes.inc()
        self._board.see_job(fresh)
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
            self._tell_later(fresh, action.event, warning=action.warning)

    def _known(self, uid: str, version: str | None = None) -> MediaJob:
        """A job that is still there, and as it was decided on. Raises Missing, Stale."""
        job = self._board.jobs.get(uid)
        if job is None:
            raise Missing(uid)
        if version is not None and job.version != version:
            raise Stale(uid)
        return job

    def _tell_later(self, job: MediaJob, text: str, *, warning: bool) -> None:
        """Events are best effort: nobody waits for one, none is repeated, and a burst of ends does
        not become a burst of writes (an event costs the API server as much as a status).
        """
        if not self._events.take():
            return

        async def tell() -> None:
            try:
                await self._cluster.tell(job, text, warning=warning)
            except Exception as error:  # noqa: BLE001 - best effort, but never silent
                log.warning("event_lost", extra={"error": repr(error)})

        self._tasks.create_task(tell(), name="event")

    async def _dispatch(self, action: Dispatch) -> None:
        job = self._known(action.uid)
        if not lifecycle.concerns(job, pod=action.pod, attempt=action.attempt):
            # else it was written by us, and only the answer was lost
            job = self._known(action.uid, action.version)
            pod, attempt = action.pod, action.attempt
            await self.write(
                admission.begin(job, self._board, pod=pod, attempt=attempt, wall=time.time())
            )
        await self._hand_over(action.uid, action.pod, action.attempt)

    async def _order(self, action: Order) -> None:
        await self._hand_over(action.uid, action.pod, action.attempt)

    async def _hand_over(self, uid: str, pod: str, attempt: int) -> None:
        """Order by request and reply. Not accepted: make sure it does not run, and queue it again."""
        job = self._known(uid)
        if not lifecycle.concerns(job, pod=pod, attempt=attempt):
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
            attempt_seconds=lifecycle.attempt_seconds(job, self._board),
        )
        subject = subjects.orders(self._pods.install, pod)
        try:
            with self._span("order", job, attempt=attempt, pod=pod):
                reply = await self._bus.request(subject, order, OrderReply, timeout=ORDER_TIMEOUT)
        except NoAnswer:
            reply = None
            self._board.unanswered(pod)
        reach(CrashPoint.AFTER_ORDER)
        if reply is not None:
            self._board.ordered(pod, free=reply.free, sequence=reply.sequence)
            if reply.accepted:
                known = self._board.pods.get(pod)
                if known is not None:
                    known.accept(uid, attempt)
                return
        log.warning("order_not_taken", extra={"job": uid, "pod": pod, "answered": bool(reply)})
        await self._cancel(Cancel(pod=pod, uid=uid, attempt=attempt))
        now = self._board.jobs.get(uid)
        if now is not None and lifecycle.concerns(now, pod=pod, attempt=attempt):
            await self.write(lifecycle.requeue(now, time.time()))

    async def _copy(self, action: Copy) -> None:
        """The objects are looked at first: a result without them answers nobody any more."""
        job = self._known(action.uid, action.version)
        source = self._board.jobs.get(action.source)
        if source is None:
            return
        files = source.status.files or []
        hashes = [file.sha256 for file in files]
        if self._pins.going(hashes):
            raise StoreAway("its objects are just being deleted")
        with self._pins.held(hashes):
            for file in files:
                if not await self._store.has(file.sha256, file.bytes):
                    log.warning("object_missing", extra={"job": source.uid, "sha256": file.sha256})
                    self._board.twins.disbelieve(source.uid)
                    return
            self._leader.require()
            await self.write(sharing.reuse(job, source, time.time()))

    async def _delete_job(self, action: DeleteJob) -> None:
        job = self._known(action.uid)
        reach(CrashPoint.BEFORE_EXPIRY)
        await self._cluster.delete_job(job)
        reach(CrashPoint.AFTER_EXPIRY)
        self._board.see_job(job, gone=True)
        log.info("job_expired", extra={"job": job.uid, "name_": job.name})

    async def _cancel(self, action: Cancel) -> None:
        control = Control(action=ControlAction.CANCEL, uid=action.uid, attempt=action.attempt)
        await self._control(action.pod, control)

    async def _control(self, pod: str, control: Control) -> None:
        subject = subjects.control(self._pods.install, pod)
        try:
            await self._bus.request(subject, control, ControlReply, timeout=CONTROL_TIMEOUT)
        except NoAnswer:
            log.info("control_unanswered", extra={"pod": pod, "action": control.action})

    async def _look_again(self, action: Action) -> None:
        """Somebody changed the job: read it, and let the next round decide."""
        uid = getattr(action, "uid", None)
        job = self._board.jobs.get(uid) if uid else None
        if job is None:
            return
        try:
            fresh = await self._cluster.get_job(job.name)
        except Missing:
            self._board.see_job(job, gone=True)
        except ApiAway:
            return
        else:
            if fresh.uid != job.uid:  # deleted, and made anew under the same name
                self._board.see_job(job, gone=True)
            self._board.see_job(fresh)

    def _forget(self, action: Action) -> None:
        """The object is gone, though no watch has said so yet."""
        if isinstance(action, (WriteStatus, Dispatch, Order, Copy, DeleteJob)):
            job = self._board.jobs.get(action.uid)
            if job is not None:
                self._board.see_job(job, gone=True)
        elif isinstance(action, DeletePod):
            pod = self._board.pods.get(action.pod)
            if pod is not None:
                self._board.see_pod(pod, gone=True)

    # pods and pools ---------------------------------------------------------------------------

    async def _create_pod(self, action: CreatePod) -> None:
        pool = self._board.pools.get(action.pool)
        if pool is None:
            return
        name = f"{pool.name[:40]}-{''.join(secrets.choice(_ALPHABET) for _ in range(8))}"
        manifest = make(pool, name=name, settings=self._pods)
        reach(CrashPoint.BEFORE_POD)
        created = await self._cluster.create_pod(manifest)
        reach(CrashPoint.AFTER_POD)
        self._board.see_pod(created)
        log.info("pod_created", extra={"pod": name, "pool": pool.name})

    async def _drain_pod(self, action: DrainPod) -> None:
        await self._control(action.pod, Control(action=ControlAction.DRAIN))

    async def _delete_pod(self, action: DeletePod) -> None:
        await self._cluster.delete_pod(action.pod)
        pod = self._board.pods.get(action.pod)
        if pod is not None:
            pod.leaving = True
        log.info("pod_deleted", extra={"pod": action.pod})

    async def _scale_pool(self, action: ScalePool) -> None:
        pool = self._board.pools.get(action.pool)
        if pool is not None:
            self._board.see_pool(await self._cluster.scale_pool(pool, action.replicas))
            log.info("pool_scaled", extra={"pool": pool.name, "replicas": action.replicas})

    async def _write_pool(self, action: WritePool) -> None:
        pool = self._board.pools.get(action.pool)
        if pool is not None:
            status: WorkerPoolStatus = action.status
            self._board.see_pool(await self._cluster.write_pool(pool, status.wire()))

    def _span(self, name: str, job: MediaJob, **attributes: Any) -> Any:
        parent = telemetry.root(job.uid, job.metadata.annotations.get(ANNOTATION_TRACEPARENT))
        return telemetry.span(name, parent=parent, job=job.name, **attributes)
