"""Measures the operator, not the downloads, with two thousand MediaJobs in fifty queues.

The API server with etcd, the bus, the store and the operator are real. Stand-in pods use the real
bus and finish as soon as they may. The same run measures the limit of the API server with a bare
client, which creates as many MediaJobs and patches their status once, and twice.
"""

import asyncio
import os
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Final

import aiohttp
import uvloop
from figures import Figures

import usage
from bareclient import Client, each, fresh_names, jobs_per_second, manifest
from operator_process import Operator, settings
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
from standins import PODS, SLOTS, Seen, StandIn, fill, offer, take_over
from trawler_common.store import Store

JOBS: Final = 2000
QUEUES: Final = 50
FINISHED: Final = 10_000
WRITES: Final = "trawler_operator_status_writes_total"
ROOT: Final = Path(__file__).resolve().parents[1]
Show = Callable[..., None]


def _queue(number: int) -> str:
    return f"guild-{number % QUEUES:02}"


async def _dispatched(
    api: Client, show: Show, seen: Seen, pods: list[StandIn], once: float
) -> None:
    """Measure creation, admission and dispatch. They cost one write to create a job and one to
    begin it, so the baseline is a client that does just these. Every job has a slot and keeps
    running until the last has begun: jobs that end earlier would be measured too.
    """
    names = fresh_names("begun", JOBS)
    await offer(pods, JOBS // PODS + 1)
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
    api: Client,
    bare: Client,
    show: Show,
    seen: Seen,
    pods: list[StandIn],
    operator: Operator,
) -> None:
    """Measure everything at once: jobs are created while others are admitted, dispatched and ended,
    and each end frees a slot. The bare client works in a namespace without an operator.
    """
    raw = await jobs_per_second(bare, JOBS, started=True)
    names = fresh_names("burst", JOBS)
    await offer(pods, SLOTS)
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
    show("bare client: created and patched as often as by us", f"{raw:.0f} /s")
    show("ratio to it", f"{rate / raw:.2f} x", ">= 0.6 x", met=rate >= 0.6 * raw)
    show("from the last create to the last Succeeded", f"{ended - created:.1f} s")
    for part, pids in parts.items():
        cost = (usage.cpu_seconds(pids) - spent[part]) / JOBS
        show(f"processor time per job of the burst, {part}", f"{cost * 1000:.1f} ms")
    show("status writes per job", f"{(operator.counted(WRITES) - writes) / JOBS:.2f}")


async def _create(api: Client, names: list[str]) -> None:
    queues = {name: _queue(number) for number, name in enumerate(names)}
    await each(names, lambda name: api.create(name, queues[name]))


async def _shares(api: Client, show: Show, seen: Seen, pods: list[StandIn]) -> None:
    """Fill every queue, with weights 1 and 2, then offer slots: count the turns of each queue while
    all of them still have a backlog.
    """
    await offer(pods, 0)
    queues = [_queue(number) for number in range(QUEUES)]
    weights = {queue: 1 + number % 2 for number, queue in enumerate(queues)}
    total = sum(weights.values())
    names = {
        name: queue
        for queue in queues
        for name in fresh_names(f"turn-{queue}", round(JOBS * weights[queue] / total))
    }
    await each(names, lambda name: api.create(name, names[name]))
    await api.until_queued(names, seconds=300)
    begun = time.monotonic()
    await offer(pods, SLOTS)
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


async def _restart(api: Client, operator: Operator, show: Show) -> None:
    """Restart the operator with ten thousand finished jobs: measure its memory, its writes and the
    time to its first effect.
    """
    await asyncio.to_thread(operator.kill)
    await jobs_per_second(api, FINISHED - 3 * JOBS)
    operator.start()
    await asyncio.to_thread(wait_until, operator.leading, what="a leader", timeout=120)
    await asyncio.sleep(45)
    writes = operator.counted(WRITES)
    size = usage.pss_mib([operator.pid()])
    kept = len(operator.jobs())
    show(f"operator with {kept} jobs kept, PSS", f"{size:.0f} MiB", "<= 200 MiB", met=size <= 200)
    show("status writes of MediaJobs at its start", f"{writes:.0f}", "0", met=writes == 0)
    await asyncio.to_thread(operator.kill)
    (name,) = fresh_names("first", 1)
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
            client, bare = (Client(api.access, name, session) for name in (namespace, "bare"))
            await each(
                [_queue(number) for number in range(QUEUES)],
                lambda name: client.ask(
                    "POST",
                    "/mediaqueues",
                    manifest("MediaQueue", name, {"weight": 1 + int(name[-2:]) % 2}),
                ),
            )
            operator.start()
            try:
                await asyncio.to_thread(wait_until, operator.leading, what="a leader", timeout=60)
                await fill(Store(settings_of(s3)), session)
                url = f"nats://127.0.0.1:{bus.port}"
                seen = Seen()
                pods = await take_over(operator, url, tasks, seen, StandIn)
                once = await jobs_per_second(bare, JOBS)
                await _dispatched(client, show, seen, pods, once)
                await _burst(client, bare, show, seen, pods, operator)
                await _shares(client, show, seen, pods)
                for pod in pods:
                    await pod.bus.close()
                await _restart(client, operator, show)
            finally:
                operator.stop()
                for task in asyncio.all_tasks() - {asyncio.current_task()}:
                    task.cancel()


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
    run(Figures().show)
