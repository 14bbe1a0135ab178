"""What the API server can do at all: a bare client that creates MediaJobs and writes their
status.
"""

import asyncio
import json
import secrets
import time
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, Final

import aiohttp

from apiclient import Access
from operator_process import stored

AT_ONCE: Final = 32


class Client:
    """A bare client: as fast as this machine's API server answers."""

    def __init__(self, api: Access, namespace: str, session: aiohttp.ClientSession) -> None:
        self._server = api.address
        self._headers = api.headers()
        self._session = session
        self._base = f"/apis/trawler.dev/v1alpha1/namespaces/{namespace}"

    async def ask(
        self, method: str, path: str, body: Any = None, kind: str = "application/json"
    ) -> Any:
        headers = {**self._headers, "Content-Type": kind}
        async with self._session.request(
            method, f"{self._server}{self._base}{path}", data=json.dumps(body), headers=headers
        ) as answer:
            text = await answer.read()
            assert answer.status < 300, text[:300]
            return json.loads(text)

    async def create(self, name: str, queue: str) -> None:
        await self.ask_for(name, url=f"http://site:8080/video/{name}.mp4", queue=queue)

    async def ask_for(self, name: str, **spec: Any) -> None:
        """A MediaJob of any spec."""
        await self.ask("POST", "/mediajobs", manifest("MediaJob", name, spec))

    async def write(self, name: str, status: dict[str, Any]) -> None:
        """A status, without any operator."""
        path = f"/mediajobs/{name}/status"
        await self.ask("PATCH", path, {"status": status}, "application/merge-patch+json")

    async def until_queued(self, names: Iterable[str], *, seconds: float) -> None:
        """Wait until each of these is in phase Queued."""
        end, left = time.monotonic() + seconds, set(names)
        while left:
            assert time.monotonic() < end, f"{len(left)} were never queued"
            await asyncio.sleep(0.1)
            found = await self.ask("GET", "/mediajobs?fieldSelector=status.phase%3DQueued")
            left -= {item["metadata"]["name"] for item in found["items"]}


def manifest(kind: str, name: str, spec: dict[str, Any]) -> dict[str, Any]:
    """One of our objects."""
    return {
        "apiVersion": "trawler.dev/v1alpha1",
        "kind": kind,
        "metadata": {"name": name},
        "spec": spec,
    }


async def each(names: Iterable[str], step: Callable[[str], Awaitable[None]]) -> float:
    """One step for each name, so many at once; answers with the seconds that took."""
    waiting = iter(list(names))
    begun = time.monotonic()

    async def some() -> None:
        for name in waiting:
            await step(name)

    await asyncio.gather(*(some() for _ in range(AT_ONCE)))
    return time.monotonic() - begun


def fresh_names(prefix: str, count: int) -> list[str]:
    """Names that no other call gave."""
    mark = secrets.token_hex(3)
    return [f"{prefix}-{mark}-{number:05}" for number in range(count)]


def running() -> dict[str, Any]:
    """What the operator writes of a job that begins."""
    now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    return {
        "phase": "Running",
        "attempt": 1,
        "failures": 0,
        "worker": "default-abcdefgh",
        "host": "site:8080",
        "fingerprint": "0" * 64,
        "queuedTime": now,
        "startTime": now,
        "conditions": [_condition("Accepted", now)],
    }


def finished() -> dict[str, Any]:
    """What it writes of one that has ended."""
    now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    return {
        "phase": "Succeeded",
        "files": [stored().files[0].wire()],
        "fileCount": 1,
        "size": "1.2 kB",
        "completionTime": now,
        "conditions": [_condition("Accepted", now), _condition("Stored", now)],
    }


def _condition(kind: str, now: str) -> dict[str, Any]:
    return {
        "type": kind,
        "status": "True",
        "reason": kind,
        "message": "",
        "lastTransitionTime": now,
        "observedGeneration": 1,
    }


async def jobs_per_second(api: Client, count: int, *, started: bool = False) -> float:
    """Jobs per second that a bare client creates and patches once (or, `started`, twice: as often
    as the operator does, and the same fields); leaves that many finished jobs.
    """

    async def job(name: str) -> None:
        await api.create(name, "default")
        if started:
            await api.write(name, running())
        await api.write(name, {**({} if started else running()), **finished()})

    return count / await each(fresh_names("raw", count), job)
