"""What the API server says, put on the board. Two lines each; the reconciler does the rest."""

import time
from dataclasses import dataclass, field
from typing import Any, TypeVar

import kopf
from pydantic import ValidationError

from trawler_common import logs
from trawler_crds import API_GROUP, API_VERSION
from trawler_crds.keys import LABEL_POOL
from trawler_crds.media_job import MediaJob
from trawler_crds.media_queue import MediaQueue
from trawler_crds.worker_pool import WorkerPool
from trawler_operator import leader
from trawler_operator.board import Board
from trawler_operator.cluster import pod_from

log = logs.get("handlers")

Seen = TypeVar("Seen", MediaJob, MediaQueue, WorkerPool)


@dataclass
class Pulse:
    """When the watch last showed our own Lease renewal (monotonic seconds)."""

    seen_at: float = field(default_factory=time.monotonic)


class Memo(kopf.Memo):
    """What the handlers share."""

    board: Board
    pulse: Pulse

    def __copy__(self) -> "Memo":
        """Kopf copies it for each object that it ever saw; one is enough for all."""
        return self


def registry() -> kopf.OperatorRegistry:
    """All our handlers: low-level events only, so kopf adds nothing to any object."""
    found = kopf.OperatorRegistry()

    @kopf.on.event(API_GROUP, API_VERSION, "mediajobs", registry=found)
    async def media_job(event: kopf.RawEvent, memo: Memo, **_: Any) -> None:
        if not _known(event, memo.board) and (job := _parse(MediaJob, event)) is not None:
            memo.board.see_job(job, gone=event["type"] == "DELETED")

    @kopf.on.event(API_GROUP, API_VERSION, "workerpools", registry=found)
    async def worker_pool(event: kopf.RawEvent, memo: Memo, **_: Any) -> None:
        pool = _parse(WorkerPool, event)
        if pool is not None:
            memo.board.see_pool(pool, gone=event["type"] == "DELETED")

    @kopf.on.event(API_GROUP, API_VERSION, "mediaqueues", registry=found)
    async def media_queue(event: kopf.RawEvent, memo: Memo, **_: Any) -> None:
        queue = _parse(MediaQueue, event)
        if queue is not None:
            memo.board.see_queue(queue, gone=event["type"] == "DELETED")

    @kopf.on.event("", "v1", "pods", labels={LABEL_POOL: kopf.PRESENT}, registry=found)
    async def worker_pod(event: kopf.RawEvent, memo: Memo, **_: Any) -> None:
        memo.board.see_pod(pod_from(event["object"]), gone=event["type"] == "DELETED")

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
        # A worker of kopf waits this long for more about its object. With the default (5 s) and a limit
        # of 200 workers, no more than 40 objects a second would come through.
        settings.queueing.idle_timeout = 0.1
        settings.queueing.worker_limit = 1000

    return found


def _known(event: kopf.RawEvent, board: Board) -> bool:
    """Whether this is our own write, whose answer we have."""
    meta = event["object"]["metadata"]
    return event["type"] != "DELETED" and board.knows(meta["uid"], meta["resourceVersion"])


def _parse(model: type[Seen], event: kopf.RawEvent) -> Seen | None:
    """An object of a newer or broken schema is left alone, not fatal."""
    try:
        return model.model_validate(event["object"])
    except ValidationError as error:
        log.error("object_not_understood", extra={"kind": model.__name__, "error": str(error)})
        return None
