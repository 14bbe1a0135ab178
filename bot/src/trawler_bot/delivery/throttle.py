"""Who may edit next: progress never crowds out what matters, and nobody's words grow old because
others edit more often.
"""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final

APART: Final = 2.0
"""Seconds between two progress edits of one message."""
BUCKET_APART: Final = 1.0
"""Seconds between two progress edits in one bucket of Discord: a channel's is shared by all its
messages, a token's by one.
"""
PER_SECOND: Final = 25
"""Progress edits of the whole process. Discord lets a bot make 50 requests a second (docs, Rate
Limits).
"""
BUCKETS: Final = 10_000
HELD: Final = 1.0
"""Seconds between two progress edits of the whole process while somebody waits for an answer."""


@dataclass(eq=False)
class Turn:
    """One message that has something to say."""

    bucket: str
    since: float
    """When (monotonic) what it says now became old."""
    weight: float
    """How much more its words changed than by a figure."""
    granted: "asyncio.Future[None]" = field(
        default_factory=lambda: asyncio.get_running_loop().create_future()
    )


class EditThrottle:
    """Grants progress edits one by one: of those whose bucket is free, to the one whose words are
    the oldest.
    """

    def __init__(
        self, low: Callable[[str], bool], *, now: Callable[[], float] = time.monotonic
    ) -> None:
        self._low = low
        """Whether Discord said that a bucket has too little left."""
        self._now = now
        self._waiting: list[Turn] = []
        self._used: OrderedDict[str, float] = OrderedDict()
        """Bucket → when it was used last for progress."""
        self._next = 0.0
        self._unanswered = 0
        """People who wait for their answer just now."""
        self._timer: asyncio.TimerHandle | None = None

    async def turn(self, bucket: str, *, since: float, weight: float = 1.0) -> None:
        """Wait for the turn of one message. Cancelled: it was not taken."""
        mine = Turn(bucket, since, weight)
        self._waiting.append(mine)
        self._grant()
        try:
            await mine.granted
        finally:
            if mine in self._waiting:
                self._waiting.remove(mine)

    @contextmanager
    def answers_first(self) -> Iterator[None]:
        """For the length of a block somebody waits for an answer: figures wait, but not for
        long.
        """
        self._unanswered += 1
        try:
            yield
        finally:
            self._unanswered -= 1
            if not self._unanswered:
                self._grant()

    def _grant(self) -> None:
        """To whom it is due; then again, as soon as another one may be."""
        now = self._now()
        if self._unanswered:
            held = self._next + HELD
            if now < held:
                self._again_in(held - now)
                return
        while self._waiting and now >= self._next:
            free = [turn for turn in self._waiting if self._is_free(turn.bucket, now)]
            if not free:
                break
            best = max(free, key=lambda turn: (now - turn.since) * turn.weight)
            self._waiting.remove(best)
            if not best.granted.done():
                best.granted.set_result(None)
                self._note(best.bucket, now)
        self._again_in(max(self._next - now, 1 / PER_SECOND))

    def _again_in(self, seconds: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._waiting:
            self._timer = asyncio.get_running_loop().call_later(seconds, self._grant)

    def _is_free(self, bucket: str, now: float) -> bool:
        return now - self._used.get(bucket, -BUCKET_APART) >= BUCKET_APART and not self._low(bucket)

    def _note(self, bucket: str, now: float) -> None:
        self._next = now + 1 / PER_SECOND
        self._used[bucket] = now
        self._used.move_to_end(bucket)
        if len(self._used) > BUCKETS:
            self._used.popitem(last=False)
