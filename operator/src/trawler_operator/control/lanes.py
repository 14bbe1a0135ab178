"""Lanes: bounded hands for each kind of work, so that what hangs holds up only its own kind."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from enum import StrEnum
from typing import Final

from trawler_operator.planning.actions import (
    Action,
    Cancel,
    Copy,
    DeleteJob,
    Dispatch,
    DrainPod,
    Order,
    SetAside,
    WriteStatus,
)

Work = Callable[[], Awaitable[None]]


class LaneName(StrEnum):
    """By what the work waits for."""

    ORDERS = "orders"  # a write-ahead, then a pod's answer
    STATUS = "status"  # the API server
    STORE = "store"  # the object store, then the API server
    CONTROL = "control"  # a pod's answer
    PODS = "pods"  # the API server, for pods and pools
    CLEANING = "cleaning"  # deletions that nobody waits for


HANDS: Final[Mapping[LaneName, int]] = {
    LaneName.ORDERS: 32,
    LaneName.STATUS: 16,
    LaneName.STORE: 8,
    LaneName.CONTROL: 8,
    LaneName.PODS: 8,
    LaneName.CLEANING: 4,
}
"""Pieces of work under way together in each lane."""


def lane_of(action: Action) -> LaneName:
    """Where an action belongs."""
    match action:
        case Dispatch() | Order():
            return LaneName.ORDERS
        case WriteStatus() | SetAside():
            return LaneName.STATUS
        case Copy():
            return LaneName.STORE
        case Cancel() | DrainPod():
            return LaneName.CONTROL
        case DeleteJob():
            return LaneName.CLEANING
        case _:
            return LaneName.PODS


class Lane:
    """Does pieces of work in the order in which they came, a bounded number together. Each is about
    an object of its own, and the caller gives at most one per object, so what waits is bounded by
    these.
    """

    def __init__(self, name: LaneName, hands: int, tasks: asyncio.TaskGroup) -> None:
        self.name = name
        self._hands = hands
        self._tasks = tasks
        self._waiting: deque[Work] = deque()
        self.under_way = 0

    @property
    def waiting(self) -> int:
        """Pieces of work that find no hand."""
        return len(self._waiting)

    def put(self, work: Work) -> None:
        """Do this when a hand is free. It must not raise."""
        self._waiting.append(work)
        self._begin()

    def _begin(self) -> None:
        while self._waiting and self.under_way < self._hands:
            self.under_way += 1
            self._tasks.create_task(self._do(self._waiting.popleft()), name=f"lane {self.name}")

    async def _do(self, work: Work) -> None:
        try:
            await work()
        finally:
            self.under_way -= 1
            self._begin()


def lanes(tasks: asyncio.TaskGroup) -> dict[LaneName, Lane]:
    """One of each."""
    return {name: Lane(name, hands, tasks) for name, hands in HANDS.items()}
