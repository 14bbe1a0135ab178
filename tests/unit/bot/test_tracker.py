"""The newest sight of a job is what its message tells, whoever brought it and in whatever order."""

import asyncio
import time
from collections.abc import Coroutine
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any, cast
from unittest.mock import AsyncMock

import discord
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trawler_bot.delivery import tracker
from trawler_bot.delivery.message import JobMessage, OwnDeletions
from trawler_bot.delivery.recovery import Lost
from trawler_bot.delivery.tracked_job import TrackedJob
from trawler_bot.delivery.tracker import JobTracker
from trawler_bot.delivery.updater import MessageUpdater
from trawler_bot.delivery.upload_limits import Route
from trawler_bot.services import Services
from trawler_bot.storage.database import CONNECTIONS, InteractionToken, Unanswered
from trawler_crds.media_job import MediaJob, Phase
from trawler_crds.messages import Progress, Stage


class Recorded(JobTracker):
    """Keeps what would be told, and edits no message."""

    def __init__(self) -> None:
        super().__init__(
            discord.Client(intents=discord.Intents.none()),  # of no guild, and never connected
            cast("Services", SimpleNamespace(deletions=OwnDeletions())),
            cast("Any", None),
            lambda _: True,
        )
        self.told: list[TrackedJob] = []

    def _start(self, known: TrackedJob, work: Coroutine[Any, Any, None]) -> None:
        work.close()
        self.told.append(known)


def job(
    version: int,
    phase: Phase = Phase.PENDING,
    attempt: int = 0,
    *,
    private: bool = False,
    noted: str | None = None,
) -> MediaJob:
    """Asked for just now; `noted`: the id of its message."""
    where = {"channelId": "1", "requesterId": "2", "guildId": "3", "private": private}
    made = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return MediaJob.model_validate(
        {
            "metadata": {
                "name": "dl-1",
                "uid": "u1",
                "resourceVersion": str(version),
                "creationTimestamp": made,
            },
            "spec": {"url": "https://a.example/x", "delivery": {"discord": where}},
            "status": {"phase": phase, "attempt": attempt, "delivery": {"messageId": noted}},
        }
    )


def test_what_the_watch_said_while_a_request_was_answered_is_told() -> None:
    """Who was served within a hundred milliseconds stayed at "Starting" for up to five minutes."""
    following = Recorded()
    with following.answering("dl-1"):
        following.see(job(6, Phase.SUCCEEDED))
        following.follow(job(5, Phase.RUNNING), None)
    assert [Phase.SUCCEEDED] == [known.job.status.phase for known in following.told]


def test_a_job_that_was_deleted_while_it_was_answered_is_gone() -> None:
    """No watch will tell of it once more."""
    following = Recorded()
    with following.answering("dl-1"):
        following.see(job(5))
        following._sights.lose("u1", 6)
        following.follow(job(5), None)
    assert [True] == [known.gone for known in following.told]


async def test_progress_of_an_attempt_that_is_over_is_not_shown() -> None:
    """The bus may bring it late."""
    following = Recorded()
    following.follow(job(5, Phase.RUNNING, attempt=2), None)
    for attempt, title in ((2, "second"), (1, "first")):
        await following.hear_progress(
            "", Progress(uid="u1", attempt=attempt, stage=Stage.FETCHING, title=title)
        )
    assert following.told[0].progress is not None
    assert "second" == following.told[0].progress.title


@settings(deadline=None)
@given(
    st.lists(st.sampled_from(["server", "watch", "note", "answer", "list", "follow"]), max_size=24)
)
def test_sights_in_any_order_end_in_the_newest(steps: list[str]) -> None:
    """The watch lags, notes are answered late, lists are older than both."""
    following = Recorded()
    history = [job(10)]
    seen, notes, followed = 0, [], False
    with following.answering("dl-1"):
        for step in steps:
            if followed:
                break
            match step:
                case "server":
                    history.append(job(10 + len(history), Phase.RUNNING, attempt=len(history)))
                case "watch" if seen < len(history):
                    following.see(history[seen])
                    seen += 1
                case "note":
                    notes.append(history[-1])
                case "answer" if notes:
                    following.see(notes.pop(0))
                case "list":
                    following.see(history[0], as_of=10 + len(history))
                case "follow":
                    following.follow(history[0], None)
                    followed = True
                case _:
                    pass
        if not followed:
            following.follow(history[0], None)
    newest_seen = int(following.told[0].job.version)
    assert seen == 0 or newest_seen >= int(history[seen - 1].version)
    for late in (*notes, *history[seen:], history[0]):
        following.see(late)
    assert history[-1] == following.told[0].job


class _Unsure:
    """A database that answers the third time; and what is written down is a pass."""

    def __init__(self) -> None:
        self.asked = self.at_once = self.most = 0

    async def token(self, _: str) -> InteractionToken | None:
        self.asked += 1
        self.at_once += 1
        self.most = max(self.most, self.at_once)
        await asyncio.sleep(0)
        self.at_once -= 1
        if self.asked < 3:
            raise Unanswered
        return InteractionToken("token", 10, time.time() + 600)


@pytest.mark.parametrize("private", [False, True])
async def test_a_pass_that_the_database_did_not_tell_is_not_a_pass_that_is_not_there(
    monkeypatch: pytest.MonkeyPatch, *, private: bool
) -> None:
    """In a channel that the bot may not read only the token helps: nobody gave up a job for ever
    because the database came up a second after the bot.
    """
    tried: list[Route] = []

    async def only_by_token(_: Any, __: MediaJob, shown: JobMessage) -> None:
        tried.append(shown.route)
        if shown.route is not Route.TOKEN:
            raise Lost("NoAccess", "403 50001")
        shown.message_id = 77

    told: list[JobMessage] = []

    class Told(MessageUpdater):
        async def run(self) -> None:
            told.append(self._message)

    monkeypatch.setattr(tracker, "recover", only_by_token)
    monkeypatch.setattr(tracker, "MessageUpdater", Told)
    monkeypatch.setattr(tracker, "PAUSE", 0.01)
    records, jobs = _Unsure(), AsyncMock()
    mine = job(5, Phase.RUNNING, private=private)
    jobs.note_messages.return_value = mine
    services = cast(
        "Services", SimpleNamespace(database=records, jobs=jobs, deletions=OwnDeletions())
    )
    async with asyncio.timeout(10), asyncio.TaskGroup() as tasks:
        client = discord.Client(intents=discord.Intents.none())
        found = JobTracker(client, services, tasks, lambda _: True)
        found.connected.set()
        found.recover(mine)
    assert [Route.TOKEN] == tried[-1:]
    assert ([Route.TOKEN] if private else [Route.CHANNEL, Route.CHANNEL, Route.TOKEN]) == tried
    assert [77] == [shown.message_id for shown in told]
    jobs.note_delivered.assert_not_awaited()


@pytest.mark.parametrize("visible", [False, True])
async def test_a_noted_message_that_only_its_token_reaches_waits_for_the_database(
    monkeypatch: pytest.MonkeyPatch, *, visible: bool
) -> None:
    """It ended at NoAccess while its token lived; one that the bot sees by its own right waits for
    nobody.
    """
    told: list[Route] = []

    class Told(MessageUpdater):
        async def run(self) -> None:
            told.append(self._message.route)

    async def sees(_: JobMessage) -> bool:
        return visible

    monkeypatch.setattr(tracker, "MessageUpdater", Told)
    monkeypatch.setattr(tracker, "PAUSE", 0.01)
    monkeypatch.setattr(JobMessage, "sees", sees)
    mine = job(5, Phase.RUNNING, noted="77")
    services = cast(
        "Services", SimpleNamespace(database=_Unsure(), jobs=AsyncMock(), deletions=OwnDeletions())
    )
    async with asyncio.timeout(10), asyncio.TaskGroup() as tasks:
        client = discord.Client(intents=discord.Intents.none())
        found = JobTracker(client, services, tasks, lambda _: True)
        found.connected.set()
        found.recover(mine)
    assert [Route.CHANNEL if visible else Route.TOKEN] == told


async def test_all_jobs_of_a_start_do_not_ask_the_database_at_once() -> None:
    """Of a thousand, most did not get an answer in time, and their passes were lost."""
    records = _Unsure()
    records.asked = 3
    async with asyncio.TaskGroup() as tasks:
        found = JobTracker(
            discord.Client(intents=discord.Intents.none()),
            cast("Services", SimpleNamespace(database=records)),
            tasks,
            lambda _: True,
        )
        passes = await asyncio.gather(*(found._token_of(job(5)) for _ in range(100)))
    assert all(held is not None and not unknown for held, unknown in passes)
    assert CONNECTIONS == records.most


def test_what_we_delete_ourselves_is_no_moderators_deletion() -> None:
    """The old message, in whose place a new one came, took the links and the album of the new one
    along.
    """
    services = SimpleNamespace(deletions=OwnDeletions())
    tracker_ = Recorded()
    tracker_._services = cast("Services", services)
    shown = job(5, Phase.RUNNING, noted="77")
    tracker_.see(shown)
    (known,) = tracker_.told
    known.message = cast("JobMessage", SimpleNamespace(message_id=77))
    abandoned: list[str] = []
    tracker_.abandon = lambda job: abandoned.append(job.name)  # type: ignore[method-assign]
    tracker_._tasks = cast("Any", SimpleNamespace(create_task=lambda work, **_: work.close()))
    services.deletions.add(77)
    tracker_.message_deleted(77)
    assert not known.message_gone
    assert [] == abandoned
    tracker_.message_deleted(78)
    assert [] == abandoned


def test_two_presses_at_once_are_answered_together() -> None:
    """The first one to end took the other's entry away."""
    tracker_ = Recorded()
    with tracker_.answering("dl-1"):
        with tracker_.answering("dl-1"):
            pass
        tracker_.see(job(5))
        assert [] == tracker_.told, "the message that one of them writes was looked for"
    assert {} == tracker_._answering


async def test_a_channel_that_goes_removes_a_few_at_a_time() -> None:
    """A task per job asked the database at once, and Discord."""
    database = SimpleNamespace(at_once=0, most=0, revoked=list[str]())

    async def revoke(first: str) -> bool:
        database.at_once += 1
        database.most = max(database.most, database.at_once)
        await asyncio.sleep(0)
        database.at_once -= 1
        database.revoked.append(first)
        return True

    database.revoke = revoke
    services = SimpleNamespace(database=database, deletions=OwnDeletions())
    async with asyncio.TaskGroup() as tasks:
        tracker_ = Recorded()
        tracker_._services = cast("Services", services)
        tracker_._tasks = tasks
        for number in range(100):
            for version, name in enumerate((f"d-{number}", f"d-{number}-r1"), 1):
                one = job(version, Phase.SUCCEEDED, noted=str(number))
                meta = one.metadata.model_copy(update={"name": name, "uid": name})
                one = one.model_copy(update={"metadata": meta})
                tracker_.index.see(one, tracker.where_of(one))
        tracker_.channel_deleted(1)
    assert sorted(f"d-{number}" for number in range(100)) == sorted(database.revoked)
    assert tracker.REMOVED_AT_ONCE == database.most
