"""`/healthz` (our own loops), `/readyz` (also what we depend on) and `/metrics`."""

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager

from aiohttp import web
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

Check = Callable[[], bool]


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

    app = web.Application()
    app.add_routes(
        [web.get("/healthz", healthz), web.get("/readyz", readyz), web.get("/metrics", expose)]
    )
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1)
    await runner.setup()
    site = web.TCPSite(runner, host, port)
    await site.start()
    try:
        yield int(runner.addresses[0][1])
    finally:
        await runner.cleanup()
