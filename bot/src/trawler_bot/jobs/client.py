"""Client for MediaJobs and MediaQueues: creates, cancels and watches jobs, records their delivery,
and manages the queues in which they wait.
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
"""Timeout in seconds for creating a job: the person must get an answer within three seconds."""
PRESS: Final = 1.5
"""Timeout in seconds for reading or cancelling a job: a person has pressed a button."""
LOOK: Final = 0.5
"""Timeout in seconds for each request about a queue, before the job is created."""
SAMPLED: Final = 1
"""Flag in the last two digits of a traceparent: the trace is recorded (W3C Trace Context,
trace-flags).
"""
TRIES: Final = 5
"""Number of attempts for a status write that conflicts with the operator, which writes the same
object.
"""


class Jobs:
    """The MediaJobs and MediaQueues of our namespace."""

    def __init__(self, kube: Kube) -> None:
        self._kube = kube
        base = f"/apis/{API_GROUP}/{API_VERSION}/namespaces/{kube.namespace}"
        self._path, self._queues = f"{base}/mediajobs", f"{base}/mediaqueues"

    async def create(self, name: str, spec: MediaJobSpec) -> MediaJob:
        """Create a job, or return the existing one: its name follows from the request. Raises
        ApiUnavailable, Rejected.
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
        """The spec of a MediaQueue. A missing queue is created with the given spec; an existing one
        belongs to its owner and stays as it is. Raises ApiUnavailable, Rejected.
        """
        kind = f"{API_GROUP}/{API_VERSION}"
        meta = {"name": name, "labels": {LABEL_MANAGED_BY: MANAGED_BY_BOT}}
        body = {"apiVersion": kind, "kind": "MediaQueue", "metadata": meta, "spec": spec}
        try:
            found = await self._kube.call("GET", f"{self._queues}/{name}", timeout=LOOK)
        except NotFound:
            try:
                found = await self._kube.call("POST", self._queues, body, timeout=LOOK)
            except Conflict:  # another process has just created it
                return MediaQueueSpec()
        return MediaQueueSpec.model_validate(found.get("spec") or {})

    async def queues(self) -> AsyncIterator[MediaQueue]:
        """Every MediaQueue that can be parsed, page by page. Raises ApiUnavailable, Rejected,
        WatchExpired.
        """
        async for page in self._kube.pages(self._queues):
            for item in page["items"]:
                queue = parse_or_none(MediaQueue, item)
                if queue is not None:
                    yield queue

    async def delete_queue(self, queue: MediaQueue) -> None:
        """Delete exactly the observed version of a queue. Raises NotFound, ApiUnavailable, and
        Conflict if it has changed since.
        """
        meta = queue.metadata
        known = {"uid": meta.uid, "resourceVersion": meta.resource_version}
        await self._kube.call("DELETE", f"{self._queues}/{queue.name}", {"preconditions": known})

    async def get(self, name: str) -> MediaJob:
        """Read a job. Raises NotFound, ApiUnavailable."""
        found = await self._kube.call("GET", f"{self._path}/{name}", timeout=PRESS)
        return MediaJob.model_validate(found)

    async def cancel(self, name: str) -> None:
        """Cancel a job, which cannot be undone. Raises NotFound, ApiUnavailable."""
        body = {"spec": {"cancel": True}}
        await self._kube.call("PATCH", f"{self._path}/{name}", body, content=MERGE, timeout=PRESS)

    async def note_messages(self, job: MediaJob, shown: DeliveryStatus) -> MediaJob:
        """Record which messages show a job. This patches only a field of ours, whatever the
        operator has written meanwhile. Raises NotFound, ApiUnavailable, Conflict, Rejected.
        """
        return await self._patch(job, {"uid": job.uid}, {"delivery": _whole(shown)})

    async def note_delivered(
        self, job: MediaJob, shown: DeliveryStatus, *, why_not: str | None = None
    ) -> MediaJob:
        """Record the end of a delivery, also of one that failed. Raises NotFound, ApiUnavailable,
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
        """Patch exactly the known version: conditions are a list that two processes write."""
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
        """A reflector that lists and watches all MediaJobs of the namespace into a sink, once it
        runs.
        """
        return Reflector(self._kube, self._path, sink)


def _whole(shown: DeliveryStatus) -> dict[str, Any]:
    """The complete value for a merge patch: a field without a value is removed."""
    return shown.model_dump(mode="json", by_alias=True)


def is_ours(job: MediaJob) -> bool:
    """Whether the job is delivered to Discord."""
    return job.spec.delivery is not None and job.spec.delivery.discord is not None


def age(job: MediaJob) -> float:
    """Seconds since the job was created, by the wall clock."""
    made = job.metadata.creation_timestamp
    return (datetime.now(UTC) - datetime.fromisoformat(made)).total_seconds() if made else 0.0


def delivered(job: MediaJob) -> bool:
    """Whether the delivery of a job has ended, successfully or not."""
    return any(each.type == DELIVERED for each in job.status.conditions or ())


def is_shown(job: MediaJob) -> bool:
    """Whether the messages of a job have its files, or at least some of them."""
    omitted = (job.status.delivery.omitted if job.status.delivery else None) or ()
    partly = delivered(job) and 0 < len(omitted) < len(job.status.files or ())
    return partly or any(
        each.type == DELIVERED and each.status is ConditionStatus.TRUE
        for each in job.status.conditions or ()
    )
