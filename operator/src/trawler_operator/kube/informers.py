"""What the API server says of the kinds that there may be many of, kept in the cluster state:
MediaJobs, MediaQueues and worker pods. WorkerPools and the Lease are kopf's (`handlers`).
"""

import asyncio
import math
from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from trawler_common import logs
from trawler_common.kube import ApiUnavailable, NotFound, Rejected, parse_or_none
from trawler_common.reflector import RESYNC, Reflector
from trawler_common.replica import Replica
from trawler_crds.keys import LABEL_POOL
from trawler_crds.media_job import MOST_CONDITIONS, TERMINAL, MediaJob
from trawler_crds.media_queue import MediaQueue
from trawler_operator.formatting import MARKED_BY, NOT_UNDERSTOOD
from trawler_operator.kube.client import ClusterClient, pod_from
from trawler_operator.state.cluster_state import ClusterState, NotUnderstood, Unreadable
from trawler_operator.state.finished import LONGEST_LIFE, first_believed

log = logs.get("mirrors")


class JobSink:
    """MediaJobs, by uid."""

    def __init__(self, state: ClusterState) -> None:
        self._state = state

    @property
    def replica(self) -> Replica[Any]:
        return self._state.job_sights

    def key(self, manifest: Mapping[str, Any]) -> str:
        return str(manifest["metadata"]["uid"])

    def take(self, manifest: Mapping[str, Any], *, as_of: int) -> None:
        """A job as its model; one that no model can hold is kept by name, to be ended."""
        job = parse_or_none(MediaJob, manifest) or _unreadable(manifest)
        self._state.see_job(job, as_of=as_of)
        aside = self._state.unreadable.get(job.uid)
        if aside is not None and aside.understood:
            log.error(
                "job_not_taken", extra={"job": job.uid, "name_": job.name, "error": aside.why}
            )


def _unreadable(manifest: Mapping[str, Any]) -> Unreadable:
    meta, status = manifest["metadata"], _part(manifest, "status")
    ended = str(status.get("phase")) in TERMINAL
    return Unreadable(
        uid=meta["uid"],
        name=meta["name"],
        version=int(meta["resourceVersion"]),
        ended=ended,
        why="its fields are not those of a MediaJob",
        keep_until=_keep_until(manifest) if ended else math.inf,
    )


def _keep_until(manifest: Mapping[str, Any]) -> float:
    """When (Unix seconds) it was kept long enough, by what of it can be read; never where nobody
    can read how long, or where only a finalizer still holds it.
    """
    meta, kept = manifest["metadata"], _part(manifest, "spec").get("ttlSecondsAfterFinished")
    if "deletionTimestamp" in meta or type(kept) is not int or kept > LONGEST_LIFE:
        return math.inf
    completed = _part(manifest, "status").get("completionTime")
    return first_believed(meta.get("creationTimestamp"), completed) + kept


def _part(manifest: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """Spec or status of an object that may be of any shape; empty where it is none."""
    found = manifest.get(name)
    return found if isinstance(found, Mapping) else {}


class QueueSink:
    """MediaQueues, by name. One that is not understood counts as not declared."""

    def __init__(self, state: ClusterState) -> None:
        self._state = state

    @property
    def replica(self) -> Replica[Any]:
        return self._state.queue_sights

    def key(self, manifest: Mapping[str, Any]) -> str:
        return str(manifest["metadata"]["name"])

    def take(self, manifest: Mapping[str, Any], *, as_of: int) -> None:
        queue = parse_or_none(MediaQueue, manifest)
        if queue is None:
            self._state.see_queue(not_understood("MediaQueue", manifest), as_of=as_of)
        else:
            self._state.see_queue(queue, as_of=as_of)


class PodSink:
    """Worker pods, by name: none is ever used again."""

    def __init__(self, state: ClusterState) -> None:
        self._state = state

    @property
    def replica(self) -> Replica[Any]:
        return self._state.pod_sights

    def key(self, manifest: Mapping[str, Any]) -> str:
        return str(manifest["metadata"]["name"])

    def take(self, manifest: Mapping[str, Any], *, as_of: int) -> None:
        self._state.see_pod(pod_from(manifest), as_of=as_of)


def not_understood(kind: str, manifest: Mapping[str, Any]) -> NotUnderstood:
    """A pool or queue of which only the metadata could be read."""
    meta, conditions = manifest["metadata"], _part(manifest, "status").get("conditions")
    known = conditions if isinstance(conditions, list) else []
    found = [c for c in known if isinstance(c, Mapping)]
    mine = [c for c in found if c.get("type") == MARKED_BY[kind]]
    return NotUnderstood(
        kind=kind,
        name=meta["name"],
        uid=meta["uid"],
        version=_version(manifest),
        marked=any(c.get("reason") == NOT_UNDERSTOOD for c in mine),
        others=tuple(c for c in found if c not in mine)[: MOST_CONDITIONS - 1],
    )


def _version(manifest: Mapping[str, Any]) -> int:
    return int(manifest["metadata"]["resourceVersion"])


class Informers:
    """All of them: begun before an election, so that whoever stands by takes over warm."""

    def __init__(
        self, client: ClusterClient, state: ClusterState, *, resync: float = RESYNC
    ) -> None:
        self._client = client
        self._state = state
        self._resync = resync
        self.jobs = Reflector(client, client.jobs_path, JobSink(state), resync=resync)
        self.queues = Reflector(client, client.queues_path, QueueSink(state), resync=resync)
        self.pods = Reflector(
            client, client.pods_path, PodSink(state), selector=LABEL_POOL, resync=resync
        )

    def all(self) -> dict[str, Reflector]:
        """By what they inform of."""
        return {"jobs": self.jobs, "queues": self.queues, "pods": self.pods}

    async def catch_up(self) -> None:
        """Look at everything as it is now: a new leader must not act upon what a watch had not told
        yet.
        """
        await asyncio.gather(self.jobs.list(), self.queues.list(), self.pods.list())
        for pool in await self._client.list_pools():
            self._state.see_pool(pool)
        log.info("caught_up", extra={"jobs": len(self._state.jobs), "pods": len(self._state.pods)})

    async def review_pools(self) -> None:
        """Look at each pool now and then: kopf does not tell of one that was deleted between its
        lists.
        """
        while True:
            await asyncio.sleep(self._resync)
            for pool in tuple(self._state.pools.values()):
                try:
                    self._state.see_pool(await self._client.get_pool(pool.name))
                except NotFound:
                    self._state.see_pool(pool, gone=True)
                except (ApiUnavailable, Rejected, ValidationError) as error:
                    log.info("review_waits", extra={"pool": pool.name, "error": str(error)})
