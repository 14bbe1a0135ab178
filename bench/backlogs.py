"""Measures an operator with a hundred thousand finished MediaJobs, with ten thousand queues, and
with thirty thousand jobs created at once: its memory, and whether its event loop stays responsive.

Creating them through the API server would take an hour. Instead, they are written to its etcd in
the format that the API server itself writes: one object of each kind is created through the API
server, and the others are copies with names of their own.
"""

import asyncio
import base64
import json
import tempfile
import time
import uuid
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import aiohttp
import uvloop
from figures import Figures

import usage
from bareclient import Client, finished, manifest
from bareclient import running as began
from operator_process import Operator, settings
from servers import (
    ApiServer,
    api_server,
    install_crds,
    nats_server,
    running,
    settings_of,
    store_server,
    unverified,
    wait_until,
)

KEPT: Final = 100_000
QUEUES: Final = 10_000
WAITING: Final = 5_000
AT_ONCE: Final = 30_000
WRITERS: Final = 8
"""Concurrent requests to etcd."""
CALM: Final = 60.0
"""Seconds to observe after everything has settled."""
MEMORY: Final = 400
TURN: Final = 0.1
GAP: Final = 3.0
ROOT: Final = Path(__file__).resolve().parents[1]
Show = Callable[..., None]


class Etcd:
    """Writes objects into the API server's storage, through etcd's JSON gateway."""

    def __init__(self, address: str, session: aiohttp.ClientSession) -> None:
        self._address = address
        self._session = session

    async def _ask(self, path: str, body: Any) -> Any:
        async with self._session.post(f"{self._address}/v3/kv/{path}", json=body) as answer:
            text = await answer.read()
            assert answer.status == 200, text[:300]
            return json.loads(text)

    async def read(self, key: str) -> dict[str, Any]:
        found = await self._ask("range", {"key": _b64(key)})
        value: dict[str, Any] = json.loads(base64.b64decode(found["kvs"][0]["value"]))
        return value

    async def write(self, prefix: str, objects: Iterable[dict[str, Any]]) -> None:
        """Put each object in its own request. Two objects of one transaction would share a
        resourceVersion, which no watch can tell apart and the API server never produces.
        """
        waiting = iter(objects)

        async def some() -> None:
            for each in waiting:
                key = f"{prefix}/{each['metadata']['name']}"
                await self._ask("put", {"key": _b64(key), "value": _b64(json.dumps(each))})

        await asyncio.gather(*(some() for _ in range(WRITERS)))


def _b64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def copies(
    one: dict[str, Any], count: int, change: Callable[[dict[str, Any], int], None]
) -> Iterator[dict[str, Any]]:
    """Copies of an object, each with its own name and uid."""
    text = json.dumps(one)
    for number in range(count):
        made = json.loads(text)
        made["metadata"]["name"] = f"{one['metadata']['name']}-{number:06}"
        made["metadata"]["uid"] = str(uuid.uuid4())
        change(made, number)
        yield made


def _address(made: dict[str, Any], number: int) -> None:
    made["spec"]["url"] = f"http://site:8080/video/{made['metadata']['uid']}.mp4"
    made["status"]["files"][0]["sha256"] = f"{number:064x}"


def _wish(made: dict[str, Any], number: int) -> None:
    made["spec"]["url"] = f"http://site:8080/video/{made['metadata']['uid']}.mp4"
    made["spec"]["queue"] = f"guild-{number % QUEUES:06}"


class Scene:
    """One namespace with its own operator and no worker pod."""

    def __init__(
        self, api: ApiServer, name: str, operator: Operator, client: Client, etcd: Etcd
    ) -> None:
        self.api, self.name, self.operator, self.client, self.etcd = (
            api,
            name,
            operator,
            client,
            etcd,
        )

    def prefix(self, plural: str) -> str:
        return f"/registry/trawler.dev/{plural}/{self.name}"

    async def start(self) -> None:
        self.operator.start()
        await asyncio.to_thread(
            wait_until, lambda: self.operator.said("leading") > 0, what="a leader", timeout=300
        )

    def figures(self, show: Show, what: str) -> None:
        """Show the memory, the longest turn, and the longest time between two renewals of the
        Lease.
        """
        size = usage.pss_mib([self.operator.pid()])
        show(f"{what}: operator, PSS", f"{size:.0f} MiB", f"<= {MEMORY} MiB", met=size <= MEMORY)
        longest = self.operator.counted("trawler_operator_longest_turn_seconds")
        bar = f"<= {TURN * 1000:.0f} ms"
        show(f"{what}: longest turn", f"{longest * 1000:.0f} ms", bar, met=longest <= TURN)
        # Wall-clock time: the API server, etcd and this benchmark share the same two processors.
        late = self.operator.counted("trawler_operator_longest_loop_stall_seconds")
        show(f"{what}: longest wait for the event loop", f"{late * 1000:.0f} ms")
        gap = self.operator.counted("trawler_operator_longest_lease_renewal_gap_seconds")
        show(
            f"{what}: longest time between two renewals",
            f"{gap:.1f} s",
            f"<= {GAP:.0f} s",
            met=gap <= GAP,
        )


async def _kept(scene: Scene, show: Show) -> None:
    await scene.client.create("one", "default")
    status = {
        **began(),
        **finished(),
        "engine": "YtDlp",
        "source": {"title": "Some clip", "extractor": "generic"},
    }
    await scene.client.write("one", status)
    one = await scene.etcd.read(f"{scene.prefix('mediajobs')}/one")
    await scene.etcd.write(scene.prefix("mediajobs"), copies(one, KEPT, _address))
    begun = time.monotonic()
    await scene.start()
    show(f"{KEPT} finished jobs: start → leading", f"{time.monotonic() - begun:.1f} s")
    await asyncio.sleep(CALM)
    scene.figures(show, f"{KEPT} finished jobs")


async def _queues(scene: Scene, show: Show) -> None:
    queue = manifest("MediaQueue", "guild", {"weight": 2, "maxRunning": 2, "dailyBytes": 10**12})
    await scene.client.ask("POST", "/mediaqueues", queue)
    one = await scene.etcd.read(f"{scene.prefix('mediaqueues')}/guild")
    await scene.etcd.write(scene.prefix("mediaqueues"), copies(one, QUEUES, lambda *_: None))
    await scene.client.create("one", "default")
    job = await scene.etcd.read(f"{scene.prefix('mediajobs')}/one")
    await scene.etcd.write(scene.prefix("mediajobs"), copies(job, WAITING, _wish))
    begun = time.monotonic()
    await scene.start()
    await asyncio.to_thread(
        wait_until,
        lambda: scene.operator.counted('trawler_jobs{phase="Queued"}') > WAITING,
        what="all of them queued",
        timeout=600,
    )
    show(
        f"{QUEUES} queues, {WAITING} waiting: start → all queued",
        f"{time.monotonic() - begun:.1f} s",
    )
    await asyncio.sleep(CALM)
    scene.figures(show, f"{QUEUES} queues, {WAITING} waiting")


async def _in_one_go(scene: Scene, show: Show) -> None:
    await scene.start()
    await scene.client.create("one", "default")
    job = await scene.etcd.read(f"{scene.prefix('mediajobs')}/one")
    job.pop("status", None)
    begun = time.monotonic()
    await scene.etcd.write(scene.prefix("mediajobs"), copies(job, AT_ONCE, _wish))
    show(f"{AT_ONCE} jobs in one go: made", f"{AT_ONCE / (time.monotonic() - begun):.0f} /s")

    def known() -> bool:
        phases = ("Pending", "Queued")
        return AT_ONCE < sum(
            scene.operator.counted(f'trawler_jobs{{phase="{phase}"}}') for phase in phases
        )

    await asyncio.to_thread(wait_until, known, what="all of them known", timeout=300)
    show(
        f"{AT_ONCE} jobs in one go: all known to the operator", f"{time.monotonic() - begun:.1f} s"
    )
    await asyncio.sleep(CALM)
    scene.figures(show, f"{AT_ONCE} jobs in one go")


@contextmanager
def _operator(api: ApiServer, name: str, folder: Path) -> Iterator[Operator]:
    own = folder / name
    own.mkdir()
    api.kubectl("create", "namespace", name)
    with running(nats_server(own)) as bus, running(store_server(own)) as s3:
        env = settings(
            own,
            namespace=name,
            nats_url=f"nats://127.0.0.1:{bus.port}",
            store=settings_of(s3),
            pool={"replicas": 0},
        )
        env |= {"KUBECONFIG": str(api.kubeconfig)}
        env |= {"PYTHONMALLOC": "malloc", "MALLOC_ARENA_MAX": "1"}  # as the chart does
        found = Operator(api, name, env, own / "operator.log")
        try:
            yield found
        finally:
            found.stop()


async def _measure(show: Show) -> None:
    connector = aiohttp.TCPConnector(ssl=unverified(), limit=64)
    async with aiohttp.ClientSession(connector=connector, trust_env=False) as session:
        for name, scene in (("kept", _kept), ("queues", _queues), ("go", _in_one_go)):
            with (
                tempfile.TemporaryDirectory(prefix="trawler-bench-") as folder,
                api_server(Path(folder)) as api,
            ):
                install_crds(api, ROOT / "crds")
                with _operator(api, name, Path(folder)) as operator:
                    client, etcd = Client(api.access, name, session), Etcd(api.etcd, session)
                    await scene(Scene(api, name, operator, client, etcd), show)


def run(show: Show) -> None:
    """Measure, and show each figure."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_measure(show))


if __name__ == "__main__":
    run(Figures().show)
