"""What is due now: when it is written that a job waits."""

from collections import Counter
from typing import Any

import pytest

from objects import NOON, clock, held, job, pod, running, state_of
from trawler_operator import formatting
from trawler_operator.planning.actions import Action, Copy, Dispatch, WriteStatus
from trawler_operator.planning.planner import QUIET, SETTLE, Planner
from trawler_operator.planning.scheduling import Scheduler

NOW = 1000.0


@pytest.mark.parametrize(
    ("waited", "under_way", "written"),
    [(0.9 * SETTLE, 0, 0), (SETTLE, 0, 3), (SETTLE, QUIET, 0)],
)
def test_that_somebody_waits_is_written_a_little_later_and_when_there_is_room(
    waited: float, under_way: int, written: int
) -> None:
    """Where the turn comes first, it need not be written at all."""
    state = state_of(*(job(f"u{number}") for number in range(3)), now=NOW)
    planner = Planner(Scheduler())
    assert [] == list(planner.due(state, clock(NOW), frozenset()))
    busy = {f"effect {number}" for number in range(under_way)}
    due = list(planner.due(state, clock(NOW + waited), busy))
    assert written == len(due)
    assert all(isinstance(action, WriteStatus) for _, action in due)


def test_a_twin_that_was_not_looked_at_yet_is_not_sent_for_what_is_stored() -> None:
    """The turn was spent after some of a thousand answers; one of the others fetched it all
    again.
    """
    same: dict[str, Any] = {"url": "http://site/same.mp4"}
    duplicates = [job(f"t{number}", status_phase="Queued", **same) for number in range(9)]
    at_work = pod(held=held("leader"), taken=1, free=1)
    state = state_of(*duplicates, running("leader", **same), at_work, pod("p2"), now=NOW)
    planner, busy = Planner(Scheduler()), set[str]()
    assert [] == list(planner.due(state, clock(NOW), busy))
    files = [{"name": "a.mp4", "bytes": 1, "sha256": "a" * 64, "type": "video/mp4"}]
    done = {"status_phase": "Succeeded", "status_attempt": 1, "status_files": files, **same}
    ended = formatting.stamp(NOON - 1)
    state.see_job(job("leader", version=2, status_completionTime=ended, **done))
    seen: list[Action] = []
    for _ in range(9):
        steps = iter((False, False, True))
        for key, action in planner.due(state, clock(NOW), busy, lambda: next(steps, True)):  # noqa: B023
            busy.add(key)
            seen.append(action)
    kinds = Counter(type(action) for action in seen)
    assert (9, 0) == (kinds[Copy], kinds[Dispatch])
