"""Turns of the event loop: long work gives others their turn before it goes on."""

import asyncio
import time
from typing import Final

LONGEST: Final = 0.02
"""Seconds of work after which others have their turn."""


class Turn:
    """Measures how long one piece of work has kept the event loop."""

    def __init__(self, longest: float = LONGEST) -> None:
        self._longest = longest
        self._begun = time.monotonic()

    def spent(self) -> bool:
        """Whether its share of the event loop is used up."""
        return time.monotonic() - self._begun >= self._longest

    async def breathe(self) -> None:
        """Let others have their turn if this one has lasted long enough."""
        if self.spent():
            await asyncio.sleep(0)
            self._begun = time.monotonic()
