"""What the API server says of the kinds that there may be many of, mirrored on the board: MediaJobs,
MediaQueues and worker pods. WorkerPools and the Lease are kopf's (`handlers`).
"""

import asyncio
import math
from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from trawler_common import logs
from trawler_common.kube import ApiAway, Missing, Refused, understood
from trawler_common.reflector import RESYNC, Reflector
from trawler_common.replica import Replica
from trawler_crds.keys import LABEL_POOL
from trawler_crds.media_job import MOST_CONDITIONS, TERMINAL, MediaJob
from trawler_crds.media_queue import MediaQueue
from trawler_operator.kube.cluster import Cluster, pod_from
from trawler_operator.state.board import Board, NotUnderstood, Unreadable
from trawler_operator.state.finished import LONGEST_LIFE, first_believed
from trawler_operator.wording import MARKED_BY, NOT_UNDERSTOOD

log = logs.get("mirrors")


class JobSink:
    """MediaJobs, by uid."""

    def __init__(self, board: Board) -> None:
        self._board = board

    @property
    def replica(self) -> Replica[Any]:
        return self._board.job_sights

    def key(self, manifest: Mapping[str, Any]) -> str:
        return str(manifest["metadata"]["uid"])

    def take(self, manifest: Mapping[str, Any], *, as_of: int) -> None:
        """A job as its model; one that no model can hold is kept by name, to be ended."""
        job = understood(MediaJob, manifest) or _unreadable(manifest)
        self._board.see_job(job, as_of=as_of)
        aside = self._board.unreadable.get(job.uid)
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
    """When (Unix seconds) it was kept long enough, by what of it can be read; never where nobody can read how
    long, or where only a finalizer still holds it.
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

    def __init__(self, board: Board) -> None:
        self._board = board

    @property
    def replica(self) -> Replica[Any]:
        return self._board.queue_sights

    def key(self, manifest: Mapping[str, Any]) -> str:
        return str(manifest["metadata"]["name"])

    def take(self, manifest: Mapping[str, Any], *, as_of: int) -> None:
        queue = understood(MediaQueue, manifest)
        if queue is None:
            self._board.see_queue(not_understood("MediaQueue", manifest), as_of=as_of)
        else:
            self._board.see_queue(queue, as_of=as_of)


class PodSink:
    """Worker pods, by name: none is ever used again."""

    def __init__(self, board: Board) -> None:
        self._board = board

    @property
    def replica(self) -> Replica[Any]:
        return self._board.pod_sights

    def key(self, manifest: Mapping[str, Any]) -> str:
        return str(manifest["metadata"]["name"])

    def take(self, manifest: Mapping[str, Any], *, as_of: int) -> None:
        self._board.see_pod(pod_from(manifest), as_of=as_of)


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


class Mirrors:
    """All of them: begun before an election, so that whoever stands by takes over warm."""

    def __init__(self, cluster: Cluster, board: Board, *, resync: float = RESYNC) -> None:
        self._cluster = cluster
        self._board = board
        self._resync = resync
        self.jobs = Reflector(cluster, cluster.jobs_path, JobSink(board), resync=resync)
        self.queues = Reflector(cluster, cluster.queues_path, QueueSink(board), resync=resync)
        self.pods = Reflector(
            cluster, cluster.pods_path, PodSink(board), selector=LABEL_POOL, resync=resync
        )

    def all(self) -> dict[str, Reflector]:
        """By what they mirror."""
        return {"jobs": self.jobs, "queues": self.queues, "pods": self.pods}

    async def catch_up(self) -> None:
        """Look at everything as it is now: a new leader must not act upon what a watch had not told yet."""
        await asyncio.gather(self.jobs.list(), self.queues.list(), self.pods.list())
        for pool in await self._cluster.list_pools():
            self._board.see_pool(pool)
        log.info("caught_up", extra={"jobs": len(self._board.jobs), "pods": len(self._board.pods)})

    async def review_pools(self) -> None:
        """Look at each pool now and then: kopf does not tell of one that was deleted between its lists."""
        while True:
            await asyncio.sleep(self._resync)
            for pool in tuple(self._board.pools.values()):
                try:
                    self._board.see_pool(await self._cluster.get_pool(pool.name))
                except Missing:
                    self._board.see_pool(pool, gone=True)
                except (ApiAway, Refused, ValidationError) as error:
                    log.info("review_waits", extra={"pool": pool.name, "error": str(error)})
