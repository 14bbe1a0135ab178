"""Stand-in pods: they speak the real bus, and have the result of each order at once."""

import asyncio
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final, TypeVar

import aiohttp

from operator_process import BODY, Operator, stored
from servers import wait_until
from stubpod import StubPod
from trawler_common.bus import Bus
from trawler_common.store import Store
from trawler_crds.messages import Order, UploadFile

PODS: Final = 8
SLOTS: Final = 4


@dataclass
class Seen:
    """What the stand-in pods saw of each job, by its name (monotonic seconds). Nobody watches the
    API server for it: on two cores that would be measured too.
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


Kind = TypeVar("Kind", bound=StandIn)


async def take_over(
    operator: Operator,
    nats_url: str,
    tasks: asyncio.TaskGroup,
    seen: Seen,
    kind: type[Kind],
) -> list[Kind]:
    """Every pod of the pool, spoken for by a stand-in of some kind."""
    await asyncio.to_thread(wait_until, lambda: len(operator.pods()) == PODS, what="pods")
    found: list[Kind] = []
    for manifest in operator.pods():
        name = manifest["metadata"]["name"]
        await asyncio.to_thread(operator.run_pod, name)
        bus = await Bus.connect(nats_url, name=name, tasks=tasks)
        pod = await kind.start(bus, tasks, operator.namespace, name)
        pod.open(tasks, seen)
        found.append(pod)
    return found


async def offer(pods: list[StandIn], slots: int) -> None:
    """So many slots in each pod from now on."""
    await asyncio.gather(*(pod.offer(slots) for pod in pods))


async def fill(store: Store, session: aiohttp.ClientSession) -> None:
    """The one object that every stand-in reports."""
    await store.ensure_bucket()
    file = stored().files[0]
    grant = store.grant(
        UploadFile(sha256=file.sha256, bytes=file.bytes, type=file.type), seconds=60
    )
    async with session.put(grant.url, data=BODY, headers=grant.headers) as answer:
        assert answer.status == 200, await answer.text()
