"""Which MediaQueues the bot deletes of servers that it has left."""

from collections.abc import AsyncIterator
from typing import Any, cast

import pytest

from trawler_bot.jobs import ids as names
from trawler_bot.jobs.client import Jobs
from trawler_bot.jobs.left_guilds import LeftGuilds, deletable
from trawler_common.kube import Rejected
from trawler_crds.keys import LABEL_MANAGED_BY, MANAGED_BY_BOT
from trawler_crds.media_queue import MediaQueue

TODAY = "2026-11-28"
OURS = {LABEL_MANAGED_BY: MANAGED_BY_BOT}


def queue(name: str = "guild-7", *, labels: Any = OURS, generation: int = 1, **status: Any) -> Any:
    meta = {"name": name, "labels": labels, "generation": generation}
    return MediaQueue.model_validate({"metadata": meta, "status": status})


def nowhere(_: int) -> bool:
    return False


@pytest.mark.parametrize(
    "found",
    [queue(), queue(day="2026-11-27", dayBytes=5), queue(day=TODAY)],
    ids=["never used", "used on another day", "used, and nothing stored"],
)
def test_an_idle_queue_of_a_server_that_left_is_deleted(found: MediaQueue) -> None:
    """And only of such a server."""
    assert deletable(found, nowhere, TODAY)
    assert not deletable(found, lambda guild: guild == 7, TODAY)


@pytest.mark.parametrize(
    "found",
    [
        queue(labels={}),
        queue(generation=2),
        queue(queued=1),
        queue(running=1),
        queue(day=TODAY, dayBytes=5),
        queue("guild-07"),
        queue("guild-"),
        queue("guild-\u0667"),
        queue("default"),
        queue("guild-" + "9" * 20),
    ],
    ids=[
        "somebody else made it",
        "somebody changed it",
        "somebody waits",
        "somebody runs",
        "what was stored today still counts",
        "a number that is no guild's name",
        "no number",
        "digits of another script",
        "no guild's",
        "too long for a guild",
    ],
)
def test_whatever_somebody_could_miss_stays(found: MediaQueue) -> None:
    """Also where the bot has left."""
    assert not deletable(found, nowhere, TODAY)


def test_the_name_of_a_queue_tells_its_guild() -> None:
    """There and back."""
    assert 2**63 == names.guild_of(names.queue(2**63))


class _Jobs:
    """Three queues, of which the first may not be deleted."""

    def __init__(self) -> None:
        self.deleted: list[str] = []

    async def queues(self) -> AsyncIterator[MediaQueue]:
        for number in (1, 2, 3):
            yield queue(f"guild-{number}")

    async def delete_queue(self, found: MediaQueue) -> None:
        if found.name == "guild-1":
            raise Rejected("403 by a policy")
        self.deleted.append(found.name)


async def test_a_queue_that_may_not_be_deleted_keeps_no_other() -> None:
    """One refusal ended the look, each time at the same queue."""
    jobs = _Jobs()
    await LeftGuilds(cast("Jobs", jobs), nowhere).look()
    assert ["guild-2", "guild-3"] == jobs.deleted
