"""How often progress may be shown: it never crowds out what matters. Pure but for its memory."""

from collections import OrderedDict
from typing import Final

FIRST_AFTER: Final = 2.0
"""Seconds of a message's life in which it is not edited for progress."""
APART: Final = 2.0
"""Seconds between two progress edits in one channel."""
PER_SECOND: Final = 20
"""Progress edits of the whole bot."""
CHANNELS: Final = 10_000


class Budget:
    """Grants progress edits. What is not granted is dropped: the next progress says more anyway."""

    def __init__(self) -> None:
        self._channels: OrderedDict[int, float] = OrderedDict()
        self._second = 0.0
        self._used = 0

    def take(self, channel_id: int, *, born: float, now: float) -> bool:
        """Whether a message, born then, may be edited now (monotonic seconds)."""
        if now - born < FIRST_AFTER:
            return False
        if now - self._channels.get(channel_id, -APART) < APART:
            return False
        if now - self._second >= 1.0:
            self._second, self._used = now, 0
        if self._used >= PER_SECOND:
            return False
        self._used += 1
        self._channels[channel_id] = now
        self._channels.move_to_end(channel_id)
        if len(self._channels) > CHANNELS:
            self._channels.popitem(last=False)
        return True
