"""A breaker for one dependency: once it failed several times in a row, nobody waits for it any more
but one who tries, now and then, whether it is back.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from trawler_common.backoff import Backoff

AFTER: Final = 5
"""Failures in a row that open it."""
FIRST: Final = 0.5
LONGEST: Final = 5.0
"""Seconds between two tries while it is open."""


class Breaker:
    """Counts failures in a row. `away` makes the exception for those who need not even try."""

    def __init__(
        self,
        away: Callable[[str], Exception],
        *,
        after: int = AFTER,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._away = away
        self._after = after
        self._now = now
        self._failed = 0
        self._try_at = 0.0
        self._pause = Backoff(first=FIRST, longest=LONGEST)

    @property
    def open(self) -> bool:
        """Whether the dependency counts as away."""
        return self._failed >= self._after

    @contextmanager
    def guarding(self, failure: type[Exception]) -> Iterator[None]:
        """One call. What it raises of this kind counts as a failure of the dependency; a call that
        is not even tried raises what `away` makes.
        """
        if self.open:
            if self._now() < self._try_at:
                raise self._away("it did not answer several times; it is tried again in a moment")
            self._try_at = self._now() + self._pause.next()  # one tries, the others go on
        try:
            yield
        except failure:
            self._failed += 1
            if self._failed == self._after:
                self._try_at = self._now() + self._pause.next()
            raise
        except Exception:  # an answer, though not the one that was hoped for
            self._worked()
            raise
        self._worked()

    def _worked(self) -> None:
        self._failed = 0
        self._pause.reset()
