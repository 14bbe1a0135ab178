"""Servers that several tests share."""

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from aiohttp import web

from servers import ApiServer, api_server, nats, store
from trawler_common.store import StoreSettings
from trawler_sandbox.site import Site

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="session")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiServer]:
    """A real API server with our CRDs."""
    with api_server(tmp_path_factory.mktemp("api")) as found:
        found.kubectl("apply", "-f", str(ROOT / "crds"))
        for name in ("mediajobs", "workerpools", "mediaqueues"):
            crd = f"crd/{name}.trawler.dev"
            found.kubectl("wait", "--for=condition=Established", crd, "--timeout=30s")
        yield found


@pytest.fixture
def nats_url(tmp_path: Path) -> Iterator[str]:
    with nats(tmp_path) as url:
        yield url


@pytest.fixture
def store_settings(tmp_path: Path) -> Iterator[StoreSettings]:
    with store(tmp_path) as settings:
        yield settings


class RunningSite:
    """The sandbox site in a thread of its own, so that a blocked test cannot stop it."""

    def __init__(self, site: Site, port: int) -> None:
        self.site = site
        self.port = port

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.port}{path}"


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningSite]:
    found = Site(tmp_path_factory.mktemp("site"))
    loop = asyncio.new_event_loop()
    runner = web.AppRunner(found.app(), access_log=None, shutdown_timeout=0.1)

    async def start() -> int:
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        return int(runner.addresses[0][1])

    port = loop.run_until_complete(start())
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    yield RunningSite(found, port)

    async def stop() -> None:
        """Handlers that stall for an hour are ended, not left behind."""
        await runner.cleanup()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    asyncio.run_coroutine_threadsafe(stop(), loop).result(20)
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.close()


@pytest.fixture
async def tasks() -> AsyncIterator[asyncio.TaskGroup]:
    """A task group that is cancelled at the end of the test."""

    class Over(Exception):
        pass

    try:
        async with asyncio.TaskGroup() as group:
            yield group
            raise Over
    except* Over:
        pass
