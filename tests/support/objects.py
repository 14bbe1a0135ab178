"""Jobs, pods and pools for tests of pure code."""

from collections.abc import Callable, Iterable
from typing import Any

from trawler_common.replica import Replica
from trawler_crds.media_job import MediaJob
from trawler_crds.media_queue import MediaQueue
from trawler_crds.messages import Held, Stage
from trawler_crds.worker_pool import WorkerPool
from trawler_operator.state.cluster_state import Clock, ClusterState, Pod, PodPhase

NOON = 1_800_000_000.0


def job(uid: str = "u1", **more: Any) -> MediaJob:
    """A MediaJob; `status_…` sets status fields, `created` and `version` metadata."""
    status = {k.removeprefix("status_"): v for k, v in more.items() if k.startswith("status_")}
    spec = {k: v for k, v in more.items() if not k.startswith(("status_", "created", "version"))}
    return MediaJob.model_validate(
        {
            "metadata": {
                "name": f"job-{uid}",
                "uid": uid,
                "resourceVersion": str(more.get("version", 1)),
                "creationTimestamp": more.get("created", "2027-01-15T08:00:00Z"),
            },
            "spec": {"url": f"http://site:8080/video/{uid}.mp4", **spec},
            "status": status,
        }
    )


def running(uid: str = "u1", *, attempt: int = 1, worker: str = "p1", **more: Any) -> MediaJob:
    return job(uid, status_phase="Running", status_attempt=attempt, status_worker=worker, **more)


def pod(name: str = "p1", **more: Any) -> Pod:
    """A pod that runs, was just heard, and has two free slots."""
    fields: dict[str, Any] = {
        "pool": "default",
        "phase": PodPhase.RUNNING,
        "heard_at": 1000.0,
        "free": 2,
        "template": "t",
        **more,
    }
    return Pod(name=name, **{**fields, "phase": PodPhase(fields["phase"])})


def held(uid: str = "u1", attempt: int = 1, **more: Any) -> dict[tuple[str, int], Held]:
    fields = {"stage": Stage.FETCHING, "age_seconds": 1.0, **more}
    return {(uid, attempt): Held(uid=uid, attempt=attempt, **fields)}


def pool(name: str = "default", **spec: Any) -> WorkerPool:
    return WorkerPool.model_validate(
        {"metadata": {"name": name, "uid": f"pool-{name}", "resourceVersion": "1"}, "spec": spec}
    )


def queue(name: str = "q", **spec: Any) -> MediaQueue:
    return MediaQueue.model_validate(
        {"metadata": {"name": name, "uid": f"queue-{name}", "resourceVersion": "1"}, "spec": spec}
    )


def state_of(
    *things: MediaJob | MediaQueue | Pod | WorkerPool, now: float = 1000.0
) -> ClusterState:
    """Everything was first seen at `now` (monotonic)."""
    found = ClusterState(now=lambda: now)
    for thing in things:
        if isinstance(thing, MediaJob):
            found.see_job(thing)
        elif isinstance(thing, MediaQueue):
            found.see_queue(thing)
        elif isinstance(thing, Pod):
            found.see_pod(thing)
        else:
            found.see_pool(thing)
    return found


def relist(
    state: ClusterState,
    jobs: Iterable[MediaJob],
    pods: Iterable[Pod],
    pools: Iterable[WorkerPool],
    queues: Iterable[MediaQueue],
    *,
    as_of: int,
) -> None:
    """A full list of everything, as the API server had it at one version."""
    lists: list[tuple[Replica[Any], Any, Callable[[Any], str], Callable[..., None]]] = [
        (state.queue_sights, queues, lambda q: q.name, state.see_queue),
        (state.job_sights, jobs, lambda j: j.uid, state.see_job),
        (state.pod_sights, pods, lambda p: p.name, state.see_pod),
    ]
    for replica, things, key, see in lists:
        replica.begin_list()
        for thing in things:
            replica.list_one(key(thing))
            see(thing, as_of=as_of)
        replica.end_list(as_of)
    for mine in pools:
        state.see_pool(mine)


def clock(now: float = 1001.0, *, wall: float = NOON, since: float | None = 0.0) -> Clock:
    return Clock(now=now, wall=wall, listening_since=since)
