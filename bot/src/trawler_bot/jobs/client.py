"""MediaJobs as the bot needs them: made, cancelled, watched, and noted as delivered; and the
MediaQueues in which they wait.
"""

from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from typing import Any, Final

from trawler_common import logs, telemetry
from trawler_common.kube import MERGE, Conflict, Kube, NotFound, parse_or_none
from trawler_common.reflector import Reflector, Sink
from trawler_crds import API_GROUP, API_VERSION
from trawler_crds.keys import ANNOTATION_TRACEPARENT, LABEL_MANAGED_BY, MANAGED_BY_BOT
from trawler_crds.media_job import (
    DELIVERED,
    Condition,
    ConditionStatus,
    DeliveryStatus,
    MediaJob,
    MediaJobSpec,
    with_condition,
)
from trawler_crds.media_queue import MediaQueue, MediaQueueSpec

log = logs.get("jobs")

CREATE: Final = 1.8
"""Seconds that making one may take: the person must have an answer within three."""
PRESS: Final = 1.5
"""Seconds that a look at one, or its cancelling, may take: somebody pressed a button."""
LOOK: Final = 0.5
"""Seconds that a look before it may take."""
SAMPLED: Final = 1
"""Of a traceparent's last two digits: somebody records it (W3C Trace Context, trace-flags)."""
TRIES: Final = 5
"""Status writes against the operator's, which writes the same object."""


class Jobs:
    """The MediaJobs and MediaQueues of our namespace."""

    def __init__(self, kube: Kube) -> None:
        self._kube = kube
        base = f"/apis/{API_GROUP}/{API_VERSION}/namespaces/{kube.namespace}"
        self._path, self._queues = f"{base}/mediajobs", f"{base}/mediaqueues"

    async def create(self, name: str, spec: MediaJobSpec) -> MediaJob:
        """Make it, or find it made: a name follows from what was asked. Raises ApiUnavailable,
        Rejected.
        """
        trace = telemetry.headers().get("traceparent", "00")
        sampled = int(trace[-2:], 16) & SAMPLED
        notes = {ANNOTATION_TRACEPARENT: trace} if sampled else {}
        body = {
            "apiVersion": f"{API_GROUP}/{API_VERSION}",
            "kind": "MediaJob",
            "metadata": {"name": name, "annotations": notes},
            "spec": spec.wire(),
        }
        try:
            made = await self._kube.call("POST", self._path, body, timeout=CREATE)
        except Conflict:
            return await self.get(name)
        return MediaJob.model_validate(made)

    async def queue(self, name: str, spec: dict[str, Any]) -> MediaQueueSpec:
        """What a MediaQueue allows. It is made with this spec unless it is there: one that is there
        is its owner's. Raises ApiUnavailable, Rejected.
        """
        kind = f"{API_GROUP}/{API_VERSION}"
        meta = {"name": name, "labels": {LABEL_MANAGED_BY: MANAGED_BY_BOT}}
        body = {"apiVersion": kind, "kind": "MediaQueue", "metadata": meta, "spec": spec}
        try:
            found = await self._kube.call("GET", f"{self._queues}/{name}", timeout=LOOK)
        except NotFound:
            try:
                found = await self._kube.call("POST", self._queues, body, timeout=LOOK)
            except Conflict:  # another made it just now
                return MediaQueueSpec()
        return MediaQueueSpec.model_validate(found.get("spec") or {})

    async def queues(self) -> AsyncIterator[MediaQueue]:
        """Every MediaQueue that can be read, page by page. Raises ApiUnavailable, Rejected,
        WatchExpired.
        """
        async for page in self._kube.pages(self._queues):
            for item in page["items"]:
                queue = parse_or_none(MediaQueue, item)
                if queue is not None:
                    yield queue

    async def delete_queue(self, queue: MediaQueue) -> None:
        """Delete exactly what was seen. Raises NotFound, ApiUnavailable, Conflict where it changed
        since.
        """
        meta = queue.metadata
        known = {"uid": meta.uid, "resourceVersion": meta.resource_version}
        await self._kube.call("DELETE", f"{self._queues}/{queue.name}", {"preconditions": known})

    async def get(self, name: str) -> MediaJob:
        """Raises NotFound, ApiUnavailable."""
        found = await self._kube.call("GET", f"{self._path}/{name}", timeout=PRESS)
        return MediaJob.model_validate(found)

    async def cancel(self, name: str) -> None:
        """One way. Raises NotFound, ApiUnavailable."""
        body = {"spec": {"cancel": True}}
        await self._kube.call("PATCH", f"{self._path}/{name}", body, content=MERGE, timeout=PRESS)

    async def note_messages(self, job: MediaJob, shown: DeliveryStatus) -> MediaJob:
        """Write down which messages show it: a field of ours alone, whatever the operator has
        written meanwhile. Raises NotFound, ApiUnavailable, Conflict, Rejected.
        """
        return await self._patch(job, {"uid": job.uid}, {"delivery": _whole(shown)})

    async def note_delivered(
        self, job: MediaJob, shown: DeliveryStatus, *, why_not: str | None = None
    ) -> MediaJob:
        """The end of a delivery, also of one that could not be. Raises NotFound, ApiUnavailable,
        Conflict, Rejected.
        """
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        ended = shown.model_copy(update={"time": now})

        def changes(seen: MediaJob) -> dict[str, Any]:
            mine = Condition(
                type=DELIVERED,
                status=ConditionStatus.TRUE if why_not is None else ConditionStatus.FALSE,
                reason=why_not or "Shown",
                last_transition_time=now,
            )
            conditions = [each.wire() for each in with_condition(seen.status.conditions, mine)]
            return {"delivery": _whole(ended), "conditions": conditions}

        return await self._write(job, changes)

    async def _write(
        self, job: MediaJob, changes: Callable[[MediaJob], dict[str, Any]]
    ) -> MediaJob:
        """Of exactly the version that is known: conditions are a list that two write."""
        for _ in range(TRIES):
            known = {"uid": job.uid, "resourceVersion": job.version}
            try:
                return await self._patch(job, known, changes(job))
            except Conflict:
                job = await self.get(job.name)
        raise Conflict(f"{job.name} is written by others all the time")

    async def _patch(
        self, job: MediaJob, known: dict[str, Any], status: dict[str, Any]
    ) -> MediaJob:
        path = f"{self._path}/{job.name}/status"
        body = {"metadata": known, "status": status}
        return MediaJob.model_validate(await self._kube.call("PATCH", path, body, content=MERGE))

    def mirror(self, sink: Sink) -> Reflector:
        """Lists and watches all MediaJobs of the namespace into a sink, once it runs."""
        return Reflector(self._kube, self._path, sink)


def _whole(shown: DeliveryStatus) -> dict[str, Any]:
    """For a merge patch: what is not there any more is taken away."""
    return shown.model_dump(mode="json", by_alias=True)


def is_ours(job: MediaJob) -> bool:
    """Whether a message in Discord shows it."""
    return job.spec.delivery is not None and job.spec.delivery.discord is not None


def age(job: MediaJob) -> float:
    """Seconds since it was asked for, by the clock of the day."""
    made = job.metadata.creation_timestamp
    return (datetime.now(UTC) - datetime.fromisoformat(made)).total_seconds() if made else 0.0


def delivered(job: MediaJob) -> bool:
    """Whether its delivery is over, however it went."""
    return any(each.type == DELIVERED for each in job.status.conditions or ())


def is_shown(job: MediaJob) -> bool:
    """Whether its files are in its messages, or at least some of them."""
    omitted = (job.status.delivery.omitted if job.status.delivery else None) or ()
    partly = delivered(job) and 0 < len(omitted) < len(job.status.files or ())
    return partly or any(
        each.type == DELIVERED and each.status is ConditionStatus.TRUE
        for each in job.status.conditions or ()
    )
