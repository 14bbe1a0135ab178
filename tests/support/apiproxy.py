"""A proxy before the API server that does to its clients what a network or a tired server does."""

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Final

import aiohttp
import yaml
from aiohttp import web

from apiclient import Access
from servers import ApiServer, free_port, unverified

_HOP: Final = {"host", "content-length", "transfer-encoding", "connection", "content-encoding"}


class ApiProxy:
    """Passes everything on, until told otherwise. Its switches may be set from any thread."""

    def __init__(self, target: Access, kubeconfig: Path) -> None:
        self.kubeconfig = kubeconfig
        """Leads through it."""
        self._target = target
        self.port = free_port()
        self.conflicts = 0
        """So many of the next status writes of MediaJobs are answered 409, undone."""
        self.pool_conflicts = 0
        """So many of the next writes of WorkerPools, new, spec or status, are answered 409, undone.
        """
        self.pools_hang = False
        """Whoever makes or writes a WorkerPool, but for its status, is not answered, as by a
        webhook.
        """
        self.unanswered = 0
        """So many of the next status writes of MediaJobs are done, and their answers lost."""
        self.late = 0.0
        """Seconds by which answers to status writes of MediaJobs come late, when all is done."""
        self.late_pods = 0.0
        """Seconds by which answers to whoever makes a pod come late, when it is made."""
        self.lost_creates = 0
        """So many of the next MediaJobs are made, and the answers lost."""
        self.lost_after = 0.0
        """Seconds for which whoever asked for those is kept waiting first."""
        self.busy_until = 0.0
        """Until then (monotonic) everything but a watch is answered 429, Retry-After: 2."""
        self.gone = False
        """Each watch ends at once with 410 Gone."""
        self.refused_lists: list[int] = []
        """Statuses with which the next pages of lists are answered, undone."""
        self.gone_pages = 0
        """So many of the next later pages of lists are answered 410: their list is forgotten."""
        self.lists: list[float] = []
        """When (monotonic) the first page of a list was asked for."""
        self.away = False
        self.hangs = False
        """Whether requests are taken, done by nobody, and not answered while that lasts."""
        """Nobody is answered: connections are closed."""
        self.silent = False
        """Watches stay open and say nothing more."""
        self.asked: list[float] = []
        """When (monotonic) each request came."""
        self.creations: list[tuple[float, str]] = []
        """When (monotonic) and where each POST came."""
        self.deletions: list[str] = []
        """The path of each DELETE."""
        self.protected: set[str] = set()
        """Paths whose DELETE is answered 403, as by an admission policy."""
        self.connections: set[object] = set()
        """Each that a request came over, by its other end."""
        self._cut = 0

    def cut_watches(self) -> None:
        """End all watches in the middle."""
        self._cut += 1

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        self._note(request)
        assert request.transport is not None
        if self.away:
            request.transport.abort()
            return web.Response()
        while self.hangs:
            await asyncio.sleep(0.1)
        watch = request.query.get("watch") == "true"
        if not watch and (refusal := self._refuse(request)) is not None:
            return refusal
        if self.pools_hang and _writes_pool(request) and not request.path.endswith("/status"):
            await asyncio.sleep(3600)
        status = _is_status(request)
        if status and request.method == "PATCH" and self.unanswered > 0:
            self.unanswered -= 1
            return await self._lose(request)
        if request.method == "POST" and request.path.endswith("/mediajobs") and self.lost_creates:
            self.lost_creates -= 1
            return await self._lose(request, after=self.lost_after)
        late = self.late if status else 0.0
        if request.method == "POST" and request.path.endswith("/pods"):
            late = self.late_pods
        return await self._pass(request, watch=watch, late=late)

    def _note(self, request: web.Request) -> None:
        now = time.monotonic()
        self.asked.append(now)
        assert request.transport is not None
        self.connections.add(request.transport.get_extra_info("peername"))
        if request.method == "POST":
            self.creations.append((now, request.path))
        if request.method == "DELETE":
            self.deletions.append(request.path)

    def _refuse(self, request: web.Request) -> web.Response | None:
        """What is answered undone."""
        if time.monotonic() < self.busy_until:
            return web.json_response(
                {"message": "too many requests"}, status=429, headers={"Retry-After": "2"}
            )
        if "limit" in request.query:
            return self._refuse_list(request)
        if request.method == "DELETE" and request.path in self.protected:
            return web.json_response({"message": "a policy forbids that"}, status=403)
        if _writes_pool(request) and self.pool_conflicts > 0:
            self.pool_conflicts -= 1
            return web.json_response({"message": "the object was changed"}, status=409)
        if _is_status(request) and request.method == "PATCH" and self.conflicts > 0:
            self.conflicts -= 1
            return web.json_response({"message": "the object was changed"}, status=409)
        return None

    def _refuse_list(self, request: web.Request) -> web.Response | None:
        later = "continue" in request.query
        if not later:
            self.lists.append(time.monotonic())
        if later and self.gone_pages:
            self.gone_pages -= 1
            return web.json_response({"message": "the continue token expired"}, status=410)
        if self.refused_lists:
            code = self.refused_lists.pop(0)
            return web.json_response({"message": "not now"}, status=code)
        return None

    async def _pass(
        self, request: web.Request, *, watch: bool, late: float = 0.0
    ) -> web.StreamResponse:
        async with self._ask(request) as upstream:
            await asyncio.sleep(late)
            answer = web.StreamResponse(status=upstream.status)
            answer.content_type = upstream.content_type
            await answer.prepare(request)
            if watch:
                await self._stream(upstream, answer)
            else:
                await answer.write(await upstream.read())
        return answer

    @asynccontextmanager
    async def _ask(self, request: web.Request) -> AsyncIterator[aiohttp.ClientResponse]:
        headers = {k: v for k, v in request.headers.items() if k.lower() not in _HOP}
        headers |= self._target.headers()
        async with self._session.request(
            request.method,
            self._target.address + request.path_qs,
            data=await request.read() or None,
            headers=headers,
            timeout=aiohttp.ClientTimeout(total=None),
        ) as upstream:
            yield upstream

    async def _lose(self, request: web.Request, *, after: float = 0.0) -> web.Response:
        """Have it done, and hang up."""
        async with self._ask(request) as upstream:
            await upstream.read()
        await asyncio.sleep(after)
        assert request.transport is not None
        request.transport.abort()
        return web.Response()

    async def _stream(self, upstream: aiohttp.ClientResponse, answer: web.StreamResponse) -> None:
        cut = self._cut
        if self.gone:
            error = '{"type":"ERROR","object":{"kind":"Status","code":410,"reason":"Expired"}}\n'
            await answer.write(error.encode())
            return
        while True:
            try:
                async with asyncio.timeout(0.2):
                    line = await upstream.content.readline()
            except TimeoutError:
                line = None
            if line == b"" or cut != self._cut:
                return
            if line is not None and not self.silent:
                await answer.write(line)

    async def _serve(self, ready: threading.Event, stop: asyncio.Event) -> None:
        connector = aiohttp.TCPConnector(ssl=unverified(), limit=0)
        async with aiohttp.ClientSession(connector=connector, trust_env=False) as self._session:
            app = web.Application(client_max_size=10_000_000)
            app.router.add_route("*", "/{path:.*}", self._answer)
            runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
            await runner.setup()
            await web.TCPSite(runner, "127.0.0.1", self.port).start()
            ready.set()
            await stop.wait()
            await runner.cleanup()
            others = asyncio.all_tasks() - {asyncio.current_task()}  # watches that still stream
            for task in others:
                task.cancel()
            await asyncio.gather(*others, return_exceptions=True)
        await asyncio.sleep(0.25)  # TLS closes only then (aiohttp's docs, Graceful Shutdown)


@contextmanager
def api_proxy(api: ApiServer, kubeconfig: Path) -> Iterator[ApiProxy]:
    """A proxy in a thread of its own; `kubeconfig` is written and leads through it."""
    known = yaml.safe_load(api.kubeconfig.read_text())
    proxy = ApiProxy(api.access, kubeconfig)
    known["clusters"][0]["cluster"] = {"server": f"http://127.0.0.1:{proxy.port}"}
    kubeconfig.write_text(yaml.safe_dump(known))
    loop, ready = asyncio.new_event_loop(), threading.Event()
    stop = asyncio.Event()
    thread = threading.Thread(
        target=loop.run_until_complete, args=(proxy._serve(ready, stop),), daemon=True
    )
    thread.start()
    assert ready.wait(10)
    try:
        yield proxy
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join(20)
        loop.close()


def _is_status(request: web.Request) -> bool:
    return request.path.endswith("/status") and "mediajobs" in request.path


def _writes_pool(request: web.Request) -> bool:
    return "/workerpools" in request.path and request.method in {"PATCH", "PUT", "POST"}
