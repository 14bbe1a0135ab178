"""What is due now: when it is written that a job waits."""

import pytest

from objects import board, clock, job
from trawler_operator.actions import WriteStatus
from trawler_operator.deciding import QUIET, SETTLE, Decider
from trawler_operator.scheduling import Scheduler

NOW = 1000.0


@pytest.mark.parametrize(
    ("waited", "under_way", "written"),
    [(0.9 * SETTLE, 0, 0), (SETTLE, 0, 3), (SETTLE, QUIET, 0)],
)
def test_that_somebody_waits_is_written_a_little_later_and_when_there_is_room(
    waited: float, under_way: int, written: int
) -> None:
    """Where the turn comes first, it need not be written at all."""
    state = board(*(job(f"u{number}") for number in range(3)), now=NOW)
    decider = Decider(Scheduler())
    assert [] == list(decider.due(state, clock(NOW), frozenset()))
    busy = {f"effect {number}" for number in range(under_way)}
    due = list(decider.due(state, clock(NOW + waited), busy))
    assert written == len(due)
    assert all(isinstance(action, WriteStatus) for _, action in due)
