"""Two thousand MediaJobs over fifty queues, to see the operator and not the download.

An API server with etcd, a bus, a store and one operator, all real, and stand-in pods that speak the
real bus and finish at once. What the API server can do at all is measured in the same run, by a bare
client that creates as many MediaJobs and patches the status of each once.
"""

import asyncio
import json
import secrets
import statistics
import tempfile
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path
from typing import Any, Final

import aiohttp
import usage
import uvloop

from operating import BODY, Operator, settings, stored
from servers import (
    ApiServer,
    Server,
    api_server,
    install_crds,
    nats_server,
    running,
    settings_of,
    store_server,
    unverified,
    wait_until,
)
from stubpod import StubPod
from trawler_common.bus import Bus
from trawler_common.store import Store
from trawler_crds.messages import Order, UploadFile

JOBS: Final = 2000
QUEUES: Final = 50
FINISHED: Final = 10_000
ORDER: Final = ("Pending", "Queued", "Running", "Succeeded")
AT_ONCE: Final = 32
PODS: Final = 8
ROOT: Final = Path(__file__).resolve().parents[1]
Show = Callable[..., None]


class Api:
    """A bare client: as fast as this machine's API server answers."""

    def __init__(self, api: ApiServer, namespace: str, session: aiohttp.ClientSession) -> None:
        self._server = api.address
        self._headers = {"Authorization": f"Bearer {api.token}"}
        self._session = session
        self._base = f"/apis/trawler.dev/v1alpha1/namespaces/{namespace}"
        self.seen: dict[str, dict[str, float]] = {}
        """Job → phase → when (monotonic) it was first seen."""

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
        spec = {"url": f"http://site:8080/video/{name}.mp4", "queue": queue}
        await self.ask("POST", "/mediajobs", _object("MediaJob", name, spec))

    async def finish(self, name: str) -> None:
        """What the last of the operator's writes says, without any operator."""
        file = stored().files[0].wire()
        status = {
            "phase": "Succeeded",
            "attempt": 1,
            "files": [file],
            "fileCount": 1,
            "completionTime": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        }
        path = f"/mediajobs/{name}/status"
        await self.ask("PATCH", path, {"status": status}, "application/merge-patch+json")

    async def watch(self) -> None:
        """Note when each phase of each job was first seen. The API server cuts a watch that is too
        slow for it: the next goes on where it ended, or it would be sent all jobs anew.
        """
        since = (await self.ask("GET", "/mediajobs?limit=1"))["metadata"]["resourceVersion"]
        while True:
            url = f"{self._server}{self._base}/mediajobs?watch=true&resourceVersion={since}"
            timeout = aiohttp.ClientTimeout(total=None)
            async with self._session.get(url, headers=self._headers, timeout=timeout) as answer:
                while line := await answer.content.readline():
                    now, found = time.monotonic(), json.loads(line)["object"]
                    since = found["metadata"]["resourceVersion"]
                    phase = found.get("status", {}).get("phase", "Pending")
                    # a watch that was cut for being slow may have missed what came before
                    for passed in ORDER[: ORDER.index(phase) + 1]:
                        self.seen.setdefault(found["metadata"]["name"], {}).setdefault(passed, now)

    async def all_in(self, names: Iterable[str], phase: str, *, seconds: float) -> float:
        """Wait until each was in a phase; answers with when the last one was."""
        left = set(names)
        end = time.monotonic() + seconds
        while left := {name for name in left if phase not in self.seen.get(name, {})}:
            assert time.monotonic() < end, f"{len(left)} were never {phase}"
            await asyncio.sleep(0.05)
        return max(self.seen[name][phase] for name in names)


def _object(kind: str, name: str, spec: dict[str, Any]) -> dict[str, Any]:
    return {
        "apiVersion": "trawler.dev/v1alpha1",
        "kind": kind,
        "metadata": {"name": name},
        "spec": spec,
    }


async def _each(names: Iterable[str], step: Callable[[str], Awaitable[None]]) -> float:
    """One step for each name, so many at once; answers with the seconds that took."""
    waiting = iter(list(names))
    begun = time.monotonic()

    async def some() -> None:
        for name in waiting:
            await step(name)

    await asyncio.gather(*(some() for _ in range(AT_ONCE)))
    return time.monotonic() - begun


class StandIn(StubPod):
    """Takes an order and has its result at once: the bytes lie in the store already."""

    def open(self, tasks: asyncio.TaskGroup) -> None:
        async def decide(order: Order) -> bool:
            tasks.create_task(self._finish(order), name="finish")
            return True

        self.decide = decide

    async def _finish(self, order: Order) -> None:
        await self.report(order.uid, stored(order.attempt))
        await self.say()


async def _pods(
    operator: Operator, nats_url: str, tasks: asyncio.TaskGroup, *, slots: int
) -> list[StandIn]:
    """Every pod of the pool, spoken for by a stand-in."""
    await asyncio.to_thread(wait_until, lambda: len(operator.pods()) == PODS, what="pods")
    found = []
    for manifest in operator.pods():
        name = manifest["metadata"]["name"]
        await asyncio.to_thread(operator.run_pod, name)
        bus = await Bus.connect(nats_url, name=name, tasks=tasks)
        pod = await StandIn.start(bus, tasks, operator.namespace, name)
        pod.slots = slots
        pod.open(tasks)
        found.append(pod)
    return found


def _names(prefix: str, count: int) -> list[str]:
    mark = secrets.token_hex(3)
    return [f"{prefix}-{mark}-{number:05}" for number in range(count)]


def _queue(number: int) -> str:
    return f"guild-{number % QUEUES:02}"


async def _raw(api: Api, count: int) -> float:
    """Pairs of create and status patch per second; leaves that many finished jobs."""

    async def pair(name: str) -> None:
        await api.create(name, "default")
        await api.finish(name)

    return count / await _each(_names("raw", count), pair)


async def _burst(api: Api, show: Show, raw: float, operator: Operator) -> None:
    """Everything at once: created while it is admitted, dispatched and ended."""
    names = _names("burst", JOBS)
    queues = {name: _queue(number) for number, name in enumerate(names)}
    begun = time.monotonic()
    pids = [operator.pid()]
    spent = usage.cpu_seconds(pids)
    await _each(names, lambda name: api.create(name, queues[name]))
    created = time.monotonic()
    dispatched = await api.all_in(names, "Running", seconds=300)
    ended = await api.all_in(names, "Succeeded", seconds=300)
    rate = JOBS / (dispatched - begun)
    show(f"{JOBS} jobs, {QUEUES} queues: created", f"{JOBS / (created - begun):.0f} /s")
    show("admitted and dispatched", f"{rate:.0f} /s", ">= 50 /s", met=rate >= 50)
    show("bare client: created and patched once", f"{raw:.0f} /s")
    show("ratio to it", f"{rate / raw:.2f} x", ">= 0.5 x", met=rate >= 0.5 * raw)
    show("from the last create to the last Succeeded", f"{ended - created:.1f} s")
    cost = (usage.cpu_seconds(pids) - spent) / JOBS
    show("processor time of the operator per job", f"{cost * 1000:.1f} ms")


async def _shares(api: Api, show: Show, pods: list[StandIn]) -> None:
    """A backlog in every queue, weights 1 and 2, then slots: who had how many turns meanwhile."""
    for pod in pods:
        pod.slots = 0
        await pod.say()
    queues = [_queue(number) for number in range(QUEUES)]
    weights = {queue: 1 + number % 2 for number, queue in enumerate(queues)}
    total = sum(weights.values())
    names = {
        name: queue
        for queue in queues
        for name in _names(f"turn-{queue}", round(JOBS * weights[queue] / total))
    }
    await _each(names, lambda name: api.create(name, names[name]))
    await api.all_in(names, "Queued", seconds=300)
    begun = time.monotonic()
    for pod in pods:
        pod.slots = 4
        await pod.say()
    ended = await api.all_in(names, "Succeeded", seconds=300)
    order = sorted(names, key=lambda name: api.seen[name]["Running"])
    left = Counter(names.values())
    turns: Counter[str] = Counter()
    for name in order:
        turns[names[name]] += 1
        left[names[name]] -= 1
        if left[names[name]] == 0:
            break
    worst = max(
        abs(turns[queue] / (sum(turns.values()) * weights[queue] / total) - 1) for queue in queues
    )
    show(f"{len(names)} waiting, from the first slot to the last end", f"{ended - begun:.1f} s")
    show("dispatched and ended from a backlog", f"{len(names) / (ended - begun):.0f} /s")
    show(
        f"a queue's share of turns, furthest from its weight ({sum(turns.values())} turns)",
        f"{worst:.1%}",
        "<= 5 %",
        met=worst <= 0.05,
    )


async def _restart(api: Api, operator: Operator, show: Show) -> None:
    """With ten thousand finished jobs: memory, writes and time of another life."""
    await asyncio.to_thread(operator.kill)
    operator.start()
    await asyncio.to_thread(wait_until, operator.leading, what="a leader", timeout=120)
    await asyncio.sleep(45)
    writes = operator.counted("trawler_operator_status_writes_total")
    size = usage.pss_mib([operator.pid()])
    kept = len(operator.jobs())
    show(f"operator with {kept} jobs kept, PSS", f"{size:.0f} MiB", "<= 200 MiB", met=size <= 200)
    show("status writes of MediaJobs at its start", f"{writes:.0f}", "0", met=writes == 0)
    await asyncio.to_thread(operator.kill)
    (name,) = _names("first", 1)
    begun = time.monotonic()
    await api.create(name, "default")
    operator.start()
    took = await api.all_in([name], "Queued", seconds=120) - begun
    show("killed and started again → first effect", f"{took:.1f} s", "<= 15 s", met=took <= 15)


async def _measure(api: ApiServer, folder: Path, show: Show) -> None:
    namespace = "burst"
    api.kubectl("create", "namespace", namespace)
    connector = aiohttp.TCPConnector(ssl=unverified(), limit=64)
    with running(nats_server(folder)) as bus, running(store_server(folder)) as s3:
        operator = _operator(api, namespace, folder, bus, s3)
        async with (
            aiohttp.ClientSession(connector=connector, trust_env=False) as session,
            asyncio.TaskGroup() as tasks,
        ):
            client = Api(api, namespace, session)
            await _each(
                [_queue(number) for number in range(QUEUES)],
                lambda name: client.ask(
                    "POST",
                    "/mediaqueues",
                    _object("MediaQueue", name, {"weight": 1 + int(name[-2:]) % 2}),
                ),
            )
            rates = [await _raw(client, JOBS) for _ in range(2)]
            operator.start()
            try:
                await asyncio.to_thread(wait_until, operator.leading, what="a leader", timeout=60)
                await _fill(Store(settings_of(s3)), session)
                url = f"nats://127.0.0.1:{bus.port}"
                pods = await _pods(operator, url, tasks, slots=4)
                watching = tasks.create_task(client.watch())
                await _burst(client, show, statistics.mean(rates), operator)
                await _shares(client, show, pods)
                for pod in pods:
                    await pod.bus.close()
                await _raw(client, FINISHED - 4 * JOBS)
                await _restart(client, operator, show)
                watching.cancel()
            finally:
                operator.stop()
                for task in asyncio.all_tasks() - {asyncio.current_task()}:
                    task.cancel()


async def _fill(store: Store, session: aiohttp.ClientSession) -> None:
    """The one object that every stand-in reports."""
    await store.ensure_bucket()
    file = stored().files[0]
    grant = store.grant(
        UploadFile(sha256=file.sha256, bytes=file.bytes, type=file.type), seconds=60
    )
    async with session.put(grant.url, data=BODY, headers=grant.headers) as answer:
        assert answer.status == 200, await answer.text()


def _operator(api: ApiServer, namespace: str, folder: Path, bus: Server, s3: Server) -> Operator:
    env = settings(
        folder,
        namespace=namespace,
        nats_url=f"nats://127.0.0.1:{bus.port}",
        store=settings_of(s3),
        pool={"replicas": PODS, "slotsPerPod": 4},
    )
    env |= {"KUBECONFIG": str(api.kubeconfig)}
    env |= {"PYTHONMALLOC": "malloc", "MALLOC_ARENA_MAX": "1"}  # as the chart does
    return Operator(api, namespace, env, folder / "operator.log")


def run(show: Show) -> None:
    """Measure, and show each figure."""
    with (
        tempfile.TemporaryDirectory(prefix="trawler-bench-") as name,
        api_server(Path(name)) as api,
    ):
        install_crds(api, ROOT / "crds")
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(_measure(api, Path(name), show))


if __name__ == "__main__":
    from main import Figures

    run(Figures().show)
