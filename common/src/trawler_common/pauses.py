"""How long a pause is after so many tries. Pure."""

from typing import Final

DOUBLINGS: Final = 30
"""More of them change nothing any more, and a float has room for a thousand only."""


def grown(first: float, longest: float, times: int) -> float:
    """Seconds: `first`, doubled after each of so many `times`, and never more than `longest`."""
    return min(longest, first * 2.0 ** min(max(times, 0), DOUBLINGS))
