"""The only module that calls the Kubernetes API. Plain JSON in and out, a deadline on each call."""

from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from functools import partial
from typing import Any, Final

from trawler_common.kube import MERGE, Conflict, Kube, parse_or_none
from trawler_common.text import sanitize
from trawler_crds import API_GROUP, API_VERSION
from trawler_crds.keys import ANNOTATION_TEMPLATE, LABEL_POOL
from trawler_crds.media_job import MediaJob
from trawler_crds.media_queue import MediaQueue
from trawler_crds.worker_pool import WorkerPool
from trawler_operator.state.cluster_state import UNSCHEDULABLE, Pod, PodPhase

_APPLY: Final = "application/apply-patch+yaml"


def pod_from(manifest: Mapping[str, Any]) -> Pod:
    """A pod's manifest as the cluster state knows it."""
    meta, status = manifest["metadata"], manifest.get("status", {})
    phase = status.get("phase", "Pending")
    exits = [s for s in status.get("containerStatuses", []) if "terminated" in s.get("state", {})]
    ended = phase in {"Succeeded", "Failed"} or bool(exits)
    return Pod(
        name=meta["name"],
        pool=meta.get("labels", {}).get(LABEL_POOL, ""),
        created=meta.get("creationTimestamp") or "",
        phase=PodPhase.ENDED if ended else PodPhase(phase if phase == "Running" else "Pending"),
        leaving=meta.get("deletionTimestamp") is not None,
        resource_version=int(meta.get("resourceVersion") or 0),
        template=meta.get("annotations", {}).get(ANNOTATION_TEMPLATE, ""),
        trouble=sanitize(_trouble(status), limit=400),
    )


def _trouble(status: Mapping[str, Any]) -> str:
    """Why a pod does not run, in the words of whoever hinders it; empty where nobody said so."""
    for condition in status.get("conditions", []):
        if condition.get("type") == "PodScheduled" and condition.get("status") == "False":
            return f"{UNSCHEDULABLE}: {condition.get('message', '')}"
    for container in status.get("containerStatuses", []):
        state = container.get("state", {})
        waiting, ended = state.get("waiting"), state.get("terminated")
        if waiting and waiting.get("reason") not in {None, "ContainerCreating", "PodInitializing"}:
            return (
                f"container {container['name']}: {waiting['reason']}: {waiting.get('message', '')}"
            )
        if ended and (ended.get("exitCode") or ended.get("reason") != "Completed"):
            said = f" {ended['message']}" if ended.get("message") else ""
            return (
                f"container {container['name']}: {ended.get('reason', 'ended')},"
                f" exit code {ended.get('exitCode')}{said}"
            )
    return ": ".join(filter(None, (status.get("reason"), status.get("message"))))


class ClusterClient(Kube):
    """Our namespace, as the operator needs it."""

    def _core(self, kind: str, name: str = "") -> str:
        return f"/api/v1/namespaces/{self.namespace}/{kind}" + (f"/{name}" if name else "")

    def _ours(self, kind: str, name: str = "", sub: str = "") -> str:
        path = f"/apis/{API_GROUP}/{API_VERSION}/namespaces/{self.namespace}/{kind}"
        return path + (f"/{name}" if name else "") + (f"/{sub}" if sub else "")

    # jobs -----------------------------------------------------------------------------------

    @property
    def jobs_path(self) -> str:
        return self._ours("mediajobs")

    async def get_job(self, name: str) -> MediaJob:
        return MediaJob.model_validate(await self.call("GET", self._ours("mediajobs", name)))

    async def create_job(self, manifest: dict[str, Any]) -> None:
        """Make it. One that is there already is left as it is."""
        with suppress(Conflict):
            await self.call("POST", self._ours("mediajobs"), manifest)

    async def write_status(self, job: MediaJob, changes: Mapping[str, Any]) -> MediaJob:
        """Change status fields of exactly the version we know. Raises Conflict otherwise."""
        body = {
            "metadata": {"uid": job.uid, "resourceVersion": job.metadata.resource_version},
            "status": dict(changes),
        }
        path = self._ours("mediajobs", job.name, "status")
        return MediaJob.model_validate(await self.call("PATCH", path, body, content=MERGE))

    async def end_job(
        self, name: str, uid: str, version: int, changes: Mapping[str, Any]
    ) -> dict[str, Any]:
        """Change status fields of a job that no model can hold. Raises Conflict where it was
        changed.
        """
        body = {"metadata": {"uid": uid, "resourceVersion": str(version)}, "status": dict(changes)}
        path = self._ours("mediajobs", name, "status")
        found: dict[str, Any] = await self.call("PATCH", path, body, content=MERGE)
        return found

    async def delete_job(self, name: str, uid: str, version: int) -> bool:
        """Delete exactly the version we know. Raises Conflict otherwise. False where the object is
        still there, because a finalizer holds it: then the answer is the object and not a Status.
        """
        body = {"preconditions": {"uid": uid, "resourceVersion": str(version)}}
        answer = await self.call("DELETE", self._ours("mediajobs", name), body)
        return bool(answer.get("kind") == "Status")

    async def tell(
        self, about: MediaJob | WorkerPool, reason: str, text: str, *, warning: bool
    ) -> None:
        """An Event on an object, for `kubectl describe`."""
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        body = {
            "metadata": {"generateName": f"{about.name[:40]}-"},
            "involvedObject": {
                "apiVersion": f"{API_GROUP}/{API_VERSION}",
                "kind": type(about).__name__,
                "name": about.name,
                "namespace": self.namespace,
                "uid": about.metadata.uid,
            },
            "reason": reason,
            "message": text[:1024],
            "type": "Warning" if warning else "Normal",
            "source": {"component": "trawler-operator"},
            "firstTimestamp": now,
            "lastTimestamp": now,
            "count": 1,
        }
        await self.call("POST", self._core("events"), body)

    async def write_conditions(
        self, kind: str, name: str, uid: str, conditions: list[dict[str, Any]], *, version: int
    ) -> None:
        """The conditions of an object of a kind of ours, whatever else it holds. Raises Conflict
        where it is not at this version any more.
        """
        plural = {"WorkerPool": "workerpools", "MediaQueue": "mediaqueues"}[kind]
        at = {"uid": uid, "resourceVersion": str(version)}
        body = {"metadata": at, "status": {"conditions": conditions}}
        await self.call("PATCH", self._ours(plural, name, "status"), body, content=MERGE)

    # pools ----------------------------------------------------------------------------------

    async def get_pool(self, name: str) -> WorkerPool:
        return WorkerPool.model_validate(await self.call("GET", self._ours("workerpools", name)))

    async def list_pools(self) -> list[WorkerPool]:
        return (await self.list_all(self._ours("workerpools"), partial(parse_or_none, WorkerPool)))[
            0
        ]

    async def create_pool(self, manifest: dict[str, Any]) -> None:
        strict = {"fieldValidation": "Strict"}
        await self.call("POST", self._ours("workerpools"), manifest, query=strict)

    async def apply_pool(self, manifest: dict[str, Any]) -> None:
        """Server-side apply of every field in the manifest, and of no other."""
        await self.call(
            "PATCH",
            self._ours("workerpools", manifest["metadata"]["name"]),
            manifest,
            query={"fieldManager": "trawler-operator", "force": "true"},
            content=_APPLY,
        )

    async def delete_pool(self, name: str) -> None:
        await self.call("DELETE", self._ours("workerpools", name))

    async def scale_pool(self, pool: WorkerPool, replicas: int) -> WorkerPool:
        """Write `spec.replicas` of exactly the version we know. Raises Conflict otherwise."""
        meta = {"uid": pool.metadata.uid, "resourceVersion": pool.metadata.resource_version}
        body = {"metadata": meta, "spec": {"replicas": replicas}}
        path = self._ours("workerpools", pool.name)
        return WorkerPool.model_validate(await self.call("PATCH", path, body, content=MERGE))

    async def write_pool(self, pool: WorkerPool, status: dict[str, Any]) -> WorkerPool:
        path = self._ours("workerpools", pool.name, "status")
        body = {"metadata": {"uid": pool.metadata.uid}, "status": status}
        return WorkerPool.model_validate(await self.call("PATCH", path, body, content=MERGE))

    # queues ---------------------------------------------------------------------------------

    @property
    def queues_path(self) -> str:
        return self._ours("mediaqueues")

    async def write_queue(self, queue: MediaQueue, status: dict[str, Any]) -> MediaQueue:
        """Raises Conflict where it writes conditions, and others wrote the queue meanwhile."""
        path = self._ours("mediaqueues", queue.name, "status")
        at = {"uid": queue.metadata.uid}
        if "conditions" in status:
            at["resourceVersion"] = queue.metadata.resource_version
        body = {"metadata": at, "status": status}
        return MediaQueue.model_validate(await self.call("PATCH", path, body, content=MERGE))

    # pods -----------------------------------------------------------------------------------

    @property
    def pods_path(self) -> str:
        return self._core("pods")

    async def list_pods(self) -> list[Pod]:
        return (await self.list_all(self._core("pods"), pod_from, labelSelector=LABEL_POOL))[0]

    async def create_pod(self, manifest: dict[str, Any]) -> Pod:
        return pod_from(await self.call("POST", self._core("pods"), manifest))

    async def delete_pod(self, name: str, *, grace: int | None = None) -> None:
        """`grace`: seconds instead of the pod's own."""
        body = {"gracePeriodSeconds": grace} if grace is not None else None
        await self.call("DELETE", self._core("pods", name), body)

    async def identity(self) -> str:
        """What tells this install from all others, also in other clusters: its namespace's uid."""
        found = await self.call("GET", f"/api/v1/namespaces/{self.namespace}")
        return str(found["metadata"]["uid"])

    # our own --------------------------------------------------------------------------------

    async def get_deployment(self, name: str) -> dict[str, Any]:
        path = f"/apis/apps/v1/namespaces/{self.namespace}/deployments/{name}"
        found: dict[str, Any] = await self.call("GET", path)
        return found

    def _lease(self, name: str = "") -> str:
        path = f"/apis/coordination.k8s.io/v1/namespaces/{self.namespace}/leases"
        return path + (f"/{name}" if name else "")

    async def get_lease(self, name: str, *, timeout: float) -> dict[str, Any]:
        found: dict[str, Any] = await self._request("GET", self._lease(name), timeout=timeout)
        return found

    async def create_lease(self, body: dict[str, Any], *, timeout: float) -> dict[str, Any]:
        found: dict[str, Any] = await self._request("POST", self._lease(), body, timeout=timeout)
        return found

    async def update_lease(self, body: dict[str, Any], *, timeout: float) -> dict[str, Any]:
        """PUT with the resourceVersion inside. Raises Conflict where another was faster."""
        path = self._lease(body["metadata"]["name"])
        found: dict[str, Any] = await self._request("PUT", path, body, timeout=timeout)
        return found

    async def delete_lease(self, name: str) -> None:
        await self.call("DELETE", self._lease(name))
