"""The Kubernetes API, for whichever service needs it: one client, one meaning for each refusal."""

import asyncio
import json
import math
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any, Final, Self, TypeVar
from urllib.parse import urlencode

import aiohttp
from kubernetes.aio import client, config
from pydantic import BaseModel, ValidationError
from pydantic_core import from_json

from trawler_common import logs
from trawler_common.errors import Permanent, Transient

log = logs.get("kube")

Parsed = TypeVar("Parsed")
Seen = TypeVar("Seen", bound=BaseModel)

TIMEOUT: Final = 10.0
PAGE: Final = 500
LIST: Final = 30.0
"""Seconds that one page of a list may take."""
WATCH_SECONDS: Final = 300
"""How long one watch lasts; the API server ends it, we open the next."""
SILENCE: Final = 70.0
"""A watch that says nothing for longer is broken: bookmarks come each minute."""
LONGEST_EVENT: Final = 8 * 1024 * 1024
"""Bytes of one event; etcd takes objects of 1.5 MiB (its --max-request-bytes)."""
LONGEST_PENALTY: Final = 60.0
"""Seconds of a Retry-After that are honoured."""
KEPT_OPEN: Final = 75.0
"""Seconds for which an idle connection is kept for whoever comes next: opening one costs both sides
a handshake. The API server keeps them for 90 (its http.Server's IdleTimeout).
"""
MERGE: Final = "application/merge-patch+json"


class ApiUnavailable(Transient):
    """The API server did not answer, or with an error that may pass."""

    def __init__(self, why: str, *, retry_after: float = 0.0) -> None:
        super().__init__(why)
        self.retry_after = retry_after
        """Seconds that it asked us to wait."""


class Conflict(Transient):
    """Somebody changed the object since we read it (409)."""


class WatchExpired(Transient):
    """The API server does not remember the version that a watch was to begin at (410)."""


class NotFound(Permanent):
    """The object is not there (404)."""


class Rejected(Permanent):
    """The API server does not accept this (400, 403, 422): a fault of ours, a quota, or a
    policy.
    """


_ERRORS: Final[Mapping[int, type[Exception]]] = {
    404: NotFound,
    409: Conflict,
    410: WatchExpired,
    **dict.fromkeys((400, 403, 405, 422), Rejected),
}


def parse_or_none(model: type[Seen], manifest: Mapping[str, Any]) -> Seen | None:
    """An object as its model; one of a newer or broken schema is left alone, not fatal."""
    try:
        return model.model_validate(manifest)
    except (ValidationError, TypeError, ValueError) as error:
        log.error("object_not_understood", extra={"kind": model.__name__, "error": str(error)})
        return None


class Kube:
    """One namespace, seen through the API server. Plain JSON in and out, a deadline on each
    call.
    """

    def __init__(
        self, api: client.ApiClient, connector: aiohttp.TCPConnector, namespace: str
    ) -> None:
        self._api = api
        self._connector = connector
        self.namespace = namespace
        self.fence: Callable[[], float] = lambda: math.inf
        """Seconds for which we may surely still change anything; no write may take longer."""

    @classmethod
    async def connect(cls, namespace: str, *, connections: int = 64) -> Self:
        """By the pod's service account, else by KUBECONFIG. `connections` at most: a burst that
        opens as many as it has requests pays more for handshakes than for the requests.
        """
        settings = client.Configuration()
        try:
            config.load_incluster_config(client_configuration=settings)  # type: ignore[no-untyped-call]
        except config.ConfigException:
            await config.load_kube_config(client_configuration=settings)  # type: ignore[no-untyped-call]
        api = client.ApiClient(settings)
        connector = aiohttp.TCPConnector(
            limit=connections, ssl=api.rest_client.ssl_context, keepalive_timeout=KEPT_OPEN
        )
        # its session is made by the first request, with these. No proxy stands between us and the
        # API
        # server; looking that up costs a thread per request
        settings.client_session_kwargs = {"trust_env": False, "connector": connector}
        return cls(api, connector, namespace)

    async def close(self) -> None:
        await self._api.close()  # type: ignore[no-untyped-call]
        await self._connector.close()

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
        """One request, if it is a write: while the Lease is ours. Raises ApiUnavailable, Conflict,
        NotFound, Rejected.
        """
        if method != "GET":
            timeout = min(timeout, self.fence())
            if timeout <= 0:
                raise ApiUnavailable(f"{method} {path}: not done, the Lease may be another's")
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
        once: bool = False,
    ) -> Any:
        limit = aiohttp.ClientTimeout(total=timeout)
        try:
            async with asyncio.timeout(timeout):
                answer = await self._send(method, path, body, query, content, limit, once=once)
                data = await answer.read()
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise ApiUnavailable(repr(error)) from error
        if not 200 <= answer.status < 300:
            raise _error(answer, f"{method} {path}", data)
        try:
            return _parsed(data)
        except ValueError as error:  # whatever stands between us and the API server answered
            raise ApiUnavailable(f"{method} {path}: an answer that is no JSON") from error

    async def _send(
        self,
        method: str,
        path: str,
        body: Any,
        query: Mapping[str, str] | None,
        content: str,
        limit: aiohttp.ClientTimeout,
        *,
        once: bool = False,
    ) -> aiohttp.ClientResponse:
        """The client library's session and credentials without its serializer, which would walk
        through every value of JSON that is plain already. `once`: over a connection that is not
        used again, because each keeps for good what its largest answer took (half a mebibyte,
        measured).
        """
        settings = self._api.configuration
        headers = {"Accept": "application/json", "Content-Type": content}
        if once:
            headers["Connection"] = "close"
        token = await settings.get_api_key_with_prefix("BearerToken", alias="authorization")
        if token:
            headers["Authorization"] = token
        url = settings.host + path + ("?" + urlencode(query) if query else "")
        answer = await self._api.rest_client.request(  # type: ignore[no-untyped-call]
            method, url, headers=headers, body=body, _request_timeout=limit
        )
        sent: aiohttp.ClientResponse = answer.response
        return sent

    async def page(self, path: str, token: str, query: Mapping[str, str]) -> dict[str, Any]:
        """One page of a list: `token` is what the page before said of the next, empty for the
        first. Raises WatchExpired where the list that the token belongs to is forgotten, and as
        `call`.
        """
        asked = {"limit": str(PAGE), **query, **({"continue": token} if token else {})}
        found: dict[str, Any] = await self._request(
            "GET", path, query=asked, timeout=LIST, once=True
        )
        return found

    async def list_all(
        self, path: str, parse: Callable[[Mapping[str, Any]], Parsed | None], **query: str
    ) -> tuple[list[Parsed], str]:
        """All objects of a kind of which there are few, and the version of that sight. Raises as
        `page`. What there may be many of is mirrored (`reflector`).
        """
        found: list[Parsed] = []
        version = ""
        async for page in self.pages(path, **query):
            found += [one for item in page["items"] if (one := parse(item)) is not None]
            version = page["metadata"]["resourceVersion"]
        return found, version

    async def pages(self, path: str, **query: str) -> AsyncIterator[dict[str, Any]]:
        """All pages of one list, none of them kept. Raises as `page`."""
        token = ""
        while True:
            page = await self.page(path, token, query)
            yield page
            token = page["metadata"].get("continue", "")
            if not token:
                return

    async def watch(
        self, path: str, since: str, selecting: Mapping[str, str] | None = None
    ) -> AsyncIterator[dict[str, Any]]:
        """What happens to a kind after a version: events as the API server sends them, for some
        minutes. Raises WatchExpired where it forgot that version, ApiUnavailable where the watch
        broke, and as `call` where it is refused.
        """
        query = {
            "watch": "true",
            "resourceVersion": since,
            "allowWatchBookmarks": "true",
            "timeoutSeconds": str(WATCH_SECONDS),
            **(selecting or {}),
        }
        limit = aiohttp.ClientTimeout(total=None, sock_connect=TIMEOUT, sock_read=SILENCE)
        try:
            answer = await self._send(
                "GET", path, None, query, "application/json", limit, once=True
            )
            async with answer:
                if answer.status != 200:
                    raise _error(answer, f"WATCH {path}", await answer.read())
                async for line in _lines(answer.content):
                    event: dict[str, Any] = _parsed(line)
                    if event["type"] == "ERROR":
                        raise _refusal(event["object"])
                    yield event
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            raise ApiUnavailable(f"WATCH {path}: {error!r}") from error


def _parsed(data: bytes) -> Any:
    """What an answer says. Raises ValueError. The parser shares keys among answers, and not values
    too: most never come again, and 16,384 of them would stay in memory.
    """
    return from_json(data, cache_strings="keys")


async def _lines(content: aiohttp.StreamReader) -> AsyncIterator[bytes]:
    """One event a line. Not by the reader's own lines, which end at 128 KiB: the annotations of a
    legal object alone may have 256. Raises ValueError for a line that no object can fill.
    """
    rest = bytearray()
    async for piece in content.iter_any():
        rest += piece
        *whole, last = rest.split(b"\n")
        for line in whole:
            yield bytes(line)
        rest = last
        if len(rest) > LONGEST_EVENT:
            raise ValueError("an event that does not end")


def _error(answer: aiohttp.ClientResponse, what: str, data: bytes) -> Exception:
    """What an answer other than 2xx means."""
    said = f"{answer.status} {what}: {_why(data)}"
    if answer.status in _ERRORS:
        return _ERRORS[answer.status](said)
    return ApiUnavailable(said, retry_after=_seconds(answer.headers))


def _refusal(status: Mapping[str, Any]) -> Exception:
    """What the API server says in the middle of a watch."""
    said = str(status.get("message", ""))[:500]
    return WatchExpired(said) if status.get("code") == 410 else ApiUnavailable(said)


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
