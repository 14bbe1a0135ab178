"""Names, sizes and budgets."""

import pytest

from trawler_bot.delivery import packing
from trawler_bot.interactions.cooldown import Cooldown
from trawler_bot.jobs import ids, quality
from trawler_crds.media_job import MediaFile


def file(size: int, number: int = 0) -> MediaFile:
    return MediaFile(name=f"{number}.jpg", bytes=size, sha256="0" * 64, type="image/jpeg")


def test_names_follow_from_what_discord_gave() -> None:
    """The same again is the same; each fits where it goes."""
    assert ("d-42", "d-42-3") == (ids.job(42), ids.job(42, 3))
    uid = "58b60439-c852-4490-bd51-386d17c80de9"
    assert ids.nonce(uid, "album 2") == ids.nonce(uid, "album 2")
    assert ids.nonce(uid, "album 2") != ids.nonce(uid, "album 3")
    assert len(ids.nonce(uid, "mention")) == 25


def test_files_go_ten_to_a_message_and_large_ones_into_none() -> None:
    """In their order."""
    files = [file(5, n) for n in range(12)] + [file(50, 12)]
    plan = packing.fit(files, 10)
    assert [10, 2] == [len(group) for group in plan.messages]
    assert files[:12] == [each for group in plan.messages for each in group]
    assert [files[12]] == plan.too_large
    assert [] == packing.fit([], 10).messages


def test_a_refused_size_is_learnt_from() -> None:
    """Below the largest that was refused, and a good step down."""
    assert packing.step_down(100, [file(90), file(60)]) == 75
    assert packing.step_down(100, [file(60)]) == 59
    assert packing.step_down(100, []) == 75


def test_what_was_too_much_together_goes_in_several_messages() -> None:
    """A whole request may be refused though each of its files fits."""
    files = [file(5, n) for n in range(5)]
    plan = packing.fit(files, 10, together=11)
    assert [2, 2, 1] == [len(group) for group in plan.messages]
    assert [] == plan.too_large
    assert [1] * 5 == [len(group) for group in packing.fit(files, 10, together=1).messages]


def video(size: int, width: int, height: int) -> MediaFile:
    return MediaFile(
        name="a.mp4", bytes=size, sha256="0" * 64, type="video/mp4", width=width, height=height
    )


@pytest.mark.parametrize(
    ("files", "asked", "less"),
    [
        ([], None, 480),
        ([], 1080, 720),
        ([], 144, None),
        ([video(1, 1280, 720)], None, 480),
        ([video(1, 720, 1280)], None, 480),
        ([video(1, 1280, 720)], 2160, 480),
        ([video(1, 256, 144)], None, None),
        ([video(1, 1280, 720), video(1, 1920, 1080)], None, 480),
    ],
)
def test_smaller_is_less_than_what_there_is(
    files: list[MediaFile], asked: int | None, less: int | None
) -> None:
    """Of the shorter side, until there is none; never 2160 of a 720p video."""
    assert less == quality.smaller_than(files, asked)


@pytest.mark.parametrize(
    ("file_", "limit", "less"),
    [
        (video(12_000_000, 1920, 1080), 10_000_000, 720),
        (video(60_000_000, 1920, 1080), 10_000_000, 240),
        (video(60_000_000, 1080, 1920), 10_000_000, 240),
        (video(8_000_000, 1920, 1080), 10_000_000, 720),
        (video(900_000_000, 1920, 1080), 10_000_000, 144),
    ],
)
def test_smaller_is_what_will_fit(file_: MediaFile, limit: int, less: int) -> None:
    """Not the next rung: one press is enough."""
    assert less == quality.smaller_to_fit([file_], None, limit)


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
