"""Wires settings, clients and tasks; nothing else decides what exists."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Any, Final, TypeVar, cast

import kopf

from trawler_common import health, lifecycle, logs, telemetry
from trawler_common.bus import Bus
from trawler_common.kube import ApiAway
from trawler_common.store import Store, StoreAway, StoreSettings
from trawler_crds import subjects
from trawler_crds.messages import Presence, Result, UploadRequest
from trawler_operator import configured, handlers, memory
from trawler_operator.board import Board
from trawler_operator.broom import Broom
from trawler_operator.cluster import Cluster
from trawler_operator.leader import Leader
from trawler_operator.metrics import Metrics
from trawler_operator.performer import Performer
from trawler_operator.pods import PodSettings
from trawler_operator.presence import PresenceDesk
from trawler_operator.queues import QueueDesk, restore
from trawler_operator.reconciler import Reconciler
from trawler_operator.results import ResultDesk
from trawler_operator.scaling_page import ScalingPage
from trawler_operator.scheduling import Scheduler
from trawler_operator.settings import Settings
from trawler_operator.sweeping import Pins
from trawler_operator.uploads import UploadDesk
from trawler_operator.watching import JobWatch

log = logs.get("operator")

Done = TypeVar("Done")

WATCH_SILENCE: Final = 60.0
"""Seconds without our own Lease renewals in the watch, while the API server answers."""
LOOP_SILENCE: Final = 60.0


class _Ended(Exception):
    """The way out of the task group."""


async def serve(stop: asyncio.Event, settings: Settings) -> None:
    """Lead when elected; any doubt about that ends the process."""
    pools = configured.read(settings.pools)
    tracing = telemetry.setup(
        "trawler-operator", endpoint=settings.otlp_endpoint, install=settings.install
    )
    board = Board(reuse_seconds=settings.reuse_seconds)
    metrics = Metrics(board)
    memo = handlers.Memo(board=board, pulse=handlers.Pulse())
    try:
        async with AsyncExitStack() as stack:
            cluster = await Cluster.connect(settings.install)
            stack.push_async_callback(cluster.close)
            leader = Leader(cluster, settings.identity)
            metrics.leading.set_function(leader.valid)
            cluster.fence = leader.remaining
            state = _State(leader, memo)
            await stack.enter_async_context(
                health.serve(
                    port=settings.health_port,
                    live={"loops": state.alive},
                    ready={"bus": state.bus_ready, "leading or standing by": state.serving},
                    metrics=metrics.registry,
                    documents={"/scaling": ScalingPage(cluster).read},
                )
            )
            try:
                async with asyncio.TaskGroup() as tasks:
                    tasks.create_task(memory.give_back(), name="give memory back")
                    lead = _lead(
                        settings, pools, cluster, leader, board, metrics, memo, state, tasks, stop
                    )
                    await lifecycle.unless_stopped(stop, lead)
                    raise _Ended
            except* (_Ended, lifecycle.Stopped):
                log.info("operator_ended")
            await leader.release()  # whose effects have all ended
    finally:
        tracing.shutdown()


class _State:
    """What the probes ask about."""

    def __init__(self, leader: Leader, memo: handlers.Memo) -> None:
        self._leader = leader
        self._memo = memo
        self.bus: Bus | None = None
        self.reconciler: Reconciler | None = None

    def bus_ready(self) -> bool:
        return self.bus is not None and self.bus.connected

    def serving(self) -> bool:
        return self._leader.valid() or self._leader.standing_by()

    def alive(self) -> bool:
        """Our loops turn, and the watch shows what we write; dependencies do not count."""
        now = time.monotonic()
        if self.reconciler is None:
            return True
        watching = now - self._memo.pulse.seen_at < WATCH_SILENCE
        answered = now - self._leader.answered < WATCH_SILENCE / 2
        return now - self.reconciler.turned_at < LOOP_SILENCE and (watching or not answered)


async def _lead(
    settings: Settings,
    pools: dict[str, dict[str, object]],
    cluster: Cluster,
    leader: Leader,
    board: Board,
    metrics: Metrics,
    memo: handlers.Memo,
    state: _State,
    tasks: asyncio.TaskGroup,
    stop: asyncio.Event,
) -> None:
    """Elect, list, listen, and only then act."""
    bus = state.bus = await Bus.connect(
        settings.nats_url, name=f"operator-{settings.identity}", tasks=tasks, patience=600
    )
    store = _store(settings)
    await leader.acquire()
    tasks.create_task(leader.hold(), name="hold the lease")
    # a store that is away delays uploads, not admission
    tasks.create_task(_patiently(store.ensure_bucket, StoreAway), name="make the bucket")
    await _patiently(
        lambda: configured.apply(cluster, pools, deployment=settings.deployment), ApiAway
    )
    pins = Pins()
    performer = Performer(
        cluster=cluster,
        bus=bus,
        store=store,
        board=board,
        pins=pins,
        leader=leader,
        pods=_pod_settings(settings),
        metrics=metrics,
        tasks=tasks,
    )
    scheduler = Scheduler()
    reconciler = Reconciler(
        board=board,
        cluster=cluster,
        bus=bus,
        leader=leader,
        performer=performer,
        scheduler=scheduler,
        pod_settings=_pod_settings(settings),
        tasks=tasks,
    )
    version = await _patiently(reconciler.list_all, ApiAway)
    queues = QueueDesk(
        board=board,
        cluster=cluster,
        bus=bus,
        leader=leader,
        scheduler=scheduler,
        install=settings.install,
    )
    restore(board, time.time())
    results = ResultDesk(
        board=board,
        cluster=cluster,
        store=store,
        leader=leader,
        performer=performer,
        reconciler=reconciler,
        metrics=metrics,
    )
    install = settings.install
    await bus.serve(subjects.presence(install, "*"), Presence, PresenceDesk(board).hear)
    await bus.serve(
        subjects.uploads(install, "*", "*"),
        UploadRequest,
        UploadDesk(board, pins, store, leader).grant,
    )
    await bus.serve(subjects.results(install, "*", "*"), Result, results.record)
    state.reconciler = reconciler
    memo.pulse.seen_at = time.monotonic()
    tasks.create_task(_watch(settings.install, settings.identity, memo, stop), name="watch")
    jobs = JobWatch(cluster, board, reconciler.list_all)
    tasks.create_task(jobs.run(version), name="watch jobs")
    log.info("leading")
    tasks.create_task(queues.run(), name="queues")
    broom = Broom(board=board, pins=pins, store=store, leader=leader, metrics=metrics)
    tasks.create_task(broom.run(), name="sweep")
    turning = tasks.create_task(reconciler.run(), name="reconcile")
    closed = tasks.create_task(bus.closed.wait(), name="bus closed")
    await asyncio.wait({turning, closed}, return_when=asyncio.FIRST_COMPLETED)


async def _watch(namespace: str, identity: str, memo: handlers.Memo, stop: asyncio.Event) -> None:
    """Kopf's watches. That they end without an error means that a signal came while kopf had its own
    handlers: told to stop, as if ours had heard it.
    """
    ready = asyncio.Event()
    taking_back = asyncio.create_task(_take_signals_back(ready, stop), name="signals")
    try:
        await kopf.operator(
            registry=handlers.registry(),
            memo=memo,
            namespaces=[namespace],
            standalone=True,
            ready_flag=ready,
            identity=cast("Any", identity),  # else kopf asks the system for a user name
        )
    finally:
        taking_back.cancel()
    stop.set()


async def _take_signals_back(ready: asyncio.Event, stop: asyncio.Event) -> None:
    """Kopf puts its own handlers on SIGTERM and SIGINT; ours release the Lease first."""
    await ready.wait()
    lifecycle.listen_to_signals(stop)


async def _patiently(step: Callable[[], Awaitable[Done]], passing: type[Exception]) -> Done:
    """Repeat a first step until what it needs is there."""
    while True:
        try:
            return await step()
        except passing as error:
            log.warning("start_waits", extra={"error": str(error)})
            await asyncio.sleep(1)


def _store(settings: Settings) -> Store:
    known = StoreSettings.read(
        settings.s3_credentials,
        endpoint=settings.s3_endpoint,
        bucket=settings.s3_bucket,
        region=settings.s3_region,
    )
    return Store(known)


def _pod_settings(settings: Settings) -> PodSettings:
    return PodSettings(
        install=settings.install,
        image=settings.worker_image,
        pull_policy=settings.worker_pull_policy,
        nats_url=settings.nats_url,
        egress_allow=settings.egress_allow,
        egress_proxy=settings.egress_proxy,
        otlp_endpoint=settings.otlp_endpoint,
        log_level=settings.log_level,
    )


def main() -> None:
    settings = Settings()
    logs.setup("operator", settings.log_level)
    lifecycle.run(lambda stop: serve(stop, settings))


if __name__ == "__main__":
    main()
