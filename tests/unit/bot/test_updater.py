"""How often a message is edited that Discord does not let be edited."""

import asyncio
import time
from types import SimpleNamespace
from typing import Any, cast
from unittest.mock import AsyncMock

import discord
import pytest

from trawler_bot.delivery import throttle, updater
from trawler_bot.delivery.throttle import EditThrottle
from trawler_bot.delivery.tracked_job import TrackedJob
from trawler_bot.delivery.updater import MessageUpdater
from trawler_crds.media_job import MediaJob, Phase
from trawler_crds.messages import Progress, Stage


def job(phase: Phase = Phase.RUNNING) -> MediaJob:
    discord_ = {"channelId": "1", "requesterId": "2", "guildId": "3"}
    return MediaJob.model_validate(
        {
            "metadata": {"name": "d-1", "uid": "u1", "resourceVersion": "5"},
            "spec": {"url": "https://a.example/x", "delivery": {"discord": discord_}},
            "status": {"phase": phase, "attempt": 1},
        }
    )


class Message:
    """One that answers every edit with the same refusal."""

    def __init__(self, error: Exception | None) -> None:
        self.error = error
        self.edits = 0
        self.where = SimpleNamespace(locale=None, private=False, channel_id="1", replaces=None)
        self.guild_id, self.bucket = 3, "c1"
        self.abandoned: list[MediaJob] = []

    async def edit(self, *_: Any) -> None:
        self.edits += 1
        if self.error is not None:
            raise self.error


def refused(status: int, code: int) -> discord.HTTPException:
    answer = cast("Any", SimpleNamespace(status=status, reason="no"))
    return discord.HTTPException(answer, {"code": code, "message": "no"})


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Monotonic seconds, in a list of one."""
    now = [1000.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    return now


class AtOnce:
    """A throttle that lets everybody edit."""

    async def turn(self, *_: Any, **__: Any) -> None: ...


def told_by(message: Message) -> MessageUpdater:
    services = SimpleNamespace(throttle=AtOnce())
    abandoned: list[MediaJob] = []
    found = MessageUpdater(
        TrackedJob(job()), cast("Any", message), cast("Any", services), abandoned.append
    )
    message.abandoned = abandoned
    return found


async def _ten_minutes(found: MessageUpdater, clock: list[float]) -> None:
    for _ in range(600):
        clock[0] += 1.0
        await found._progress()


async def test_an_edit_that_is_refused_for_good_is_not_repeated(clock: list[float]) -> None:
    """A hundred messages in channels that were hidden made eleven thousand refused edits in ten
    minutes; Discord bans who makes ten thousand.
    """
    message = Message(refused(403, 50001))
    await _ten_minutes(told_by(message), clock)
    assert 1 == message.edits


@pytest.mark.parametrize(("status", "code"), [(404, 10008), (404, 10003)])
async def test_a_message_that_nobody_sees_is_not_edited_again(
    clock: list[float], status: int, code: int
) -> None:
    """And its job is not worked for any more."""
    message = Message(refused(status, code))
    found = told_by(message)
    await _ten_minutes(found, clock)
    assert 1 == message.edits
    assert ["d-1"] == [each.name for each in message.abandoned]


async def test_an_edit_that_is_refused_otherwise_is_repeated_ever_more_rarely(
    clock: list[float],
) -> None:
    message = Message(refused(400, 50035))
    found = told_by(message)
    await _ten_minutes(found, clock)
    assert 5 < message.edits < 30
    message.error = None
    clock[0] += updater.LONGEST_PAUSE
    await found._progress()
    assert found._shown is not None


async def test_a_job_that_is_gone_is_not_delivered_for_ever(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What cannot be had from the store was asked for until the bot was started anew."""
    message = Message(None)
    found = told_by(message)
    found.tracked.job, found.tracked.gone = job(Phase.SUCCEEDED), True
    tried = await _never_ends(found, monkeypatch)
    assert updater.LAST_TRIES + 1 == tried
    assert 1 == message.edits, "it says that the request was forgotten"


@pytest.mark.parametrize("shown", ["_over", "shown"])
async def test_a_job_that_is_gone_takes_nothing_away_that_was_delivered(
    monkeypatch: pytest.MonkeyPatch, shown: str
) -> None:
    """Only the note that it was delivered was missing."""
    message = Message(None)
    found = told_by(message)
    found.tracked.job, found.tracked.gone = job(Phase.SUCCEEDED), True
    setattr(found if shown == "_over" else found._ending, shown, True)
    await _never_ends(found, monkeypatch)
    assert 0 == message.edits


async def _never_ends(found: MessageUpdater, monkeypatch: pytest.MonkeyPatch) -> int:
    """How often it is tried."""
    tried = 0

    async def away() -> bool:
        nonlocal tried
        tried += 1
        return False

    monkeypatch.setattr(found, "_end", away)
    monkeypatch.setattr(updater, "PAUSE", 0.0)
    async with asyncio.timeout(5):
        await found.run()
    return tried


class Shown:
    """A message of Discord's that keeps what it says, and since when."""

    def __init__(self, number: int, bucket: str) -> None:
        self.where = SimpleNamespace(
            locale=None, private=False, channel_id="1", requester_id="2", replaces=None
        )
        self.bucket = bucket
        self.number = number
        self.edited = [asyncio.get_running_loop().time()]

    async def edit(self, *_: Any) -> None:
        await asyncio.sleep(0.1)
        self.edited.append(asyncio.get_running_loop().time())


@pytest.mark.looptime
async def test_the_words_of_fifty_downloads_are_fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    """Half a minute each, all in one channel, by tokens of their own: none says for half a minute
    what was true once.
    """
    loop = asyncio.get_running_loop()
    monkeypatch.setattr(updater, "time", SimpleNamespace(monotonic=loop.time))
    services = SimpleNamespace(throttle=EditThrottle(lambda _: False, now=loop.time))
    messages = [Shown(number, f"webhooks/1/{number}") for number in range(50)]

    async def downloads(message: Shown) -> None:
        tracked = TrackedJob(job())
        updater_ = MessageUpdater(
            tracked, cast("Any", message), cast("Any", services), lambda _: None
        )
        monkeypatch.setattr(updater_, "_end", AsyncMock(return_value=True))
        running = asyncio.create_task(updater_.run())
        for second in range(30):
            await asyncio.sleep(1)
            tracked.progress = Progress(
                uid="u1", attempt=1, stage=Stage.FETCHING, bytes=second + 1, total=30
            )
            tracked.changed.set()
        tracked.see(job(Phase.SUCCEEDED))
        await running

    await asyncio.gather(*map(downloads, messages))
    for message in messages:
        pairs = zip(message.edited, [*message.edited[1:], 30.0], strict=True)
        assert max(after - before for before, after in pairs) <= 8.0
    edits = sum(len(message.edited) for message in messages)
    assert edits / 30 <= throttle.PER_SECOND


@pytest.mark.looptime
async def test_nobody_waits_in_line_once_the_job_has_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    """The last words do not stand behind the progress of others."""
    loop = asyncio.get_running_loop()
    monkeypatch.setattr(updater, "time", SimpleNamespace(monotonic=loop.time))
    services = SimpleNamespace(throttle=EditThrottle(lambda _: True, now=loop.time))
    tracked = TrackedJob(job())
    found = MessageUpdater(
        tracked, cast("Any", Shown(1, "full")), cast("Any", services), lambda _: None
    )
    ended = AsyncMock(return_value=True)
    monkeypatch.setattr(found, "_end", ended)
    running = asyncio.create_task(found.run())
    await asyncio.sleep(10)
    tracked.see(job(Phase.SUCCEEDED))
    await asyncio.sleep(0.1)
    assert running.done()
    ended.assert_awaited_once()


async def test_who_cancelled_is_not_called() -> None:
    """A minute after the press he was told that it did not work."""
    message = Shown(1, "x")
    ring = AsyncMock()
    message.ring = ring  # type: ignore[attr-defined]
    found = told_by(cast("Any", message))
    await found._ring(job(Phase.CANCELLED))
    ring.assert_not_awaited()


async def test_the_first_figures_are_shown_at_once_and_the_next_ones_later(
    clock: list[float],
) -> None:
    """People wait for a sign that it moves; a download that is over by then needs none."""
    message = Message(None)
    found = told_by(message)
    await found._progress()
    assert 0 == message.edits  # too early for words without figures
    found.tracked.progress = Progress(uid="u1", attempt=1, stage=Stage.FETCHING, bytes=5, total=100)
    await found._progress()
    assert 0 == message.edits
    assert pytest.approx(updater.FIGURES_AFTER) == found._until_figures()
    clock[0] += updater.FIGURES_AFTER
    await found._progress()
    assert 1 == message.edits
    for _ in range(15):
        clock[0] += 0.1
        found.tracked.progress = Progress(
            uid="u1", attempt=1, stage=Stage.FETCHING, bytes=round(clock[0]), total=9999
        )
        await found._progress()
    assert 1 == message.edits
    clock[0] += 0.6
    await found._progress()
    assert 2 == message.edits


async def test_figures_that_are_refused_wait_like_all_else(clock: list[float]) -> None:
    message = Message(refused(403, 50001))
    found = told_by(message)
    found.tracked.progress = Progress(uid="u1", attempt=1, stage=Stage.FETCHING, bytes=5, total=100)
    await _ten_minutes(found, clock)
    assert 1 == message.edits
