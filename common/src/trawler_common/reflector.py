"""A kind of Kubernetes object, mirrored in memory: one owner lists it and watches it. What is news
is decided by `replica`.
"""

import asyncio
import time
from collections.abc import Callable, Mapping
from typing import Any, Final, Protocol

from trawler_common import logs
from trawler_common.backoff import Backoff
from trawler_common.errors import Permanent
from trawler_common.kube import ApiUnavailable, Conflict, Kube, WatchExpired
from trawler_common.replica import Replica
from trawler_common.turns import Turn

log = logs.get("reflector")

RESYNC: Final = 300.0
"""Seconds between two full lists beside the watch; they repair what a watch missed."""
BRIEF: Final = 1.0
"""A watch that lasted less is not opened again at once."""


class Sink(Protocol):
    """Who takes what a reflector reads: parses objects and keeps them in a Replica."""

    @property
    def replica(self) -> Replica[Any]: ...

    def key(self, manifest: Mapping[str, Any]) -> str:
        """By what the replica knows an object."""
        ...

    def take(self, manifest: Mapping[str, Any], *, as_of: int) -> None:
        """An object as it was seen."""
        ...


class Reflector:
    """Lists a kind, then watches it for ever. Nothing that the API server says ends it."""

    def __init__(
        self,
        kube: Kube,
        path: str,
        sink: Sink,
        *,
        selector: str = "",
        resync: float = RESYNC,
        pause: Callable[[], Backoff] = Backoff,
    ) -> None:
        self._kube = kube
        self._path = path
        self._sink = sink
        self._query = {"labelSelector": selector} if selector else {}
        self._resync = resync
        self._pause = pause
        self._listing = asyncio.Lock()
        self.synced = asyncio.Event()
        """Set once a whole list was taken."""
        self.not_taken = 0
        """Objects that made their sink fail."""
        self.lists = 0
        """Whole lists that were taken."""

    async def run(self) -> None:
        """Mirror the kind until cancelled."""
        version = await self.list()
        async with asyncio.TaskGroup() as both:
            both.create_task(self._list_now_and_then(), name=f"list {self._path}")
            both.create_task(self._watch(version), name=f"watch {self._path}")

    async def list(self) -> str:
        """Take a whole list; answers with the version that a watch goes on from. A page that cannot
        be had is asked for again; where the API server forgot the list meanwhile it begins anew.
        Both with growing pauses.
        """
        async with self._listing:
            pause = self._pause()
            while True:
                try:
                    version = await self._list_once(pause)
                except WatchExpired as error:
                    log.info("list_begins_again", extra={"path": self._path, "error": str(error)})
                    await pause.pause()
                    continue
                self.lists += 1
                self.synced.set()
                return version

    async def _list_once(self, pause: Backoff) -> str:
        replica, turn, token = self._sink.replica, Turn(), ""
        replica.begin_list()
        while True:
            page = await self._page(token, pause)
            version = str(page["metadata"]["resourceVersion"])
            for item in page["items"]:
                key = self._sink.key(item)
                replica.list_one(key)
                self._take(item, as_of=int(version))
                await turn.breathe()
            token = page["metadata"].get("continue", "")
            if not token:
                gone = replica.end_list(int(version))
                if gone:
                    log.info("list_found_gone", extra={"path": self._path, "count": len(gone)})
                return version

    async def _page(self, token: str, pause: Backoff) -> dict[str, Any]:
        """One page, tried until it is there. Raises WatchExpired where its list is forgotten."""
        while True:
            try:
                page = await self._kube.page(self._path, token, self._query)
            except (ApiUnavailable, Conflict, Permanent) as error:
                log.warning("list_waits", extra={"path": self._path, "error": str(error)})
                asked = error.retry_after if isinstance(error, ApiUnavailable) else 0.0
                await pause.pause(at_least=asked)
            else:
                pause.reset()
                return page

    async def _watch(self, version: str) -> None:
        pause, since = self._pause(), version
        while True:
            begun, asked = time.monotonic(), 0.0
            try:
                since = await self._follow(since, pause)
            except WatchExpired as error:
                log.info("watch_too_old", extra={"path": self._path, "error": str(error)})
                await pause.pause()
                since = await self.list()
                continue
            except _Broken as broken:
                since, asked = broken.since, broken.retry_after
            else:
                if time.monotonic() - begun >= BRIEF:
                    continue  # it ended in order; the next one goes on at once
            await pause.pause(at_least=asked)

    async def _follow(self, since: str, pause: Backoff) -> str:
        """One watch to its end; answers with the version that the next goes on from. Raises
        WatchExpired, and _Broken with that version.
        """
        turn = Turn()
        try:
            async for event in self._kube.watch(self._path, since, self._query):
                since = str(event["object"]["metadata"]["resourceVersion"])
                self._hear(event)
                pause.reset()
                await turn.breathe()
        except (ApiUnavailable, Conflict, Permanent) as error:
            log.warning("watch_broke", extra={"path": self._path, "error": str(error)})
            asked = error.retry_after if isinstance(error, ApiUnavailable) else 0.0
            raise _Broken(since, asked) from error
        return since

    def _hear(self, event: Mapping[str, Any]) -> None:
        manifest = event["object"]
        version = int(manifest["metadata"]["resourceVersion"])
        if event["type"] == "DELETED":
            self._sink.replica.lose(self._sink.key(manifest), version)
        elif event["type"] in {"ADDED", "MODIFIED"}:
            self._take(manifest, as_of=version)

    def _take(self, manifest: Mapping[str, Any], *, as_of: int) -> None:
        """What is known already is not read a second time. One object that cannot be taken ends
        nothing.
        """
        meta = manifest["metadata"]
        version = int(meta["resourceVersion"])
        if self._sink.replica.knows(self._sink.key(manifest), version):
            return
        try:
            self._sink.take(manifest, as_of=as_of)
        except Exception:
            self.not_taken += 1
            log.exception("object_not_taken", extra={"path": self._path, "name_": meta["name"]})

    async def _list_now_and_then(self) -> None:
        while True:
            await asyncio.sleep(self._resync)
            await self.list()


class _Broken(Exception):
    """A watch broke off; the next one goes on from here."""

    def __init__(self, since: str, retry_after: float) -> None:
        super().__init__(since)
        self.since = since
        self.retry_after = retry_after
