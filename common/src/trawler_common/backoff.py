"""Pauses between tries: they double, up to a bound, and no two clients pause alike."""

import asyncio
import random
from collections.abc import Callable
from typing import Final

from trawler_common.pauses import grown

FIRST: Final = 1.0
LONGEST: Final = 30.0


class Backoff:
    """The pauses of one thing that is tried again and again. Seconds throughout."""

    def __init__(
        self,
        *,
        first: float = FIRST,
        longest: float = LONGEST,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._first = first
        self._longest = longest
        self._jitter = jitter
        self.tries = 0
        """Pauses taken since the last success."""

    def next(self, *, at_least: float = 0.0) -> float:
        """The length of the next pause: between a half and the whole of the doubled bound, so that
        many who failed together do not come back together. Never shorter than what the server asked
        for.
        """
        whole = grown(self._first, self._longest, self.tries)
        self.tries += 1
        return max(at_least, whole * (0.5 + 0.5 * self._jitter()))

    async def pause(self, *, at_least: float = 0.0) -> None:
        """Wait for the length of the next pause."""
        await asyncio.sleep(self.next(at_least=at_least))

    def reset(self) -> None:
        """It worked: the next pause is a short one again."""
        self.tries = 0
