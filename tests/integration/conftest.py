"""Servers that several tests share."""

import asyncio
import secrets
import sys
import threading
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio
from aiohttp import web

from apiproxy import ApiProxy, api_proxy
from fetching import BOTH
from forkserver import ForkServer, warm
from node import Node
from operator_process import Operator, settings
from postgres import Postgres
from servers import (
    ApiServer,
    Server,
    api_server,
    install_crds,
    nats_server,
    running,
    settings_of,
    store_server,
    wait_until,
)
from stack import Stack
from stubpod import StubPod
from trawler_common.bus import Bus
from trawler_common.store import Store, StoreSettings
from trawler_crds.media_job import EngineName
from trawler_sandbox.site import Site
from trawler_worker.fetcher.engines.base import Engine
from trawler_worker.fetcher.engines.direct import Direct
from trawler_worker.fetcher.engines.ytdlp import YtDlp

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def engines() -> dict[EngineName, Engine]:
    """In this very process."""
    return {EngineName.DIRECT: Direct(), EngineName.YT_DLP: YtDlp()}


@pytest.fixture(params=BOTH)
def engine(request: pytest.FixtureRequest, engines: dict[EngineName, Engine]) -> Engine:
    """One after the other."""
    return engines[request.param]


@pytest.fixture(scope="session")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiServer]:
    """A real API server with our CRDs."""
    with api_server(tmp_path_factory.mktemp("api")) as found:
        install_crds(found, ROOT / "crds")
        yield found


@pytest.fixture(scope="session")
def forks() -> Iterator[ForkServer]:
    """What starts operators, bots and workers quickly."""
    with warm() as found:
        yield found


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    found = Postgres()
    found.start()
    try:
        yield found
    finally:
        found.remove()


@pytest.fixture
def database(postgres: Postgres) -> str:
    """The address of an empty one."""
    return postgres.database(f"t{secrets.token_hex(6)}")


@pytest.fixture
def bus_server(tmp_path: Path) -> Iterator[Server]:
    with running(nats_server(tmp_path)) as server:
        yield server


@pytest.fixture
def nats_url(bus_server: Server) -> str:
    return f"nats://127.0.0.1:{bus_server.port}"


@pytest.fixture
def s3_server(tmp_path: Path) -> Iterator[Server]:
    with running(store_server(tmp_path)) as server:
        yield server


@pytest.fixture
def store_settings(s3_server: Server) -> StoreSettings:
    return settings_of(s3_server)


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


@pytest.fixture
def proxy(api: ApiServer, tmp_path: Path) -> Iterator[ApiProxy]:
    """Stands between operator and API server in tests marked `proxied`."""
    with api_proxy(api, tmp_path / "proxied.kubeconfig") as found:
        yield found


@pytest.fixture
def operator(
    request: pytest.FixtureRequest,
    api: ApiServer,
    nats_url: str,
    store_settings: StoreSettings,
    site: RunningSite,
    forks: ForkServer,
    tmp_path: Path,
) -> Iterator[Operator]:
    """An operator that leads in a namespace of its own; `@pytest.mark.pool(...)` shapes its
    pool.
    """
    namespace = f"t-{secrets.token_hex(4)}"
    api.kubectl("create", "namespace", namespace)
    wish = request.node.get_closest_marker("pool")
    env = settings(
        tmp_path,
        namespace=namespace,
        nats_url=nats_url,
        store=store_settings,
        pool={"replicas": 1, "slotsPerPod": 2, **(wish.kwargs if wish else {})},
    )
    env["TRAWLER_OPERATOR_EGRESS_ALLOW"] = f"127.0.0.1:{site.port}"
    env["KUBECONFIG"] = str(api.kubeconfig)
    if request.node.get_closest_marker("proxied"):
        proxy: ApiProxy = request.getfixturevalue("proxy")
        env["KUBECONFIG"] = str(proxy.kubeconfig)
    found = Operator(api, namespace, env, tmp_path / "operator.log", forks.start)
    found.start()
    try:
        found.lead()
        yield found
    finally:
        found.stop()
        sys.stdout.write((tmp_path / "operator.log").read_text())


@pytest_asyncio.fixture
async def pod(
    operator: Operator, nats_url: str, tasks: asyncio.TaskGroup
) -> AsyncIterator[StubPod]:
    """The operator's own pod, spoken for by a stub."""
    await asyncio.to_thread(wait_until, lambda: len(operator.pods()) == 1, what="a pod of the pool")
    name = operator.pods()[0]["metadata"]["name"]
    operator.run_pod(name)
    bus = await Bus.connect(nats_url, name=name, tasks=tasks)
    yield await StubPod.start(bus, tasks, operator.namespace, name)
    await bus.close()


@pytest_asyncio.fixture
async def node(
    operator: Operator, tasks: asyncio.TaskGroup, forks: ForkServer, tmp_path: Path
) -> AsyncIterator[Node]:
    """Runs the operator's pods as processes of the real worker."""
    (tmp_path / "node").mkdir()
    found = await Node.start(
        operator.api, operator.namespace, tmp_path / "node", tasks, forks.start
    )
    yield found
    await found.stop()


@pytest_asyncio.fixture
async def stack(
    operator: Operator,
    node: Node,
    site: RunningSite,
    bus_server: Server,
    s3_server: Server,
    store_settings: StoreSettings,
    nats_url: str,
    tasks: asyncio.TaskGroup,
) -> AsyncIterator[Stack]:
    """All of it, with a pod that takes orders."""
    found = Stack(
        operator=operator,
        node=node,
        site=site.site,
        address=site.url(""),
        bus=bus_server,
        s3=s3_server,
        store=Store(store_settings),
    )
    bus = await Bus.connect(nats_url, name="listener", tasks=tasks)
    try:
        await found.listen(bus)
        await found.working()
        yield found
    finally:
        await bus.close()
