"""Two thousand MediaJobs over fifty queues, to see the operator and not the download.

An API server with etcd, a bus, a store and one operator, all real, and stand-in pods that speak the
real bus and finish as soon as they may. What the API server can do at all is measured in the same
run, by a bare client that creates as many MediaJobs and patches their status once, and twice.
"""

import asyncio
import json
import os
import secrets
import tempfile
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
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
WRITES: Final = "trawler_operator_status_writes_total"
AT_ONCE: Final = 32
PODS: Final = 8
SLOTS: Final = 4
ROOT: Final = Path(__file__).resolve().parents[1]
Show = Callable[..., None]


class Api:
    """A bare client: as fast as this machine's API server answers."""

    def __init__(self, api: ApiServer, namespace: str, session: aiohttp.ClientSession) -> None:
        self._server = api.address
        self._headers = {"Authorization": f"Bearer {api.token}"}
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
        spec = {"url": f"http://site:8080/video/{name}.mp4", "queue": queue}
        await self.ask("POST", "/mediajobs", _object("MediaJob", name, spec))

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


@dataclass
class Seen:
    """What the stand-in pods saw of each job, by its name (monotonic seconds). Nobody watches the API
    server for it: on two cores that would be measured too.
    """

    ordered: dict[str, float] = field(default_factory=dict)
    recorded: dict[str, float] = field(default_factory=dict)
    """When the operator said of each that its result is recorded."""
    may_end: asyncio.Event = field(default_factory=asyncio.Event)
    """While it is not set, whoever was dispatched runs."""

    async def all_ordered(self, names: Iterable[str]) -> float:
        """Wait until all of these were dispatched; answers with when the last was."""
        return await _all_in(self.ordered, names, what="were never dispatched")

    async def all_recorded(self, names: Iterable[str]) -> float:
        """Wait until all of these have ended; answers with when the last did."""
        return await _all_in(self.recorded, names, what="never ended")


async def _all_in(
    seen: dict[str, float], names: Iterable[str], *, what: str, seconds: float = 300
) -> float:
    wanted, end = set(names), time.monotonic() + seconds
    while left := wanted - seen.keys():
        assert time.monotonic() < end, f"{len(left)} {what}"
        await asyncio.sleep(0.1)
    return max(seen[name] for name in wanted)


class StandIn(StubPod):
    """Takes an order and has its result at once: the bytes lie in the store already."""

    EVERY = 5.0  # as a real pod, which also speaks at each change

    def open(self, tasks: asyncio.TaskGroup, seen: Seen) -> None:
        reporting = asyncio.Semaphore(SLOTS)  # no more at a time than a real pod

        async def finish(order: Order) -> None:
            await seen.may_end.wait()
            async with reporting:
                await self.report(order.uid, stored(order.attempt))
            seen.recorded[order.name] = time.monotonic()
            await self.say()

        async def decide(order: Order) -> bool:
            seen.ordered[order.name] = time.monotonic()
            tasks.create_task(finish(order), name="finish")
            return True

        self.decide = decide

    async def offer(self, slots: int) -> None:
        """So many slots from now on."""
        self.slots = slots
        await self.say()


async def _pods(
    operator: Operator, nats_url: str, tasks: asyncio.TaskGroup, seen: Seen
) -> list[StandIn]:
    """Every pod of the pool, spoken for by a stand-in."""
    await asyncio.to_thread(wait_until, lambda: len(operator.pods()) == PODS, what="pods")
    found = []
    for manifest in operator.pods():
        name = manifest["metadata"]["name"]
        await asyncio.to_thread(operator.run_pod, name)
        bus = await Bus.connect(nats_url, name=name, tasks=tasks)
        pod = await StandIn.start(bus, tasks, operator.namespace, name)
        pod.open(tasks, seen)
        found.append(pod)
    return found


async def _offer(pods: list[StandIn], slots: int) -> None:
    """So many slots in each pod from now on."""
    await asyncio.gather(*(pod.offer(slots) for pod in pods))


def _names(prefix: str, count: int) -> list[str]:
    mark = secrets.token_hex(3)
    return [f"{prefix}-{mark}-{number:05}" for number in range(count)]


def _queue(number: int) -> str:
    return f"guild-{number % QUEUES:02}"


def _finished() -> dict[str, Any]:
    """What the last of the operator's writes says."""
    return {
        "phase": "Succeeded",
        "attempt": 1,
        "files": [stored().files[0].wire()],
        "fileCount": 1,
        "completionTime": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    }


async def _raw(api: Api, count: int, *, started: bool = False) -> float:
    """Jobs per second that a bare client creates and patches once (or, `started`, twice: as often
    as the operator does); leaves that many finished jobs.
    """

    async def job(name: str) -> None:
        await api.create(name, "default")
        if started:
            await api.write(name, {"phase": "Running", "attempt": 1, "worker": "pod"})
        await api.write(name, _finished())

    return count / await _each(_names("raw", count), job)


async def _dispatched(api: Api, show: Show, seen: Seen, pods: list[StandIn], once: float) -> None:
    """What is created, admitted and begun costs one write each to create and to begin, so it is
    compared with a client that does just these. There is a slot for everybody, and who has one runs
    until the last has begun: what ends meanwhile would be measured too.
    """
    names = _names("begun", JOBS)
    await _offer(pods, JOBS // PODS + 1)
    begun = time.monotonic()
    await _create(api, names)
    rate = JOBS / (await seen.all_ordered(names) - begun)
    seen.may_end.set()
    await seen.all_recorded(names)
    show(
        f"{JOBS} jobs, {QUEUES} queues: admitted and dispatched",
        f"{rate:.0f} /s",
        ">= 50 /s",
        met=rate >= 50,
    )
    show("bare client: created and patched once", f"{once:.0f} /s")
    show("ratio to it", f"{rate / once:.2f} x", ">= 0.5 x", met=rate >= 0.5 * once)


async def _burst(
    api: Api,
    bare: Api,
    show: Show,
    seen: Seen,
    pods: list[StandIn],
    operator: Operator,
    once: float,
) -> None:
    """Everything at once: created while it is admitted, dispatched and ended, each end freeing the
    slot of another. The bare client works in a namespace without an operator.
    """
    raw = await _raw(bare, JOBS, started=True)
    names = _names("burst", JOBS)
    await _offer(pods, SLOTS)
    parts = {
        "operator": [operator.pid()],
        "the bench and its stand-in pods": [os.getpid()],
        **usage.of_programs("kube-apiserver", "etcd", "nats-server", "versitygw"),
    }
    spent = {part: usage.cpu_seconds(pids) for part, pids in parts.items()}
    writes = operator.counted(WRITES)
    begun = time.monotonic()
    await _create(api, names)
    created = time.monotonic()
    ended = await seen.all_recorded(names)
    rate = JOBS / (ended - begun)
    show(f"{JOBS} jobs, {PODS * SLOTS} slots: created", f"{JOBS / (created - begun):.0f} /s")
    show("dispatched and ended", f"{rate:.0f} /s")
    ratio = JOBS / (await seen.all_ordered(names) - begun) / once
    show(
        "dispatched, to the client that patches once",
        f"{ratio:.2f} x",
        ">= 0.5 x",
        met=ratio >= 0.5,
    )
    show("bare client: created and patched as often as by us", f"{raw:.0f} /s")
    show("ratio to it", f"{rate / raw:.2f} x")
    show("from the last create to the last Succeeded", f"{ended - created:.1f} s")
    for part, pids in parts.items():
        cost = (usage.cpu_seconds(pids) - spent[part]) / JOBS
        show(f"processor time per job of the burst, {part}", f"{cost * 1000:.1f} ms")
    show("status writes per job", f"{(operator.counted(WRITES) - writes) / JOBS:.2f}")


async def _create(api: Api, names: list[str]) -> None:
    queues = {name: _queue(number) for number, name in enumerate(names)}
    await _each(names, lambda name: api.create(name, queues[name]))


async def _shares(api: Api, show: Show, seen: Seen, pods: list[StandIn]) -> None:
    """A backlog in every queue, weights 1 and 2, then slots: who had how many turns meanwhile."""
    await _offer(pods, 0)
    queues = [_queue(number) for number in range(QUEUES)]
    weights = {queue: 1 + number % 2 for number, queue in enumerate(queues)}
    total = sum(weights.values())
    names = {
        name: queue
        for queue in queues
        for name in _names(f"turn-{queue}", round(JOBS * weights[queue] / total))
    }
    await _each(names, lambda name: api.create(name, names[name]))
    await api.until_queued(names, seconds=300)
    begun = time.monotonic()
    await _offer(pods, SLOTS)
    ended = await seen.all_recorded(names)
    order = sorted(names, key=seen.ordered.__getitem__)
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
    await _raw(api, FINISHED - 3 * JOBS)
    operator.start()
    await asyncio.to_thread(wait_until, operator.leading, what="a leader", timeout=120)
    await asyncio.sleep(45)
    writes = operator.counted(WRITES)
    size = usage.pss_mib([operator.pid()])
    kept = len(operator.jobs())
    show(f"operator with {kept} jobs kept, PSS", f"{size:.0f} MiB", "<= 200 MiB", met=size <= 200)
    show("status writes of MediaJobs at its start", f"{writes:.0f}", "0", met=writes == 0)
    await asyncio.to_thread(operator.kill)
    (name,) = _names("first", 1)
    begun = time.monotonic()
    await api.create(name, "default")
    operator.start()
    await api.until_queued([name], seconds=120)
    took = time.monotonic() - begun
    show("killed and started again → first effect", f"{took:.1f} s", "<= 15 s", met=took <= 15)


async def _measure(api: ApiServer, folder: Path, show: Show) -> None:
    namespace = "burst"
    for name in (namespace, "bare"):
        api.kubectl("create", "namespace", name)
    connector = aiohttp.TCPConnector(ssl=unverified(), limit=64)
    with running(nats_server(folder)) as bus, running(store_server(folder)) as s3:
        operator = _operator(api, namespace, folder, bus, s3)
        async with (
            aiohttp.ClientSession(connector=connector, trust_env=False) as session,
            asyncio.TaskGroup() as tasks,
        ):
            client, bare = (Api(api, name, session) for name in (namespace, "bare"))
            await _each(
                [_queue(number) for number in range(QUEUES)],
                lambda name: client.ask(
                    "POST",
                    "/mediaqueues",
                    _object("MediaQueue", name, {"weight": 1 + int(name[-2:]) % 2}),
                ),
            )
            operator.start()
            try:
                await asyncio.to_thread(wait_until, operator.leading, what="a leader", timeout=60)
                await _fill(Store(settings_of(s3)), session)
                url = f"nats://127.0.0.1:{bus.port}"
                seen = Seen()
                pods = await _pods(operator, url, tasks, seen)
                once = await _raw(bare, JOBS)
                await _dispatched(client, show, seen, pods, once)
                await _burst(client, bare, show, seen, pods, operator, once)
                await _shares(client, show, seen, pods)
                for pod in pods:
                    await pod.bus.close()
                await _restart(client, operator, show)
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
        pool={"replicas": PODS, "slotsPerPod": SLOTS},
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
