"""How the soak tells growth from work under way."""

import random

import pytest

from soaking import OURS, SHARED_DISK, Kill, kills, lows, quiet_until, slope

HOUR = 3600.0


@pytest.mark.parametrize("rise", [0.0, 0.5, 1.0, 4.0])
def test_what_is_under_way_does_not_count_as_growth(rise: float) -> None:
    """MiB per hour, below peaks of up to fifty that come and go."""
    chance = random.Random(1)
    points = []
    for second in range(0, 1800, 10):
        peak = chance.choice((0.0, 0.0, chance.random() * 50))
        points.append((float(second), 100.0 + rise * second / HOUR + peak))
    assert abs(slope(lows(points)) * HOUR - rise) < 0.1


def test_memory_is_judged_until_things_die_again() -> None:
    """A leader that dies at the end makes the other one larger: that is no growth."""
    found = [Kill(at, "bot", by_force=False) for at in (5.0, 20.0, 3300.0, 3400.0)]
    assert 3300.0 == quiet_until(found)
    assert float("inf") == quiet_until([])


def test_each_part_dies_before_one_dies_a_second_time() -> None:
    """And what shares a disk is never deleted by force."""
    found = kills([(0.0, 600.0, OURS)], every=60.0)
    assert set(OURS) == {kill.component for kill in found[: len(OURS)]}
    assert 10 == len(found)
    assert not [kill for kill in found if kill.by_force and kill.component in SHARED_DISK]
