"""Weighted deficit round robin: which queue is next. Pure, but for what it remembers.

Each round gives every active queue credit in proportion to its weight, the heaviest a whole turn;
a turn costs one. A queue that is empty, paused or capped is not active and keeps no credit, so
nobody saves up while away.
"""

from bisect import bisect_right
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final, Generic, TypeVar

Item = TypeVar("Item")

WHOLE: Final = 1.0 - 1e-9
"""A turn's cost, less what adding fractions may lose."""


@dataclass(kw_only=True)
class Candidates(Generic[Item]):
    """What one queue could have done now."""

    weight: int
    items: Iterator[Item]
    room: int | None = None
    """How many of them at most; None: no cap."""
    _next: Item | None = None

    def peek(self) -> Item | None:
        """The next item that may go, if any."""
        if self.room is not None and self.room <= 0:
            return None
        if self._next is None:
            self._next = next(self.items, None)
        return self._next

    def take(self) -> None:
        """The item that was peeked at goes."""
        self._next = None
        if self.room is not None:
            self.room -= 1


@dataclass
class DeficitRoundRobin:
    """What the queues of one pool have saved up, and which was served last."""

    credit: dict[str, float] = field(default_factory=dict)
    last: str = ""

    def copy(self) -> "DeficitRoundRobin":
        """To look ahead without touching the real thing."""
        return DeficitRoundRobin(dict(self.credit), self.last)

    def deal(self, hands: Mapping[str, Candidates[Item]]) -> Iterator[Item]:
        """One item after another, for as long as the caller asks and a queue has one."""
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
