"""Decides which message is edited next: progress edits never crowd out more important requests, and
no message becomes stale because others are edited more often.
"""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final

APART: Final = 2.0
"""Minimum seconds between two progress edits of one message."""
BUCKET_APART: Final = 1.0
"""Minimum seconds between two progress edits in one rate limit bucket: all messages of a channel
share one, a token has its own.
"""
PER_SECOND: Final = 25
"""Progress edits per second of the whole process. Discord allows a bot 50 requests per second
(docs, Rate Limits).
"""
BUCKETS: Final = 10_000
HELD: Final = 1.0
"""Seconds between two progress edits of the whole process while a person waits for an answer."""


@dataclass(eq=False)
class Turn:
    """A message that waits for a progress edit."""

    bucket: str
    since: float
    """When (monotonic seconds) the shown text became outdated."""
    weight: float
    """How much the text changed, relative to a changed figure."""
    granted: "asyncio.Future[None]" = field(
        default_factory=lambda: asyncio.get_running_loop().create_future()
    )


class EditThrottle:
    """Grants progress edits one by one: of the messages whose bucket is free, the one with the
    oldest text comes first.
    """

    def __init__(
        self, low: Callable[[str], bool], *, now: Callable[[], float] = time.monotonic
    ) -> None:
        self._low = low
        """Whether a bucket has too few requests left, according to Discord."""
        self._now = now
        self._waiting: list[Turn] = []
        self._used: OrderedDict[str, float] = OrderedDict()
        """Bucket → time of its last progress edit."""
        self._next = 0.0
        self._unanswered = 0
        """Number of people who are waiting for an answer."""
        self._timer: asyncio.TimerHandle | None = None

    async def turn(self, bucket: str, *, since: float, weight: float = 1.0) -> None:
        """Wait for the turn of one message. A cancelled wait uses no turn."""
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
        """A person waits for an answer during this block: progress edits are delayed, but not for
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
        """Grant the turns that are due, and check again as soon as the next one can be."""
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
