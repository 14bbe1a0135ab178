"""How often a message is edited that Discord does not let be edited."""

import asyncio
import time
from types import SimpleNamespace
from typing import Any, cast

import discord
import pytest

from trawler_bot import teller
from trawler_bot.budget import Budget
from trawler_bot.rates import Rates
from trawler_bot.teller import Known, Teller
from trawler_crds.media_job import MediaJob, Phase


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
    """A sheet that answers every edit with the same refusal."""

    def __init__(self, error: Exception | None) -> None:
        self.error = error
        self.edits = 0
        self.where = SimpleNamespace(locale=None, private=False, channel_id="1")
        self.guild_id, self.bucket = 3, "c1"

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


def told_by(message: Message) -> Teller:
    desk = SimpleNamespace(rates=Rates(), budget=Budget())
    return Teller(Known(job()), cast("Any", message), cast("Any", desk))


async def _ten_minutes(found: Teller, clock: list[float]) -> None:
    for _ in range(600):
        clock[0] += 1.0
        await found._progress()


async def test_an_edit_that_is_refused_for_good_is_not_repeated(clock: list[float]) -> None:
    """A hundred messages in channels that were hidden made eleven thousand refused edits in ten minutes;
    Discord bans who makes ten thousand.
    """
    message = Message(refused(403, 50001))
    await _ten_minutes(told_by(message), clock)
    assert 1 == message.edits


async def test_an_edit_that_is_refused_otherwise_is_repeated_ever_more_rarely(
    clock: list[float],
) -> None:
    message = Message(refused(400, 50035))
    found = told_by(message)
    await _ten_minutes(found, clock)
    assert 5 < message.edits < 30
    message.error = None
    clock[0] += teller.LONGEST_PAUSE
    await found._progress()
    assert found._shown is not None


async def test_a_job_that_is_gone_is_not_delivered_for_ever(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What cannot be had from the store was asked for until the bot was started anew."""
    message = Message(None)
    found = told_by(message)
    found.known.job, found.known.gone = job(Phase.SUCCEEDED), True
    tried = await _never_ends(found, monkeypatch)
    assert teller.LAST_TRIES + 1 == tried
    assert 1 == message.edits, "it says that the request was forgotten"


@pytest.mark.parametrize("shown", ["_over", "_shown_end"])
async def test_a_job_that_is_gone_takes_nothing_away_that_was_delivered(
    monkeypatch: pytest.MonkeyPatch, shown: str
) -> None:
    """Only the note that it was delivered was missing."""
    message = Message(None)
    found = told_by(message)
    found.known.job, found.known.gone = job(Phase.SUCCEEDED), True
    setattr(found, shown, True)
    await _never_ends(found, monkeypatch)
    assert 0 == message.edits


async def _never_ends(found: Teller, monkeypatch: pytest.MonkeyPatch) -> int:
    """How often it is tried."""
    tried = 0

    async def away() -> bool:
        nonlocal tried
        tried += 1
        return False

    monkeypatch.setattr(found, "_end", away)
    monkeypatch.setattr(teller, "PAUSE", 0.0)
    async with asyncio.timeout(5):
        await found.run()
    return tried
