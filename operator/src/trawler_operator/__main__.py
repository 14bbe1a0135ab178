"""Starts the operator, waits for its election, and stops it."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from typing import Any, Final, TypeVar, cast

import kopf

from trawler_common import health, lifecycle, logs, telemetry
from trawler_common.backoff import Backoff
from trawler_common.bus import Bus
from trawler_common.kube import ApiUnavailable, Conflict, NotFound, Rejected, WatchExpired
from trawler_common.store import Store, StoreRefused, StoreUnavailable
from trawler_crds import subjects
from trawler_crds.messages import Presence, Result, UploadRequest
from trawler_operator import incremental_gc
from trawler_operator.bus.queue_reports import restore
from trawler_operator.composition import Parts, compose
from trawler_operator.control.metrics import Metrics
from trawler_operator.control.reconciler import Reconciler
from trawler_operator.control.scaling_page import ScalingPage
from trawler_operator.kube import declared_pools, handlers
from trawler_operator.kube.client import ClusterClient
from trawler_operator.kube.informers import Informers
from trawler_operator.kube.leader import Leader, NotLeader
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
    """Lead while elected. Any doubt about the election ends the process."""
    incremental_gc.collect_in_pieces()
    tracing = telemetry.setup(
        "trawler-operator", endpoint=settings.otlp_endpoint, install=settings.install
    )
    try:
        async with AsyncExitStack() as stack:
            client = await ClusterClient.connect(settings.install, connections=CONNECTIONS)
            stack.push_async_callback(client.close)
            # the Lease waits behind nothing, not even for a connection
            leases = await ClusterClient.connect(settings.install, connections=2)
            stack.push_async_callback(leases.close)
            leader = Leader(leases, settings.identity)
            client.fence = leader.remaining
            await _run(stop, settings, client, leader, stack)
            await leader.release()  # all effects of this process have ended
    finally:
        tracing.shutdown()


async def _run(
    stop: asyncio.Event,
    settings: Settings,
    client: ClusterClient,
    leader: Leader,
    stack: AsyncExitStack,
) -> None:
    """Run every part until the process is told to stop."""
    pools = declared_pools.read(settings.pools)
    state = ClusterState(
        time.monotonic, reuse_seconds=settings.reuse_seconds, refusals=settings.refusals
    )
    metrics = Metrics(state)
    metrics.leading.set_function(leader.valid)
    metrics.renewal_gap.set_function(lambda: leader.longest_gap)
    memo = handlers.Memo(state=state, pulse=handlers.Pulse())
    try:
        async with asyncio.TaskGroup() as tasks:
            parts = compose(
                settings, client=client, leader=leader, state=state, metrics=metrics, tasks=tasks
            )
            _count(metrics, parts.bus, parts.store, parts.informers)
            checks = _Checks(leader, memo, parts)
            # it closes last: open connections to it must not delay the release of the Lease
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
            loops = _Loops(tasks, metrics)
            loops.start("stalls", metrics.watch_the_loop)
            operator = _Operator(settings, client, leader, state, memo, parts, loops, checks)
            await lifecycle.unless_stopped(stop, operator.lead(pools, stop))
            raise _Ended
    except* (_Ended, lifecycle.Stopped):
        log.info("operator_ended")


class _Loops:
    """Loops that run for ever. A fault restarts one of them; the loss of the Lease ends the
    process.
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
    """What the probes ask."""

    def __init__(self, leader: Leader, memo: handlers.Memo, parts: Parts) -> None:
        self._leader = leader
        self._memo = memo
        self._parts = parts
        self.leading_since: float | None = None
        """Monotonic seconds since when the reconciler and kopf's watches run."""

    def prefix_free(self) -> bool:
        return self._parts.ownership.free()

    def bus_ready(self) -> bool:
        return self._parts.bus.connected

    def serving(self) -> bool:
        return self._leader.valid() or self._leader.standing_by()

    def alive(self) -> bool:
        """Whether our loops turn and the watch shows what we write. Dependencies do not count."""
        now = time.monotonic()
        if self.leading_since is None:
            return True
        watching = now - self._memo.pulse.seen_at < WATCH_SILENCE
        answered = now - self._leader.answered < WATCH_SILENCE / 2
        turned = max(self._parts.reconciler.turned_at, self.leading_since)
        turning = now - turned < LOOP_SILENCE
        return turning and (watching or not answered)


class _Operator:
    """The order in which the parts start."""

    def __init__(
        self,
        settings: Settings,
        client: ClusterClient,
        leader: Leader,
        state: ClusterState,
        memo: handlers.Memo,
        parts: Parts,
        loops: _Loops,
        checks: _Checks,
    ) -> None:
        self._settings = settings
        self._client = client
        self._leader = leader
        self._state = state
        self._memo = memo
        self._parts = parts
        self._loops = loops
        self._checks = checks

    async def lead(self, pools: declared_pools.DeclaredPools, stop: asyncio.Event) -> None:
        """Watch, be elected, look once more, listen, and only then act. Pools are configured first,
        if that takes only a moment: a webhook that hangs must not keep an operator from leading.
        """
        parts = self._parts
        await self._stand_by()
        self._loops.tasks.create_task(self._leader.hold(), name="hold the lease")
        # a store that is away delays uploads, not admission
        self._loops.start("own the prefix", self._own_the_prefix)
        await _configure(
            self._client, pools, self._settings.deployment, parts.reconciler, self._loops
        )
        await _patiently(parts.informers.catch_up, *PASSING)
        restore(self._state, time.time())
        self._loops.start("listen", self._listen)
        self._checks.leading_since = self._memo.pulse.seen_at = time.monotonic()
        names = self._settings.install, self._settings.identity
        self._loops.start("watch", lambda: _watch(*names, self._memo, stop))
        log.info("leading")
        self._loops.start("review pools", parts.informers.review_pools)
        self._loops.start("canaries", parts.canary_runner.run)
        self._loops.start("places", parts.queue_reporter.tell)
        self._loops.start("checkpoints", parts.queue_reporter.keep)
        self._loops.start("sweep", parts.garbage_collector.run)
        await asyncio.wait({self._loops.start("reconcile", parts.reconciler.run)})

    async def _stand_by(self) -> None:
        """Know everything, then wait for the election: a new leader lacks only the last moment."""
        informers = self._parts.informers.all()
        for name, informer in informers.items():
            self._loops.start(f"mirror {name}", informer.run)
        for informer in informers.values():
            await informer.synced.wait()
        await self._leader.acquire()

    async def _own_the_prefix(self) -> None:
        await _patiently(self._parts.store.ensure_bucket, StoreUnavailable, StoreRefused)
        await self._parts.ownership.run()

    async def _listen(self) -> None:
        # a pod that is heard gets orders, and its results must find us listening: presence is last
        parts, install = self._parts, self._settings.install
        results, uploads = subjects.results(install, "*", "*"), subjects.uploads(install, "*", "*")
        await parts.bus.serve(results, Result, parts.results.record)
        await parts.bus.serve(uploads, UploadRequest, parts.uploads.grant)
        await parts.bus.serve(subjects.presence(install, "*"), Presence, parts.presence.hear)


async def _configure(
    client: ClusterClient,
    pools: declared_pools.DeclaredPools,
    deployment: str,
    reconciler: Reconciler,
    loops: _Loops,
) -> None:
    """Begin to apply the configured pools, and wait a moment for it: else pods of the old shape are
    made.
    """
    answered = asyncio.Event()

    def tell(faults: Mapping[str, str]) -> None:
        reconciler.note_faults(faults)
        answered.set()

    loops.start(
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


def main() -> None:
    settings = Settings()
    logs.setup("operator", settings.log_level)
    lifecycle.run(lambda stop: serve(stop, settings))


if __name__ == "__main__":
    main()
