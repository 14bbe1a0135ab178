"""A worker pod without containers: speaks the real bus, does what a test tells it."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Self

from trawler_common.bus import Bus, RequestTimeout
from trawler_crds import subjects
from trawler_crds.messages import (
    Control,
    ControlAction,
    ControlReply,
    Held,
    Order,
    OrderReply,
    Presence,
    Recorded,
    Result,
    Seen,
    Stage,
    UploadGrants,
    UploadRequest,
)

Decide = Callable[[Order], Awaitable[bool | None]]


async def accept(_: Order) -> bool | None:
    return True


class StubPod:
    """Takes orders as `decide` says: True accepts, False refuses, None does not answer."""

    EVERY = 0.3
    """Seconds between two presences."""

    def __init__(self, bus: Bus, install: str, name: str, *, slots: int = 2) -> None:
        self.bus, self.install, self.name, self.slots = bus, install, name, slots
        self.decide: Decide = accept
        self.orders: list[Order] = []
        self.cancelled: list[tuple[str, int]] = []
        self.held: dict[tuple[str, int], Order] = {}
        self.reporting: set[tuple[str, int]] = set()
        """Attempts whose result was said at least once."""
        self.draining = False
        self.speaking = True
        self.stopping: list[Callable[[], Awaitable[None]]] = []
        """What stops listening."""
        self._sequence = time.time_ns() // 1000

    @classmethod
    async def start(cls, bus: Bus, tasks: asyncio.TaskGroup, install: str, name: str) -> Self:
        found = cls(bus, install, name)
        found.stopping = [
            await bus.serve(subjects.orders(install, name), Order, found._order),
            await bus.serve(subjects.control(install, name), Control, found._control),
        ]
        tasks.create_task(found._speak(), name=f"presence of {name}")
        return found

    async def _order(self, _: str, order: Order) -> OrderReply | None:
        self.orders.append(order)
        verdict = await self.decide(order)
        if verdict is None:
            return None
        if verdict:
            self.held[order.uid, order.attempt] = order
        self._sequence += 1
        return OrderReply(accepted=verdict, free=self.free(), sequence=self._sequence)

    async def _control(self, _: str, control: Control) -> ControlReply:
        if control.action is ControlAction.DRAIN:
            self.draining = True
        elif control.uid is not None and control.attempt is not None:
            self.cancelled.append((control.uid, control.attempt))
            self.held.pop((control.uid, control.attempt), None)
        return ControlReply()

    def free(self) -> int:
        return 0 if self.draining else self.slots - len(self.held)

    async def _speak(self) -> None:
        while True:
            if self.speaking:
                await self.say()
            await asyncio.sleep(self.EVERY)

    async def say(self) -> bool:
        """One presence; True when the operator heard it."""
        self._sequence += 1
        presence = Presence(
            pool="default",
            sequence=self._sequence,
            free=self.free(),
            taken=len(self.held),
            draining=self.draining,
            held=[
                Held(uid=uid, attempt=attempt, stage=self._stage(uid, attempt), age_seconds=1.0)
                for uid, attempt in self.held
            ],
        )
        try:
            await self.bus.request(
                subjects.presence(self.install, self.name), presence, Seen, timeout=2
            )
        except RequestTimeout:
            return False
        return True

    def _stage(self, uid: str, attempt: int) -> Stage:
        return Stage.REPORTING if (uid, attempt) in self.reporting else Stage.FETCHING

    async def report(self, uid: str, result: Result) -> Recorded:
        """Repeat until recorded, as the real one does; then let go."""
        subject = subjects.results(self.install, self.name, uid)
        self.reporting.add((uid, result.attempt))
        async with asyncio.timeout(30):
            while True:
                try:
                    answer = await self.bus.request(subject, result, Recorded, timeout=3)
                    break
                except RequestTimeout:
                    await asyncio.sleep(0.2)
        self.held.pop((uid, result.attempt), None)
        return answer

    async def grants(self, uid: str, request: UploadRequest) -> UploadGrants:
        subject = subjects.uploads(self.install, self.name, uid)
        return await self.bus.request(subject, request, UploadGrants, timeout=5)
