"""Half a minute of what `make soak` does for an hour."""

import asyncio

import pytest

from installed import Installed
from soaking import OURS, Kill, Plan, soak

pytestmark = pytest.mark.timeout(480)


def test_under_load_every_part_is_killed_and_nothing_is_lost_or_done_twice(
    release: Installed,
) -> None:
    """Each once, some seconds apart; then all that was asked for is there."""
    release.wait_for_workers(1, timeout=90)
    dies = tuple(
        Kill(2.0 + 4.0 * number, component, by_force=component in {"worker", "nats"})
        for number, component in enumerate(OURS)
    )
    config = Plan(seconds=28, jobs_per_second=2, people_per_second=1, kills=dies)
    found = asyncio.run(soak(release, config))
    assert [] == found.lost
    assert [] == found.doubled
    assert 56 == found.made
    assert found.unanswered < found.asked
    assert len(OURS) == found.killed.total()
    assert not [how for how in found.killed if how.endswith("was dead")]
    release.wait_for_workers(1, timeout=120)
