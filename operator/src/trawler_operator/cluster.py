"""The only module that calls the Kubernetes API. Plain JSON in and out, a deadline on each call."""

import asyncio
import json
import math
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, Final, Self, TypeVar

import aiohttp
from kubernetes.aio import client, config

from trawler_crds import API_GROUP, API_VERSION
from trawler_crds.keys import ANNOTATION_TEMPLATE, LABEL_POOL
from trawler_crds.media_job import MediaJob
from trawler_crds.media_queue import MediaQueue
from trawler_crds.worker_pool import WorkerPool
from trawler_operator.board import Pod, PodPhase

Parsed = TypeVar("Parsed")

TIMEOUT: Final = 10.0
PAGE: Final = 500
LONGEST_PENALTY: Final = 60.0
"""Seconds of a Retry-After that are honoured."""
_MERGE: Final = "application/merge-patch+json"
_APPLY: Final = "application/apply-patch+yaml"


class ApiAway(Exception):
    """The API server did not answer, or with an error that may pass."""

    def __init__(self, why: str, *, retry_after: float = 0.0) -> None:
        super().__init__(why)
        self.retry_after = retry_after
        """Seconds that it asked us to wait."""


class Conflict(Exception):
    """Somebody changed the object since we read it (409)."""


class Missing(Exception):
    """The object is not there (404)."""


class Refused(Exception):
    """The API server will never accept this (400, 403, 422): a fault of ours."""


_ERRORS: Final[Mapping[int, type[Exception]]] = {
    404: Missing,
    409: Conflict,
    **dict.fromkeys((400, 401, 403, 405, 422), Refused),
}


def pod_from(manifest: Mapping[str, Any]) -> Pod:
    """A pod's manifest as the board knows it."""
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
    )


class Cluster:
    """Our namespace, seen through the API server."""

    def __init__(self, api: client.ApiClient, namespace: str) -> None:
        self._api = api
        self.namespace = namespace
        self.fence: Callable[[], float] = lambda: math.inf
        """Seconds for which we may surely still change anything; no write may take longer."""

    @classmethod
    async def connect(cls, namespace: str) -> Self:
        """By the pod's service account, else by KUBECONFIG."""
        settings = client.Configuration()
        try:
            config.load_incluster_config(client_configuration=settings)  # type: ignore[no-untyped-call]
        except config.ConfigException:
            await config.load_kube_config(client_configuration=settings)  # type: ignore[no-untyped-call]
        settings.connection_pool_maxsize = 64
        return cls(client.ApiClient(settings), namespace)

    async def close(self) -> None:
        await self._api.close()  # type: ignore[no-untyped-call]

    # any object -----------------------------------------------------------------------------

    async def call(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        query: Mapping[str, str] | None = None,
        content: str = "application/json",
        timeout: float = TIMEOUT,
    ) -> Any:
        """One request, if it is a write: while the Lease is ours. Raises ApiAway, Conflict, Missing,
        Refused.
        """
        if method != "GET":
            timeout = min(timeout, self.fence())
            if timeout <= 0:
                raise ApiAway(f"{method} {path}: not done, the Lease may be another's")
        return await self._request(
            method, path, body, query=query, content=content, timeout=timeout
        )

    async def _request(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        query: Mapping[str, str] | None = None,
        content: str = "application/json",
        timeout: float,
    ) -> Any:
        headers = {"Accept": "application/json", "Content-Type": content}
        try:
            async with asyncio.timeout(timeout):
                words = await self._api.param_serialize(
                    method,
                    path,
                    query_params=list((query or {}).items()),
                    header_params=headers,
                    body=body,
                    auth_settings=["BearerToken"],
                )
                answer = await self._api.call_api(*words, _request_timeout=timeout)
                data = await answer.read()  # type: ignore[no-untyped-call]
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise ApiAway(repr(error)) from error
        if 200 <= answer.status < 300:
            return json.loads(data)
        what = f"{answer.status} {method} {path}: {_why(data)}"
        if answer.status in _ERRORS:
            raise _ERRORS[answer.status](what)
        raise ApiAway(what, retry_after=_seconds(answer.headers))

    def _core(self, kind: str, name: str = "") -> str:
        return f"/api/v1/namespaces/{self.namespace}/{kind}" + (f"/{name}" if name else "")

    def _ours(self, kind: str, name: str = "", sub: str = "") -> str:
        path = f"/apis/{API_GROUP}/{API_VERSION}/namespaces/{self.namespace}/{kind}"
        return path + (f"/{name}" if name else "") + (f"/{sub}" if sub else "")

    async def _list(
        self, path: str, parse: Callable[[Mapping[str, Any]], Parsed], **query: str
    ) -> list[Parsed]:
        """Page by page, each parsed before the next is asked for: ten thousand objects as plain dicts
        would cost more memory than everything else together.
        """
        found: list[Parsed] = []
        token = ""
        while True:
            page = {"limit": str(PAGE), **query, **({"continue": token} if token else {})}
            answer = await self.call("GET", path, query=page, timeout=30)
            found += [parse(item) for item in answer["items"]]
            token = answer["metadata"].get("continue", "")
            if not token:
                return found

    # jobs -----------------------------------------------------------------------------------

    async def list_jobs(self) -> list[MediaJob]:
        return await self._list(self._ours("mediajobs"), MediaJob.model_validate)

    async def get_job(self, name: str) -> MediaJob:
        return MediaJob.model_validate(await self.call("GET", self._ours("mediajobs", name)))

    async def write_status(self, job: MediaJob, changes: Mapping[str, Any]) -> MediaJob:
        """Change status fields of exactly the version we know. Raises Conflict otherwise."""
        body = {
            "metadata": {"uid": job.uid, "resourceVersion": job.metadata.resource_version},
            "status": dict(changes),
        }
        path = self._ours("mediajobs", job.name, "status")
        return MediaJob.model_validate(await self.call("PATCH", path, body, content=_MERGE))

    async def delete_job(self, job: MediaJob) -> None:
        """Delete exactly the version we know. Raises Conflict otherwise."""
        meta = job.metadata
        body = {"preconditions": {"uid": meta.uid, "resourceVersion": meta.resource_version}}
        await self.call("DELETE", self._ours("mediajobs", job.name), body)

    async def tell(self, job: MediaJob, text: str, *, warning: bool) -> None:
        """An Event on the job, for `kubectl describe`."""
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        body = {
            "metadata": {"generateName": f"{job.name[:40]}-"},
            "involvedObject": {
                "apiVersion": f"{API_GROUP}/{API_VERSION}",
                "kind": "MediaJob",
                "name": job.name,
                "namespace": self.namespace,
                "uid": job.uid,
            },
            "reason": str(job.status.reason or job.status.phase),
            "message": text,
            "type": "Warning" if warning else "Normal",
            "source": {"component": "trawler-operator"},
            "firstTimestamp": now,
            "lastTimestamp": now,
            "count": 1,
        }
        await self.call("POST", self._core("events"), body)

    # pools ----------------------------------------------------------------------------------

    async def list_pools(self) -> list[WorkerPool]:
        return await self._list(self._ours("workerpools"), WorkerPool.model_validate)

    async def create_pool(self, manifest: dict[str, Any]) -> None:
        await self.call("POST", self._ours("workerpools"), manifest)

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
        return WorkerPool.model_validate(await self.call("PATCH", path, body, content=_MERGE))

    async def write_pool(self, pool: WorkerPool, status: dict[str, Any]) -> WorkerPool:
        path = self._ours("workerpools", pool.name, "status")
        body = {"metadata": {"uid": pool.metadata.uid}, "status": status}
        return WorkerPool.model_validate(await self.call("PATCH", path, body, content=_MERGE))

    # queues ---------------------------------------------------------------------------------

    async def list_queues(self) -> list[MediaQueue]:
        return await self._list(self._ours("mediaqueues"), MediaQueue.model_validate)

    async def write_queue(self, queue: MediaQueue, status: dict[str, Any]) -> MediaQueue:
        path = self._ours("mediaqueues", queue.name, "status")
        body = {"metadata": {"uid": queue.metadata.uid}, "status": status}
        return MediaQueue.model_validate(await self.call("PATCH", path, body, content=_MERGE))

    # pods -----------------------------------------------------------------------------------

    async def list_pods(self) -> list[Pod]:
        return await self._list(self._core("pods"), pod_from, labelSelector=LABEL_POOL)

    async def create_pod(self, manifest: dict[str, Any]) -> Pod:
        return pod_from(await self.call("POST", self._core("pods"), manifest))

    async def delete_pod(self, name: str) -> None:
        await self.call("DELETE", self._core("pods", name))

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


def _seconds(headers: Mapping[str, str]) -> float:
    """Retry-After in seconds, within reason; the API server sends whole numbers."""
    try:
        return min(LONGEST_PENALTY, max(0.0, float(headers.get("Retry-After", "0"))))
    except ValueError:
        return 0.0


def _why(data: bytes) -> str:
    try:
        return str(json.loads(data).get("message", ""))[:500]
    except (ValueError, AttributeError):
        return data[:200].decode(errors="replace")
