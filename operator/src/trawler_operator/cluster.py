"""The only module that calls the Kubernetes API. Plain JSON in and out, a deadline on each call."""

import asyncio
import json
import math
from collections.abc import AsyncIterator, Callable, Mapping
from datetime import UTC, datetime
from functools import partial
from typing import Any, Final, Self, TypeVar
from urllib.parse import urlencode

import aiohttp
from kubernetes.aio import client, config
from pydantic import ValidationError
from pydantic_core import from_json

from trawler_common import logs
from trawler_crds import API_GROUP, API_VERSION
from trawler_crds.keys import ANNOTATION_TEMPLATE, LABEL_POOL
from trawler_crds.media_job import MediaJob
from trawler_crds.media_queue import MediaQueue
from trawler_crds.worker_pool import WorkerPool
from trawler_operator.board import Pod, PodPhase

log = logs.get("cluster")

Parsed = TypeVar("Parsed")
Seen = TypeVar("Seen", MediaJob, MediaQueue, WorkerPool)

TIMEOUT: Final = 10.0
PAGE: Final = 500
WATCH_SECONDS: Final = 300
"""How long one watch lasts; the API server ends it, we open the next."""
SILENCE: Final = 70.0
"""A watch that says nothing for longer is broken: bookmarks come each minute."""
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


class Gone(Exception):
    """The API server does not remember the version that a watch was to begin at (410)."""


class Missing(Exception):
    """The object is not there (404)."""


class Refused(Exception):
    """The API server will never accept this (400, 403, 422): a fault of ours."""


_ERRORS: Final[Mapping[int, type[Exception]]] = {
    404: Missing,
    409: Conflict,
    410: Gone,
    **dict.fromkeys((400, 401, 403, 405, 422), Refused),
}


def understood(model: type[Seen], manifest: Mapping[str, Any]) -> Seen | None:
    """An object as its model; one of a newer or broken schema is left alone, not fatal."""
    try:
        return model.model_validate(manifest)
    except ValidationError as error:
        log.error("object_not_understood", extra={"kind": model.__name__, "error": str(error)})
        return None


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
        # nobody stands between us and the API server; looking that up costs a thread per request
        settings.client_session_kwargs = {"trust_env": False}
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
        limit = aiohttp.ClientTimeout(total=timeout)
        try:
            async with asyncio.timeout(timeout):
                answer = await self._send(method, path, body, query, content, limit)
                data = await answer.read()
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise ApiAway(repr(error)) from error
        if 200 <= answer.status < 300:
            return from_json(data)
        raise _error(answer, f"{method} {path}", data)

    async def _send(
        self,
        method: str,
        path: str,
        body: Any,
        query: Mapping[str, str] | None,
        content: str,
        limit: aiohttp.ClientTimeout,
    ) -> aiohttp.ClientResponse:
        """The client library's session and credentials without its serializer, which would walk
        through every value of JSON that is plain already.
        """
        settings = self._api.configuration
        headers = {"Accept": "application/json", "Content-Type": content}
        token = await settings.get_api_key_with_prefix("BearerToken", alias="authorization")
        if token:
            headers["Authorization"] = token
        url = settings.host + path + ("?" + urlencode(query) if query else "")
        answer = await self._api.rest_client.request(  # type: ignore[no-untyped-call]
            method, url, headers=headers, body=body, _request_timeout=limit
        )
        sent: aiohttp.ClientResponse = answer.response
        return sent

    def _core(self, kind: str, name: str = "") -> str:
        return f"/api/v1/namespaces/{self.namespace}/{kind}" + (f"/{name}" if name else "")

    def _ours(self, kind: str, name: str = "", sub: str = "") -> str:
        path = f"/apis/{API_GROUP}/{API_VERSION}/namespaces/{self.namespace}/{kind}"
        return path + (f"/{name}" if name else "") + (f"/{sub}" if sub else "")

    async def _list(
        self, path: str, parse: Callable[[Mapping[str, Any]], Parsed | None], **query: str
    ) -> tuple[list[Parsed], str]:
        """All objects, and the version of that sight. Page by page, each parsed before the next is
        asked for: ten thousand as plain dicts would cost more memory than everything else together.
        """
        found: list[Parsed] = []
        token = ""
        while True:
            page = {"limit": str(PAGE), **query, **({"continue": token} if token else {})}
            answer = await self.call("GET", path, query=page, timeout=30)
            found += [one for item in answer["items"] if (one := parse(item)) is not None]
            token = answer["metadata"].get("continue", "")
            if not token:
                return found, answer["metadata"]["resourceVersion"]

    # jobs -----------------------------------------------------------------------------------

    async def list_jobs(self) -> tuple[list[MediaJob], str]:
        """All MediaJobs, and the version that a watch goes on from."""
        return await self._list(self._ours("mediajobs"), partial(understood, MediaJob))

    async def watch_jobs(self, since: str) -> AsyncIterator[dict[str, Any]]:
        """What happens to MediaJobs after a version: events as the API server sends them, for some
        minutes. Raises Gone where it forgot that version, ApiAway where the watch broke.
        """
        path = self._ours("mediajobs")
        query = {
            "watch": "true",
            "resourceVersion": since,
            "allowWatchBookmarks": "true",
            "timeoutSeconds": str(WATCH_SECONDS),
        }
        limit = aiohttp.ClientTimeout(total=None, sock_connect=TIMEOUT, sock_read=SILENCE)
        try:
            answer = await self._send("GET", path, None, query, "application/json", limit)
            async with answer:
                if answer.status != 200:
                    raise _error(answer, f"WATCH {path}", await answer.read())
                async for line in answer.content:
                    event: dict[str, Any] = from_json(line)
                    if event["type"] == "ERROR":
                        raise _refusal(event["object"])
                    yield event
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            raise ApiAway(f"WATCH {path}: {error!r}") from error

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
        return (await self._list(self._ours("workerpools"), partial(understood, WorkerPool)))[0]

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
        return (await self._list(self._ours("mediaqueues"), partial(understood, MediaQueue)))[0]

    async def write_queue(self, queue: MediaQueue, status: dict[str, Any]) -> MediaQueue:
        path = self._ours("mediaqueues", queue.name, "status")
        body = {"metadata": {"uid": queue.metadata.uid}, "status": status}
        return MediaQueue.model_validate(await self.call("PATCH", path, body, content=_MERGE))

    # pods -----------------------------------------------------------------------------------

    async def list_pods(self) -> list[Pod]:
        return (await self._list(self._core("pods"), pod_from, labelSelector=LABEL_POOL))[0]

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


def _error(answer: aiohttp.ClientResponse, what: str, data: bytes) -> Exception:
    """What an answer other than 2xx means."""
    said = f"{answer.status} {what}: {_why(data)}"
    if answer.status in _ERRORS:
        return _ERRORS[answer.status](said)
    return ApiAway(said, retry_after=_seconds(answer.headers))


def _refusal(status: Mapping[str, Any]) -> Exception:
    """What the API server says in the middle of a watch."""
    said = str(status.get("message", ""))[:500]
    return Gone(said) if status.get("code") == 410 else ApiAway(said)


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
