"""What this pod holds. Plain memory: the operator's view of it is presence."""

import asyncio
import time
from dataclasses import dataclass, field

from trawler_crds.messages import Held, Order, Stage

Key = tuple[str, int]
"""(job uid, attempt): the fence."""


@dataclass(kw_only=True)
class Work:
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
        """How the fetcher knows it, and its scratch folder."""
        return f"{self.order.uid}-{self.order.attempt}"

    def left(self) -> float:
        """Seconds left of the attempt."""
        return self.begun + self.order.attempt_seconds - time.monotonic()


class Board:
    """Everything in hand; `changed` wakes the presence loop."""

    def __init__(self, slots: int) -> None:
        self.slots = slots
        self.works: dict[Key, Work] = {}
        self.draining = False
        self.changed = asyncio.Event()

    def free(self) -> int:
        return 0 if self.draining else max(0, self.slots - len(self.works))

    def touch(self) -> None:
        self.changed.set()

    def move(self, work: Work, stage: Stage) -> None:
        """A new stage is told at the next presence; by itself it is not worth a message."""
        work.stage = stage

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
