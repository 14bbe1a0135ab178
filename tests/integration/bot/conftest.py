"""The bot with everything that is real behind it, and the Discord emulator before it. What is
behind is started once per run of tests, because nothing of one test is left for the next; what may
be left over by the bot itself, and every Discord, is each test's own.
"""

import asyncio
import secrets
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, Self

import pytest
import pytest_asyncio

from apiproxy import ApiProxy
from bot_process import BotProcess
from emulated import Emulated, Person
from forkserver import ForkServer
from node import Node
from operator_process import Operator, settings
from servers import ApiServer, nats_server, running, settings_of, store_server, wait_until
from stack import Stack
from trawler_common.bus import Bus
from trawler_common.store import Store

HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """One event loop for all of them: the node and the emulators live in it."""
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.asyncio(loop_scope="session"), append=False)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def machinery(
    api: ApiServer, site: Any, forks: ForkServer, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Stack]:
    """Operator, worker, bus and store."""
    folder = tmp_path_factory.mktemp("machinery")
    namespace = f"t-{secrets.token_hex(4)}"
    api.kubectl("create", "namespace", namespace)
    with running(nats_server(folder)) as bus_server, running(store_server(folder)) as s3_server:
        store_settings = settings_of(s3_server)
        nats_url = f"nats://127.0.0.1:{bus_server.port}"
        pool = {"replicas": 1, "slotsPerPod": 4}
        env = settings(
            folder, namespace=namespace, nats_url=nats_url, store=store_settings, pool=pool
        )
        env["TRAWLER_OPERATOR_EGRESS_ALLOW"] = f"127.0.0.1:{site.port}"
        env["KUBECONFIG"] = str(api.kubeconfig)
        log = folder / "operator.log"
        operator = Operator(api, namespace, env, log, forks.start)
        async with AsyncExitStack() as stack:
            operator.start()
            stack.callback(operator.stop)
            await asyncio.to_thread(operator.lead)
            tasks = await stack.enter_async_context(_Tasks())
            (folder / "node").mkdir()
            node = await Node.start(api, namespace, folder / "node", tasks.group, forks.start)
            stack.push_async_callback(node.stop)
            bus = await Bus.connect(nats_url, name="listener", tasks=tasks.group)
            stack.push_async_callback(bus.close)
            found = Stack(
                operator=operator,
                node=node,
                site=site.site,
                address=site.url(""),
                bus=bus_server,
                s3=s3_server,
                store=Store(store_settings),
            )
            await found.listen(bus)
            await found.working()
            yield found
        sys.stdout.write(log.read_text())


class _Tasks:
    """A task group that ends what still runs in it."""

    def __init__(self) -> None:
        self.group = asyncio.TaskGroup()

    async def __aenter__(self) -> Self:
        await self.group.__aenter__()
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in list(self.group._tasks):
            task.cancel()
        await self.group.__aexit__(None, None, None)


@pytest_asyncio.fixture(loop_scope="session")
async def stack(machinery: Stack) -> AsyncIterator[Stack]:
    """All of it, with nothing to do and no queue declared."""
    if machinery.operator.died() is not None:
        # a machine that stood still for longer than a Lease: a kubelet would start it again
        machinery.operator.start()
        await asyncio.to_thread(machinery.operator.lead)
        await machinery.working()
    machinery.operator.remove("mediaqueues")
    await machinery.until(lambda: not machinery.jobs(), what="no jobs")
    yield machinery
    machinery.forget()


@pytest_asyncio.fixture(loop_scope="session")
async def emulated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Emulated]:
    found = Emulated(tmp_path)
    async with found.discord.serving():
        found.point(monkeypatch)
        yield found
    assert [] == found.checker.violations


@pytest_asyncio.fixture(loop_scope="session")
async def ben(emulated: Emulated) -> AsyncIterator[Person]:
    async with emulated.person(emulated.ben) as person:
        yield person


@pytest_asyncio.fixture(loop_scope="session")
async def bot(
    request: pytest.FixtureRequest,
    stack: Stack,
    proxy: ApiProxy,
    emulated: Emulated,
    database: str,
    forks: ForkServer,
    tmp_path: Path,
) -> AsyncIterator[BotProcess]:
    """Connected; its commands are registered. It reaches the API server through the proxy.
    `@pytest.mark.bot(clock="+70s", COOLDOWN_SECONDS="10")`: with another clock or other settings.
    """
    emulated.hub.limits.identify_seconds = 0.0
    found = BotProcess(
        stack.operator,
        emulated.hub.address,
        emulated.application.bot.token,
        tmp_path / "bot",
        database=database,
        kubeconfig=proxy.kubeconfig,
        start=forks.start,
    )
    wish = request.node.get_closest_marker("bot")
    given = dict(wish.kwargs) if wish else {}
    clock = given.pop("clock", None)
    found.start(clock=clock, **{f"TRAWLER_BOT_{name}": value for name, value in given.items()})
    try:
        await asyncio.to_thread(wait_until, found.ready, what=f"the bot ({found.log})", timeout=30)
        yield found
    finally:
        found.stop()
        print(found.log.read_text())
