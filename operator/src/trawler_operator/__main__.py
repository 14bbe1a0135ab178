"""Wires settings, clients and tasks; nothing else decides what exists."""

import asyncio
import json
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from typing import Any, Final, TypeVar, cast

import kopf

from trawler_common import health, lifecycle, logs, telemetry
from trawler_common.backoff import Backoff
from trawler_common.bus import Bus
from trawler_common.kube import ApiUnavailable, Conflict, NotFound, Rejected, WatchExpired
from trawler_common.store import Store, StoreRefused, StoreSettings, StoreUnavailable
from trawler_crds import addresses, subjects
from trawler_crds.messages import Presence, Result, UploadRequest
from trawler_operator import incremental_gc
from trawler_operator.bus.presence import PresenceHandler
from trawler_operator.bus.queue_reports import QueueReporter, restore
from trawler_operator.bus.results import ResultHandler
from trawler_operator.bus.uploads import UploadHandler
from trawler_operator.control.canary_runner import CanaryRunner
from trawler_operator.control.executor import ActionExecutor
from trawler_operator.control.garbage_collector import GarbageCollector
from trawler_operator.control.metrics import Metrics
from trawler_operator.control.ownership import Ownership
from trawler_operator.control.reconciler import Reconciler
from trawler_operator.control.scaling_page import ScalingPage
from trawler_operator.kube import declared_pools, handlers
from trawler_operator.kube.client import ClusterClient
from trawler_operator.kube.informers import Informers
from trawler_operator.kube.leader import Leader, NotLeader
from trawler_operator.planning.gc_rules import Pins
from trawler_operator.planning.pod_manifest import CobaltPod, PodSettings
from trawler_operator.planning.scheduling import Scheduler
from trawler_operator.settings import Settings
from trawler_operator.state.cluster_state import ClusterState

log = logs.get("operator")

Done = TypeVar("Done")

WATCH_SILENCE: Final = 60.0
"""Seconds without our own Lease renewals in the watch, while the API server answers."""
LOOP_SILENCE: Final = 60.0
PASSING: Final = (ApiUnavailable, Rejected, NotFound, WatchExpired, Conflict)
"""Whatever the API server says at the start, another time it may say something else."""
CONFIGURED_WITHIN: Final = 3.0
"""Seconds that a new leader waits for its configured pools before it goes on without."""
CONNECTIONS: Final = 80
"""To the API server: as many as all lanes have hands, and some for watches and reports."""


class _Ended(Exception):
    """The way out of the task group."""


async def serve(stop: asyncio.Event, settings: Settings) -> None:
    """Lead when elected; any doubt about that ends the process."""
    incremental_gc.collect_in_pieces()
    pools = declared_pools.read(settings.pools)
    tracing = telemetry.setup(
        "trawler-operator", endpoint=settings.otlp_endpoint, install=settings.install
    )
    state = ClusterState(
        time.monotonic, reuse_seconds=settings.reuse_seconds, refusals=settings.refusals
    )
    metrics = Metrics(state)
    memo = handlers.Memo(state=state, pulse=handlers.Pulse())
    try:
        async with AsyncExitStack() as stack:
            client = await ClusterClient.connect(settings.install, connections=CONNECTIONS)
            stack.push_async_callback(client.close)
            # the Lease waits behind nothing, not even for a connection
            leases = await ClusterClient.connect(settings.install, connections=2)
            stack.push_async_callback(leases.close)
            leader = Leader(leases, settings.identity)
            metrics.leading.set_function(leader.valid)
            metrics.renewal_gap.set_function(lambda: leader.longest_gap)
            client.fence = leader.remaining
            checks = _Checks(leader, memo)
            await stack.enter_async_context(
                health.serve(
                    port=settings.health_port,
                    live={"loops": checks.alive},
                    ready={
                        "bus": checks.bus_ready,
                        "leading or standing by": checks.serving,
                        "the store's prefix is not another install's": checks.prefix_free,
                    },
                    metrics=metrics.registry,
                    documents={"/scaling": ScalingPage(client).read},
                )
            )
            try:
                async with asyncio.TaskGroup() as tasks:
                    parts = _Parts(tasks, metrics)
                    parts.start("stalls", metrics.watch_the_loop)
                    lead = _lead(
                        settings, pools, client, leader, state, metrics, memo, checks, parts, stop
                    )
                    await lifecycle.unless_stopped(stop, lead)
                    raise _Ended
            except* (_Ended, lifecycle.Stopped):
                log.info("operator_ended")
            await leader.release()  # whose effects have all ended
    finally:
        tracing.shutdown()


class _Parts:
    """What goes on for ever. A fault ends none of it for good; the loss of the Lease ends
    everything.
    """

    def __init__(self, tasks: asyncio.TaskGroup, metrics: Metrics) -> None:
        self.tasks = tasks
        self._metrics = metrics

    def start(self, name: str, work: Callable[[], Awaitable[None]]) -> asyncio.Task[None]:
        fault = self._metrics.faults.labels(name)
        return self.tasks.create_task(
            lifecycle.supervise(name, work, fatal=(NotLeader,), failed=fault.inc), name=name
        )


class _Checks:
    """What the probes ask about."""

    def __init__(self, leader: Leader, memo: handlers.Memo) -> None:
        self._leader = leader
        self._memo = memo
        self.bus: Bus | None = None
        self.reconciler: Reconciler | None = None
        self.ownership: Ownership | None = None

    def prefix_free(self) -> bool:
        return self.ownership is None or self.ownership.free()

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
    pools: declared_pools.DeclaredPools,
    client: ClusterClient,
    leader: Leader,
    state: ClusterState,
    metrics: Metrics,
    memo: handlers.Memo,
    checks: _Checks,
    parts: _Parts,
    stop: asyncio.Event,
) -> None:
    """Watch, be elected, look once more, listen, and only then act. Pools are configured first,
    where that takes no longer than a moment: a webhook that hangs over them keeps nobody from
    leading.
    """
    tasks = parts.tasks
    # what needs no pod goes on without it: admission, cancelling, expiry, scaling
    bus = checks.bus = Bus.opening(
        settings.nats_url, name=f"operator-{settings.identity}", tasks=tasks
    )
    store = _store(settings)
    informers = Informers(client, state, resync=settings.resync_seconds)
    for name, informer in informers.all().items():
        parts.start(f"mirror {name}", informer.run)
    _count(metrics, bus, store, informers)
    # whoever leads knows everything already, but for what happened in the last moment
    for informer in informers.all().values():
        await informer.synced.wait()
    await leader.acquire()
    tasks.create_task(leader.hold(), name="hold the lease")
    # a store that is away delays uploads, not admission
    ownership = checks.ownership = Ownership(store, client)

    async def own_the_prefix() -> None:
        await _patiently(store.ensure_bucket, StoreUnavailable, StoreRefused)
        await ownership.run()

    parts.start("own the prefix", own_the_prefix)
    pins = Pins()
    executor = ActionExecutor(
        client=client,
        bus=bus,
        store=store,
        state=state,
        pins=pins,
        leader=leader,
        pods=_pod_settings(settings),
        metrics=metrics,
        tasks=tasks,
    )
    scheduler = Scheduler()
    canary_runner = CanaryRunner(
        state=state, client=client, leader=leader, release=settings.worker_image
    )
    reconciler = Reconciler(
        state=state,
        bus=bus,
        leader=leader,
        executor=executor,
        scheduler=scheduler,
        pod_settings=_pod_settings(settings),
        canary_runner=canary_runner,
        metrics=metrics,
        tasks=tasks,
    )
    await _configure(client, pools, settings.deployment, reconciler, parts)
    await _patiently(informers.catch_up, *PASSING)
    restore(state, time.time())
    queues = QueueReporter(
        state=state,
        client=client,
        bus=bus,
        leader=leader,
        scheduler=scheduler,
        install=settings.install,
    )
    results = ResultHandler(
        state=state,
        client=client,
        store=store,
        leader=leader,
        executor=executor,
        reconciler=reconciler,
        pins=pins,
        metrics=metrics,
    )
    install = settings.install
    uploads = UploadHandler(state, pins, store, leader, ownership)

    async def listen() -> None:
        # who is heard is sent orders, and what comes of them must find us listening: presence is
        # last
        await bus.serve(subjects.results(install, "*", "*"), Result, results.record)
        await bus.serve(subjects.uploads(install, "*", "*"), UploadRequest, uploads.grant)
        await bus.serve(subjects.presence(install, "*"), Presence, PresenceHandler(state).hear)

    parts.start("listen", listen)
    checks.reconciler = reconciler
    memo.pulse.seen_at = time.monotonic()
    parts.start("watch", lambda: _watch(settings.install, settings.identity, memo, stop))
    log.info("leading")
    parts.start("review pools", informers.review_pools)
    parts.start("canaries", canary_runner.run)
    parts.start("places", queues.tell)
    parts.start("checkpoints", queues.keep)
    garbage_collector = GarbageCollector(
        state=state,
        pins=pins,
        store=store,
        owned=lambda: ownership.ours,
        exclusive=settings.s3_exclusive,
        leader=leader,
        metrics=metrics,
        pause=settings.sweep_pause,
    )
    parts.start("sweep", garbage_collector.run)
    await asyncio.wait({parts.start("reconcile", reconciler.run)})


async def _configure(
    client: ClusterClient,
    pools: declared_pools.DeclaredPools,
    deployment: str,
    reconciler: Reconciler,
    parts: _Parts,
) -> None:
    """Begin to apply the configured pools, and wait a moment for it: else pods of the old shape are
    made.
    """
    answered = asyncio.Event()

    def tell(faults: Mapping[str, str]) -> None:
        reconciler.note_faults(faults)
        answered.set()

    parts.start(
        "configure pools",
        lambda: declared_pools.apply_all(client, pools, deployment=deployment, tell=tell),
    )
    try:
        async with asyncio.timeout(CONFIGURED_WITHIN):
            await answered.wait()
    except TimeoutError:
        log.warning("pools_configured_later")


def _count(metrics: Metrics, bus: Bus, store: Store, informers: Informers) -> None:
    """Show what bus, store and informers keep of themselves."""
    metrics.watch_counts(
        {
            "bus_dropped": (
                "Messages of the bus that came faster than they could be answered.",
                lambda: bus.dropped,
            ),
            "objects_not_taken": (
                "Sights of objects that made us fail; each was left out.",
                lambda: sum(informer.not_taken for informer in informers.all().values()),
            ),
            "lists_of_jobs": (
                "Whole lists of MediaJobs that were taken since the process began.",
                lambda: informers.jobs.lists,
            ),
            "store_open": (
                "1 while the store counts as away, and is only tried now and then.",
                lambda: store.breaker.open,
            ),
        }
    )


async def _watch(namespace: str, identity: str, memo: handlers.Memo, stop: asyncio.Event) -> None:
    """Kopf's watches. That they end without an error means that a signal came while kopf had its
    own handlers: told to stop, as if ours had heard it.
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


async def _patiently(step: Callable[[], Awaitable[Done]], *passing: type[Exception]) -> Done:
    """Repeat a step, with growing pauses, until what it needs is there."""
    pause = Backoff()
    while True:
        try:
            return await step()
        except passing as error:
            log.warning("start_waits", extra={"error": str(error)})
            await pause.pause()


def _store(settings: Settings) -> Store:
    known = StoreSettings.read(
        settings.s3_credentials,
        endpoint=settings.s3_endpoint,
        bucket=settings.s3_bucket,
        region=settings.s3_region,
        prefix=settings.s3_prefix,
    )
    return Store(known)


def _pod_settings(settings: Settings) -> PodSettings:
    return PodSettings(
        install=settings.install,
        image=settings.worker_image,
        pull_policy=settings.worker_pull_policy,
        pull_secrets=tuple(filter(None, settings.worker_pull_secrets.split(","))),
        nats_url=settings.nats_url,
        egress_allow=settings.egress_allow,
        egress_proxy=settings.egress_proxy,
        otlp_endpoint=settings.otlp_endpoint,
        log_level=settings.log_level,
        cobalt=_cobalt(settings),
    )


def _cobalt(settings: Settings) -> CobaltPod:
    """Workers go on without one where its address is none."""
    url = settings.cobalt_url
    if url and (why := addresses.fault(url)) is not None:
        log.error("cobalt_url_unusable", extra={"why": why})
        url = ""
    return CobaltPod(
        image=settings.cobalt_image,
        resources=json.loads(settings.cobalt_resources),
        url=url,
        key_secret=settings.cobalt_key_secret,
        options=json.loads(settings.cobalt_options),
    )


def main() -> None:
    settings = Settings()
    logs.setup("operator", settings.log_level)
    lifecycle.run(lambda stop: serve(stop, settings))


if __name__ == "__main__":
    main()
