"""When a running job must be stopped. Pure: what was measured goes in, a reason comes out."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from trawler_crds.failures import FailureReason
from trawler_crds.messages import Stage
from trawler_worker.protocol import Fault

FIRST_BYTE: Final = 90.0
"""Seconds in which an answer must begin, and in which, apart from that, there must be a first byte.
"""
AWAITED: Final = 300.0
"""Seconds of waiting for answers that count for nothing. A site that has every one wait is slow all
the same.
"""
WINDOW: Final = 20.0
"""Seconds over which the rate is judged."""
SLOWEST: Final = 1024
"""Bytes per second."""


@dataclass(frozen=True, kw_only=True)
class Measured:
    """One look at a job; `now` in monotonic seconds."""

    now: float
    stage: Stage
    scratch_bytes: int | None
    """As far as files reach. None: absurdly many files."""
    memory_bytes: int
    awaiting: float = 0.0
    """Seconds since a site was asked that has not answered."""
    awaited: float = 0.0
    """Seconds in all for which the job waited for answers, up to now."""


class ResourceWatchdog:
    """The rules for one job, from its start."""

    def __init__(self, *, begun: float, deadline: float, max_scratch: int, max_memory: int) -> None:
        self._begun = begun
        self._deadline = deadline
        self._max_scratch = max_scratch
        self._max_memory = max_memory
        self._growth: list[tuple[float, int]] = []

    def begin_again(self, now: float, awaited: float) -> None:
        """Another engine begins, with nothing (`awaited`: as measured)."""
        self._begun = now - min(awaited, AWAITED)
        self._growth.clear()

    def judge(self, seen: Measured) -> Fault | None:
        """Why the job must stop now, or None."""
        if seen.now >= self._deadline:
            return Fault(reason=FailureReason.TOO_LONG)
        if seen.memory_bytes > self._max_memory:
            return Fault(reason=FailureReason.OUT_OF_MEMORY)
        if seen.scratch_bytes is None or seen.scratch_bytes > self._max_scratch:
            return Fault(reason=FailureReason.TOO_LARGE)
        if seen.stage is Stage.FETCHING and self._is_too_slow(seen, seen.scratch_bytes):
            return Fault(reason=FailureReason.TOO_SLOW)
        return None

    def _is_too_slow(self, seen: Measured, size: int) -> bool:
        if seen.awaiting > FIRST_BYTE:
            return True
        if seen.awaiting and seen.awaited < AWAITED:
            return False
        flowing = seen.now - min(seen.awaited, AWAITED)
        if size == 0 and not self._growth:
            return flowing - self._begun > FIRST_BYTE
        return self._stalls(flowing, size)

    def _stalls(self, now: float, size: int) -> bool:
        """Whether less came than must, on a clock that stands still while an answer is awaited."""
        if self._growth and size < self._growth[-1][1]:
            self._growth.clear()  # the engine began anew
            if size == 0:  # or another one did
                self._begun = now
                return False
        # the newest look that is a whole window old, and all later ones
        self._growth.append((now, size))
        while len(self._growth) > 1 and self._growth[1][0] <= now - WINDOW:
            self._growth.pop(0)
        then, had = self._growth[0]
        lasted = now - then
        return lasted >= WINDOW and (size - had) < SLOWEST * lasted


def is_too_much(sizes: Mapping[str, int | None], kept: int, room: int | None) -> str | None:
    """The job that must go where all together have more than there is room for: the largest.
    Pure.
    """
    if room is None or not sizes or kept + sum(size or 0 for size in sizes.values()) <= room:
        return None
    return max(sizes, key=lambda job: sizes[job] or 0)
