"""Weighted deficit round robin: chooses the next queue. Pure, except for the credit that it
remembers.

In each round, every active queue gets credit in proportion to its weight; the heaviest queue gets a
whole turn. A turn costs one credit. A queue that is empty, paused or capped is not active and keeps
no credit, so that no queue saves up credit while it is inactive.
"""

from bisect import bisect_right
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final, Generic, TypeVar

Item = TypeVar("Item")

WHOLE: Final = 1.0 - 1e-9
"""The cost of a turn, less the rounding error of adding fractions."""


@dataclass(kw_only=True)
class Candidates(Generic[Item]):
    """The items of one queue that could go now."""

    weight: int
    items: Iterator[Item]
    room: int | None = None
    """Maximum number of items to take; None: no limit."""
    _next: Item | None = None

    def peek(self) -> Item | None:
        """The next item that may go; None if there is none."""
        if self.room is not None and self.room <= 0:
            return None
        if self._next is None:
            self._next = next(self.items, None)
        return self._next

    def take(self) -> None:
        """Take the item that `peek` returned."""
        self._next = None
        if self.room is not None:
            self.room -= 1


@dataclass
class DeficitRoundRobin:
    """The credit of each queue of one pool, and the queue that was served last."""

    credit: dict[str, float] = field(default_factory=dict)
    last: str = ""

    def copy(self) -> "DeficitRoundRobin":
        """A copy for looking ahead without changing the original."""
        return DeficitRoundRobin(dict(self.credit), self.last)

    def deal(self, hands: Mapping[str, Candidates[Item]]) -> Iterator[Item]:
        """Yield one item after another, for as long as the caller iterates and a queue has one."""
        ring = sorted(hands)
        self.credit = {name: self.credit.get(name, 0.0) for name in ring}
        start = bisect_right(ring, self.last)
        ring = ring[start:] + ring[:start]
        while ring:
            heaviest = max(hands[name].weight for name in ring)
            for name in tuple(ring):
                hand = hands[name]
                item = hand.peek()
                if item is None:
                    ring.remove(name)
                    del self.credit[name]
                    continue
                self.last = name
                self.credit[name] += hand.weight / heaviest
                if self.credit[name] >= WHOLE:
                    self.credit[name] -= 1.0
                    hand.take()
                    yield item
