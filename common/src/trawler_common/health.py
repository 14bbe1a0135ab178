"""`/healthz` (our own loops), `/readyz` (also what we depend on), `/metrics`, and JSON
documents.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import web
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

Check = Callable[[], bool]
Document = Callable[[], Awaitable[Any]]
"""Answers with what JSON can say, or raises Unknown."""


class Unknown(Exception):
    """A document cannot be made now: 503."""


def _report(checks: Mapping[str, Check]) -> web.Response:
    states = {name: check() for name, check in checks.items()}
    text = "".join(f"{name}: {'ok' if state else 'not ok'}\n" for name, state in states.items())
    return web.Response(text=text or "ok\n", status=200 if all(states.values()) else 503)


@asynccontextmanager
async def serve(
    *,
    port: int,
    live: Mapping[str, Check],
    ready: Mapping[str, Check],
    metrics: CollectorRegistry,
    documents: Mapping[str, Document] | None = None,
    host: str = "0.0.0.0",  # noqa: S104 - the kubelet asks from outside the pod
) -> AsyncIterator[int]:
    """Answer until the block ends; yields the port (useful with port 0)."""

    async def healthz(_: web.Request) -> web.Response:
        return _report(live)

    async def readyz(_: web.Request) -> web.Response:
        return _report({**live, **ready})

    async def expose(_: web.Request) -> web.Response:
        return web.Response(
            body=generate_latest(metrics), headers={"Content-Type": CONTENT_TYPE_LATEST}
        )

    def handler(document: Document) -> Callable[[web.Request], Awaitable[web.Response]]:
        async def answer(_: web.Request) -> web.Response:
            try:
                return web.json_response(await document())
            except Unknown as error:
                return web.json_response({"error": str(error)}, status=503)

        return answer

    app = web.Application()
    app.add_routes(
        [web.get("/healthz", healthz), web.get("/readyz", readyz), web.get("/metrics", expose)]
    )
    app.add_routes([web.get(path, handler(made)) for path, made in (documents or {}).items()])
    async with listen(app, port, host) as heard:
        yield heard


@asynccontextmanager
async def listen(
    app: web.Application,
    port: int,
    host: str = "0.0.0.0",  # noqa: S104 - whoever asks is outside the pod
) -> AsyncIterator[int]:
    """Serve an application until the block ends; yields the port."""
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1)
    await runner.setup()
    site = web.TCPSite(runner, host, port)
    await site.start()
    try:
        yield int(runner.addresses[0][1])
    finally:
        await runner.cleanup()
