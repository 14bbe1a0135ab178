"""When a running job must be stopped. Pure: what was measured goes in, a reason comes out."""

from dataclasses import dataclass
from typing import Final

from trawler_crds.failures import FailureReason
from trawler_crds.messages import Stage
from trawler_worker.protocol import Fault

FIRST_BYTE: Final = 90.0
"""Seconds without a first byte."""
WINDOW: Final = 20.0
"""Seconds over which the rate is judged."""
SLOWEST: Final = 1024
"""Bytes per second."""


@dataclass(frozen=True, kw_only=True)
class Measured:
    """One look at a job; `now` in monotonic seconds."""

    now: float
    stage: Stage
    scratch_bytes: int
    memory_bytes: int


class Watch:
    """The rules for one job, from its start."""

    def __init__(self, *, begun: float, deadline: float, max_scratch: int, max_memory: int) -> None:
        self._begun = begun
        self._deadline = deadline
        self._max_scratch = max_scratch
        self._max_memory = max_memory
        self._growth: list[tuple[float, int]] = []

    def judge(self, seen: Measured) -> Fault | None:
        """Why the job must stop now, or None."""
        if seen.now >= self._deadline:
            return Fault(reason=FailureReason.TOO_LONG)
        if seen.memory_bytes > self._max_memory:
            return Fault(reason=FailureReason.OUT_OF_MEMORY)
        if seen.scratch_bytes > self._max_scratch:
            return Fault(reason=FailureReason.TOO_LARGE)
        if seen.stage is Stage.FETCHING and self._stalls(seen):
            return Fault(reason=FailureReason.TOO_SLOW)
        return None

    def _stalls(self, seen: Measured) -> bool:
        if seen.scratch_bytes == 0 and not self._growth:
            return seen.now - self._begun > FIRST_BYTE
        # the newest look that is a whole window old, and all later ones
        self._growth.append((seen.now, seen.scratch_bytes))
        while len(self._growth) > 1 and self._growth[1][0] <= seen.now - WINDOW:
            self._growth.pop(0)
        then, had = self._growth[0]
        lasted = seen.now - then
        return lasted >= WINDOW and (seen.scratch_bytes - had) < SLOWEST * lasted
