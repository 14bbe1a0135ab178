"""The jobs that this pod holds, in memory. The operator learns of them from presence messages."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from trawler_crds.messages import Held, Order, Stage

REMEMBERED: Final = 300.0
"""Seconds for which an ended attempt is remembered. This is longer than an order can be in transit,
or be repeated by a leader that does not know of the end yet.
"""
MOST_REMEMBERED: Final = 4096
_AT_THE_SITE = frozenset({Stage.STARTING, Stage.FETCHING, Stage.PROVING})

Key = tuple[str, int]
"""(job uid, attempt): the fencing key."""


@dataclass(kw_only=True)
class ActiveJob:
    """One accepted order."""

    order: Order
    begun: float = field(default_factory=time.monotonic)
    stage: Stage = Stage.STARTING
    task: asyncio.Task[None] | None = None
    cancelled: bool = False
    handed_back: bool = False

    @property
    def key(self) -> Key:
        return self.order.uid, self.order.attempt

    @property
    def name(self) -> str:
        """The name of the job in the fetcher, and of its scratch folder."""
        return f"{self.order.uid}-{self.order.attempt}"

    def left(self) -> float:
        """Seconds left of the attempt."""
        return self.begun + self.order.attempt_seconds - time.monotonic()


class JobTable:
    """The accepted jobs. `changed` wakes the presence loop."""

    def __init__(
        self, slots: int, *, jobs: int = 0, now: Callable[[], float] = time.monotonic
    ) -> None:
        self._now = now
        self.slots = slots
        self._left = jobs or None
        """Number of orders to accept before draining; None: no limit."""
        self.works: dict[Key, ActiveJob] = {}
        self.ended: dict[Key, float] = {}
        """Ended attempts and when they ended (monotonic), oldest first. None of them is started
        again.
        """
        self.draining = False
        self.changed = asyncio.Event()

    def free(self) -> int:
        """The number of orders that can be accepted. A slot is a job at the site: a job that stores
        or reports frees its slot, so that the next one fetches meanwhile. In total, at most twice
        the slots are held.
        """
        if self.draining:
            return 0
        left = self.slots if self._left is None else self._left
        fetching = sum(work.stage in _AT_THE_SITE for work in self.works.values())
        return max(0, min(self.slots - fetching, 2 * self.slots - len(self.works), left))

    def take(self, work: ActiveJob) -> None:
        """Add an accepted order. The last one allowed starts draining."""
        self.works[work.key] = work
        if self._left is not None:
            self._left -= 1
            self.draining = self.draining or self._left == 0

    def end(self, work: ActiveJob) -> None:
        """Remove a job that left nothing behind."""
        self.works.pop(work.key, None)
        self.ended.pop(work.key, None)  # the newest entries come last
        self.ended[work.key] = self._now()
        while len(self.ended) > MOST_REMEMBERED or self._forgotten(next(iter(self.ended))):
            del self.ended[next(iter(self.ended))]
        self.touch()

    def _forgotten(self, key: Key) -> bool:
        return self._now() - self.ended[key] > REMEMBERED

    def touch(self) -> None:
        self.changed.set()

    def move(self, work: ActiveJob, stage: Stage) -> None:
        """Set the stage of a job. The next presence reports it; a stage that frees a slot triggers
        a presence at once.
        """
        frees = work.stage in _AT_THE_SITE and stage not in _AT_THE_SITE
        work.stage = stage
        if frees:
            self.touch()

    def held(self) -> list[Held]:
        now = time.monotonic()
        return [
            Held(
                uid=work.order.uid,
                attempt=work.order.attempt,
                stage=work.stage,
                age_seconds=round(now - work.begun, 1),
            )
            for work in self.works.values()
        ]
