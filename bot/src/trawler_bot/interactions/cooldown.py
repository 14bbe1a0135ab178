"""Limits how often one person may make requests in one server, whatever kind they are. Pure but for
its memory.
"""

from collections import OrderedDict, deque
from typing import Final

MINUTE: Final = 60.0
PEOPLE: Final = 10_000


class Cooldown:
    """A minimum pause between two requests, and a maximum number of requests per minute."""

    def __init__(self, *, apart: float, per_minute: int) -> None:
        self._apart = apart
        self._per_minute = per_minute
        self._asked: OrderedDict[tuple[int, int], deque[float]] = OrderedDict()

    def take(self, person: int, server: int, now: float) -> float:
        """Seconds to wait (on the monotonic clock); 0.0 if the request is allowed, which then
        counts.
        """
        asked = self._asked.setdefault((person, server), deque(maxlen=self._per_minute))
        self._asked.move_to_end((person, server))
        if len(self._asked) > PEOPLE:
            self._asked.popitem(last=False)
        wait = asked[-1] + self._apart - now if asked else 0.0
        if len(asked) == self._per_minute:
            wait = max(wait, asked[0] + MINUTE - now)
        if wait > 0:
            return wait
        asked.append(now)
        return 0.0

    def give_back(self, person: int, server: int) -> None:
        """Do not count the last allowed request, which had no effect."""
        asked = self._asked.get((person, server))
        if asked:
            asked.pop()
