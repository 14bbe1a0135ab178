"""The composition root: every part of an operator process, connected by constructor arguments."""

import asyncio
import json
from dataclasses import dataclass

from trawler_common import logs
from trawler_common.bus import Bus
from trawler_common.store import Store, StoreSettings
from trawler_crds import addresses
from trawler_operator.bus.presence import PresenceHandler
from trawler_operator.bus.queue_reports import QueueReporter
from trawler_operator.bus.results import ResultHandler
from trawler_operator.bus.uploads import UploadHandler
from trawler_operator.control.canary_runner import CanaryRunner
from trawler_operator.control.executor import ActionExecutor
from trawler_operator.control.garbage_collector import GarbageCollector
from trawler_operator.control.metrics import Metrics
from trawler_operator.control.ownership import Ownership
from trawler_operator.control.reconciler import Reconciler
from trawler_operator.kube.client import ClusterClient
from trawler_operator.kube.informers import Informers
from trawler_operator.kube.leader import Leader
from trawler_operator.planning.gc_rules import Pins
from trawler_operator.planning.pod_manifest import CobaltPod, PodSettings
from trawler_operator.planning.scheduling import Scheduler
from trawler_operator.settings import Settings
from trawler_operator.state.cluster_state import ClusterState

log = logs.get("operator")


@dataclass(frozen=True, kw_only=True)
class Parts:
    """What an operator consists of. Nothing runs yet but the connection to the bus."""

    bus: Bus
    store: Store
    informers: Informers
    ownership: Ownership
    canary_runner: CanaryRunner
    reconciler: Reconciler
    queue_reporter: QueueReporter
    presence: PresenceHandler
    results: ResultHandler
    uploads: UploadHandler
    garbage_collector: GarbageCollector


def compose(
    settings: Settings,
    *,
    client: ClusterClient,
    leader: Leader,
    state: ClusterState,
    metrics: Metrics,
    tasks: asyncio.TaskGroup,
) -> Parts:
    """Build every part, in the order in which they need one another."""
    # everything that needs no pod works without the bus: admission, cancelling, expiry, scaling
    bus = Bus.opening(settings.nats_url, name=f"operator-{settings.identity}", tasks=tasks)
    store, pods = _store(settings), _pod_settings(settings)
    pins, scheduler = Pins(), Scheduler()
    ownership = Ownership(store, client)
    canary_runner = CanaryRunner(
        state=state, client=client, leader=leader, release=settings.worker_image
    )
    executor = ActionExecutor(
        client=client,
        bus=bus,
        store=store,
        state=state,
        pins=pins,
        leader=leader,
        pods=pods,
        metrics=metrics,
        tasks=tasks,
    )
    reconciler = Reconciler(
        state=state,
        bus=bus,
        leader=leader,
        executor=executor,
        scheduler=scheduler,
        pod_settings=pods,
        canary_runner=canary_runner,
        metrics=metrics,
        tasks=tasks,
    )
    return Parts(
        bus=bus,
        store=store,
        informers=Informers(client, state, resync=settings.resync_seconds),
        ownership=ownership,
        canary_runner=canary_runner,
        reconciler=reconciler,
        queue_reporter=QueueReporter(
            state=state,
            client=client,
            bus=bus,
            leader=leader,
            scheduler=scheduler,
            install=settings.install,
        ),
        presence=PresenceHandler(state),
        results=ResultHandler(
            state=state,
            client=client,
            store=store,
            leader=leader,
            executor=executor,
            reconciler=reconciler,
            pins=pins,
            metrics=metrics,
        ),
        uploads=UploadHandler(state, pins, store, leader, ownership),
        garbage_collector=GarbageCollector(
            state=state,
            pins=pins,
            store=store,
            owned=lambda: ownership.ours,
            exclusive=settings.s3_exclusive,
            leader=leader,
            metrics=metrics,
            pause=settings.sweep_pause,
        ),
    )


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
    """Cobalt's settings. With an unusable address, workers run without Cobalt."""
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
