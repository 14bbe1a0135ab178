"""Who may edit next."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from trawler_bot.delivery import throttle
from trawler_bot.delivery.throttle import EditThrottle

pytestmark = pytest.mark.looptime


def now() -> float:
    return asyncio.get_running_loop().time()


@asynccontextmanager
async def waiting(
    found: EditThrottle, *turns: tuple[str, str, float, float]
) -> AsyncIterator[list[tuple[str, float]]]:
    """(name, bucket, since, weight) of each that waits; gives names as they are granted, and
    when.
    """
    granted: list[tuple[str, float]] = []

    async def wait(name: str, bucket: str, since: float, weight: float) -> None:
        await found.turn(bucket, since=since, weight=weight)
        granted.append((name, now()))

    async with asyncio.TaskGroup() as tasks:
        for turn in turns:
            tasks.create_task(wait(*turn))
        yield granted


async def test_whose_words_are_the_oldest_is_first() -> None:
    """And not who came first; a job that moved on counts more than a figure."""
    found = EditThrottle(lambda _: False, now=now)
    await asyncio.sleep(100)
    turns = [("young", "a", 99.0, 1.0), ("old", "b", 90.0, 1.0), ("moved", "c", 95.0, 3.0)]
    async with waiting(found, ("first", "x", 99.0, 1.0), *turns) as granted:
        pass
    assert ["moved", "old", "young"] == [name for name, _ in granted if name != "first"]


async def test_the_whole_bot_edits_so_often() -> None:
    """However many messages there are."""
    found = EditThrottle(lambda _: False, now=now)
    turns = [(str(n), str(n), 0.0, 1.0) for n in range(100)]
    async with waiting(found, *turns) as granted:
        pass
    assert 100 == len(granted)
    assert now() >= 99 / throttle.PER_SECOND
    assert now() < 100 / throttle.PER_SECOND + 1


async def test_a_bucket_that_discord_calls_low_waits_and_keeps_nobody_else() -> None:
    """What is left of it is for results."""
    low = {"full": True}
    found = EditThrottle(lambda bucket: low.get(bucket, False), now=now)
    async with waiting(found, ("kept", "full", 0.0, 9.0), ("free", "other", 0.0, 1.0)) as granted:
        await asyncio.sleep(5)
        assert ["free"] == [name for name, _ in granted]
        low["full"] = False
    assert ["free", "kept"] == [name for name, _ in granted]


async def test_messages_of_one_channel_take_turns() -> None:
    """Ten that share a bucket: in ten rounds each had one."""
    found = EditThrottle(lambda _: False, now=now)
    shown = dict.fromkeys(range(10), 0.0)
    oldest = 0.0

    async def message(number: int) -> None:
        nonlocal oldest
        for _ in range(5):
            await found.turn("channel", since=shown[number], weight=1.0)
            oldest = max(oldest, now() - shown[number])
            shown[number] = now()

    await asyncio.gather(*map(message, shown))
    assert oldest <= 10 * throttle.BUCKET_APART + 1


async def test_who_stops_waiting_keeps_nobody() -> None:
    """Its job ended meanwhile."""
    found = EditThrottle(lambda bucket: bucket == "never", now=now)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(3):
            await found.turn("never", since=0.0)
    assert [] == found._waiting
    await found.turn("other", since=0.0)


async def test_while_somebody_waits_for_an_answer_figures_come_slower_but_come() -> None:
    found = EditThrottle(lambda _: False, now=now)
    await asyncio.sleep(100)
    turns = [(str(n), str(n), 0.0, 1.0) for n in range(20)]
    begun = now()
    with found.answers_first():
        async with asyncio.timeout(60), waiting(found, *turns) as granted:
            pass
    assert 20 == len(granted)
    assert now() - begun >= 18 * throttle.HELD
    async with waiting(found, *turns) as granted:
        begun = now()
    assert now() - begun <= 20 / throttle.PER_SECOND + throttle.BUCKET_APART + 1
