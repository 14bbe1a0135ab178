"""Names, sizes and budgets."""

import pytest

from trawler_bot import fitting, names
from trawler_bot.budget import Budget
from trawler_bot.cooldown import Cooldown
from trawler_crds.media_job import MediaFile


def file(size: int, number: int = 0) -> MediaFile:
    return MediaFile(name=f"{number}.jpg", bytes=size, sha256="0" * 64, type="image/jpeg")


def test_names_follow_from_what_discord_gave() -> None:
    """The same again is the same; each fits where it goes."""
    assert ("d-42", "d-42-3") == (names.job(42), names.job(42, 3))
    uid = "58b60439-c852-4490-bd51-386d17c80de9"
    assert names.nonce(uid, "album 2") == names.nonce(uid, "album 2")
    assert names.nonce(uid, "album 2") != names.nonce(uid, "album 3")
    assert len(names.nonce(uid, "mention")) == 25


def test_files_go_ten_to_a_message_and_large_ones_into_none() -> None:
    """In their order."""
    files = [file(5, n) for n in range(12)] + [file(50, 12)]
    plan = fitting.fit(files, 10)
    assert [10, 2] == [len(group) for group in plan.messages]
    assert files[:12] == [each for group in plan.messages for each in group]
    assert [files[12]] == plan.too_large
    assert [] == fitting.fit([], 10).messages


def test_a_refused_size_is_learnt_from() -> None:
    """Below the largest that was refused, and a good step down."""
    assert fitting.step_down(100, [file(90), file(60)]) == 75
    assert fitting.step_down(100, [file(60)]) == 59
    assert fitting.step_down(100, []) == 75


@pytest.mark.parametrize(("height", "less"), [(None, 2160), (1080, 720), (1000, 720), (144, None)])
def test_smaller_is_the_next_lower_height(height: int | None, less: int | None) -> None:
    """Until there is none."""
    assert less == fitting.smaller(height)


def test_progress_is_rare_in_a_channel_and_over_all() -> None:
    """None at first, one in two seconds per channel, twenty a second in all."""
    budget = Budget()
    assert not budget.take(1, born=100.0, now=101.9)
    assert budget.take(1, born=100.0, now=102.0)
    assert not budget.take(1, born=100.0, now=103.9)
    assert budget.take(1, born=100.0, now=104.0)
    granted = [budget.take(channel, born=0.0, now=200.0) for channel in range(50)]
    assert sum(granted) == 20
    assert budget.take(60, born=0.0, now=201.0)


def test_channels_are_forgotten_in_time() -> None:
    """Memory does not grow with the channels of the world."""
    budget = Budget()
    for number in range(20_000):
        budget.take(number, born=0.0, now=10.0 + number)
    assert len(budget._channels) == 10_000


def test_a_person_asks_so_often_and_is_told_how_long_to_wait() -> None:
    """Ten seconds apart, five a minute; another person or server is another matter."""
    cooldown = Cooldown(apart=10, per_minute=5)
    assert [0.0, 4.0, 0.0, 0.0] == [
        cooldown.take(1, 7, 100.0),
        cooldown.take(1, 7, 106.0),
        cooldown.take(2, 7, 106.0),
        cooldown.take(1, 8, 106.0),
    ]
    granted = [cooldown.take(1, 7, at) for at in (110.0, 120.0, 130.0, 140.0)]
    assert [0.0] * 4 == granted
    assert cooldown.take(1, 7, 150.0) == 10.0
    assert cooldown.take(1, 7, 160.0) == 0.0


def test_who_was_refused_is_not_counted() -> None:
    """Trying too early does not make the wait longer."""
    cooldown = Cooldown(apart=10, per_minute=2)
    cooldown.take(1, 7, 100.0)
    for at in (101.0, 102.0, 103.0):
        cooldown.take(1, 7, at)
    assert cooldown.take(1, 7, 110.0) == 0.0
