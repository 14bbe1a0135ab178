"""What kopf watches for us: WorkerPools and the Lease, put in the cluster state. Two lines each;
the reconciler does the rest. What there may be many of is watched by `kube.informers`: ADR 0019
says why.
"""

import time
from dataclasses import dataclass, field
from typing import Any

import kopf

from trawler_common.kube import parse_or_none
from trawler_crds import API_GROUP, API_VERSION
from trawler_crds.worker_pool import WorkerPool
from trawler_operator.kube import leader
from trawler_operator.kube.informers import not_understood
from trawler_operator.state.cluster_state import ClusterState


@dataclass
class Pulse:
    """When the watch last showed our own Lease renewal (monotonic seconds)."""

    seen_at: float = field(default_factory=time.monotonic)


class Memo(kopf.Memo):
    """What the handlers share."""

    state: ClusterState
    pulse: Pulse

    def __copy__(self) -> "Memo":
        """Kopf copies it for each object that it ever saw; one is enough for all."""
        return self


def registry() -> kopf.OperatorRegistry:
    """All our handlers: low-level events only, so kopf adds nothing to any object."""
    found = kopf.OperatorRegistry()

    @kopf.on.event(API_GROUP, API_VERSION, "workerpools", registry=found)
    async def worker_pool(event: kopf.RawEvent, memo: Memo, **_: Any) -> None:
        pool = parse_or_none(WorkerPool, event["object"])
        memo.state.see_pool(
            pool or not_understood("WorkerPool", event["object"]), gone=event["type"] == "DELETED"
        )

    @kopf.on.event("coordination.k8s.io", "v1", "leases", registry=found)
    async def lease(name: str | None, memo: Memo, **_: Any) -> None:
        if name == leader.NAME:
            memo.pulse.seen_at = time.monotonic()

    @kopf.on.login(registry=found)
    def login(**kwargs: Any) -> kopf.ConnectionInfo | None:
        return kopf.login_with_service_account(**kwargs) or kopf.login_with_kubeconfig(**kwargs)

    @kopf.on.startup(registry=found)
    async def configure(settings: kopf.OperatorSettings, **_: Any) -> None:
        settings.posting.enabled = False
        settings.scanning.disabled = True
        settings.peering.standalone = True
        settings.watching.server_timeout = 300
        settings.watching.client_timeout = 310
        settings.watching.connect_timeout = 10
        settings.watching.reconnect_backoff = 1
        settings.watching.inactivity_timeout = 70
        settings.networking.request_timeout = 20

    return found
