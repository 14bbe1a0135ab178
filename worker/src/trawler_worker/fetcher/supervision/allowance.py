"""How much somebody may say: so much at once, and so much a second for ever. Pure."""


class Allowance:
    """A token bucket."""

    def __init__(self, *, burst: float, per_second: float, now: float) -> None:
        self._burst = burst
        self._rate = per_second
        self._left = burst
        self._then = now

    def takes(self, amount: float, now: float) -> bool:
        """Whether that is still allowed. Counts what was said either way."""
        self._left = min(self._burst, self._left + (now - self._then) * self._rate) - amount
        self._then = now
        return self._left >= 0
