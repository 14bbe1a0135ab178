"""The bot's commands in SimCord: Discord in memory, written by others. What it refuses, ours must
not do, whatever our own emulator thinks of it.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, cast

import discord
import pytest
import simcord
from cryptography.fernet import Fernet

from trawler_bot.bot import Bot, ShardAssignment
from trawler_bot.delivery.message import OwnDeletions
from trawler_bot.delivery.rate_limits import RateLimitMonitor
from trawler_bot.delivery.throttle import EditThrottle
from trawler_bot.delivery.tracker import JobTracker
from trawler_bot.delivery.upload_limits import UploadLimits
from trawler_bot.interactions import commands
from trawler_bot.interactions.commands import Commands
from trawler_bot.interactions.components import Presses
from trawler_bot.interactions.submission import RequestService
from trawler_bot.interactions.validation import Rules
from trawler_bot.jobs.client import Jobs
from trawler_bot.services import Services
from trawler_bot.storage.database import Database, InteractionToken
from trawler_common.egress import AllowList
from trawler_common.kube import ApiUnavailable, NotFound
from trawler_crds.media_job import DeliveryStatus, MediaJob, MediaJobSpec, ObjectMeta
from trawler_crds.media_queue import MediaQueueSpec

LINK = "https://example.com/watch/1"


@dataclass
class Made:
    """MediaJobs in memory: here it is about what is asked of them, not about them."""

    jobs: dict[str, MediaJob] = field(default_factory=dict)
    cancelled: list[str] = field(default_factory=list)
    away: bool = False

    async def create(self, name: str, spec: MediaJobSpec) -> MediaJob:
        if self.away:
            raise ApiUnavailable("on purpose")
        meta = ObjectMeta(name=name, uid=f"uid-{name}", resource_version="1")
        return self.jobs.setdefault(name, MediaJob(metadata=meta, spec=spec))

    async def get(self, name: str) -> MediaJob:
        if name not in self.jobs:
            raise NotFound(name)
        return self.jobs[name]

    async def cancel(self, name: str) -> None:
        self.cancelled.append(name)

    async def queue(self, _: str, spec: dict[str, Any]) -> MediaQueueSpec:
        return MediaQueueSpec.model_validate(spec)

    async def note_messages(self, job: MediaJob, _: DeliveryStatus) -> MediaJob:
        return job


class Untold(JobTracker):
    """Nothing is told on: no message is edited here."""

    def follow(
        self, job: MediaJob, token: InteractionToken | None, *, gone: bool = False
    ) -> None: ...

    def recover(self, job: MediaJob, token: InteractionToken | None = None) -> None: ...


@dataclass
class World:
    """A channel, somebody who asks and somebody who moderates."""

    env: Any
    made: Made
    channel: Any
    ann: Any
    bob: Any
    mod: Any


@asynccontextmanager
async def simulated(*guilds: int) -> AsyncIterator[World]:
    """Entered in the test itself: SimCord's clock belongs to the task that began it."""
    made = Made()
    database = Database("postgresql://nowhere.invalid/", Fernet.generate_key())
    rates = RateLimitMonitor()
    services = Services(
        jobs=cast("Jobs", made),
        attachments=cast("Any", None),
        database=database,
        limits=UploadLimits(database),
        links=cast("Any", None),
        rates=rates,
        throttle=EditThrottle(rates.low),
        deletions=OwnDeletions(),
    )
    share = ShardAssignment(shards=1, replicas=1, ordinal=0)
    bot = Bot(rates, database, share=share)
    tracker = Untold(bot, services, cast("asyncio.TaskGroup", None), share.owns)
    rules = Rules(
        egress=AllowList.parse([]),
        guilds=frozenset(guilds),
        apart=10,
        per_minute=5,
        queue={},
        reuse_seconds=60,
    )
    requests = RequestService(tracker, services, rules)
    offered = Commands(
        requests,
        tracker,
        services,
        user_install=False,
        rules=commands.rules(10, 5),
        reuse_seconds=60,
    )
    bot.serve(requests, tracker, offered, Presses(requests, tracker, services))
    async with simcord.run(bot) as env:
        guild = env.create_guild()
        channel = guild.create_text_channel("general")
        mods = guild.create_role("Mods", permissions=discord.Permissions(manage_messages=True))
        ann, bob = (guild.add_member(env.create_user(name)) for name in ("ann", "bob"))
        mod = guild.add_member(env.create_user("mod"), roles=[mods])
        yield World(env, made, channel, ann, bob, mod)


def labels(message: Any) -> list[str]:
    return [each["label"] for row in message.components for each in row["components"]]


async def test_a_link_is_answered_with_the_message_itself() -> None:
    """Not deferred; with Cancel; the job names who asked, where, and what for."""
    async with simulated() as world:
        done = await world.ann.slash(
            world.channel, "download", url=LINK, quality="720", spoiler=True
        )
        assert not done.deferred
        assert not done.ephemeral
        assert f"<{LINK}>" in done.response.content
        assert ["Cancel"] == labels(done.response)
        (job,) = world.made.jobs.values()
        where = job.spec.delivery.discord if job.spec.delivery else None
        assert where is not None
        assert (str(world.ann.id), True) == (where.requester_id, where.spoiler)
        assert 720 == job.spec.media.max_height


async def test_private_is_for_one_and_haste_is_told_so() -> None:
    """And nothing second is made."""
    async with simulated() as world:
        first = await world.ann.slash(world.channel, "download", url=LINK, private=True)
        assert first.ephemeral
        second = await world.ann.slash(world.channel, "download", url=LINK)
        assert second.ephemeral
        assert "You're going a bit fast" in second.response.content
        other = await world.bob.slash(world.channel, "download", url=LINK)
        assert not other.ephemeral
        assert 2 == len(world.made.jobs)


@pytest.mark.parametrize("url", ["cats", "ftp://example.com/x", "http://192.168.1.1/x", "https://"])
async def test_no_link_no_job(url: str) -> None:
    """A sentence for one person."""
    async with simulated() as world:
        done = await world.ann.slash(world.channel, "download", url=url)
        assert done.ephemeral
        assert {} == world.made.jobs


async def test_only_who_asked_or_moderates_may_cancel() -> None:
    """Others are told so, in private."""
    async with simulated() as world:
        done = await world.ann.slash(world.channel, "download", url=LINK)
        (name,) = world.made.jobs
        refused = await world.bob.click(done.response, label="Cancel")
        assert refused.ephemeral
        assert [] == world.made.cancelled
        await world.mod.click(done.response, label="Cancel")
        await world.ann.click(done.response, label="Cancel")
        assert [name, name] == world.made.cancelled


async def test_buttons_outlive_the_bot() -> None:
    """A press on a message from before a restart is answered."""
    async with simulated() as world:
        done = await world.ann.slash(world.channel, "download", url=LINK)
        (name,) = world.made.jobs
        await world.env.restart_bot()
        await world.ann.click(done.response, label="Cancel")
        assert [name] == world.made.cancelled


async def test_several_links_are_offered_and_the_chosen_are_begun() -> None:
    """By right click; each is a job of its own."""
    async with simulated() as world:
        said = await world.bob.send(
            world.channel, f"{LINK} and https://example.com/two, <https://example.com/three>"
        )
        shown = await world.ann.context_menu(world.channel, "Save media", said)
        assert shown.ephemeral
        done = await world.ann.select(shown.response, values=["0", "2"])
        assert done.acknowledged
        assert {LINK, "https://example.com/three"} == {j.spec.url for j in world.made.jobs.values()}
        nothing = await world.bob.send(world.channel, "good morning")
        none = await world.bob.context_menu(world.channel, "Save media", nothing)
        assert "no link and no file" in none.response.content


async def test_what_could_not_be_taken_can_be_tried_again() -> None:
    """Nothing was begun, and a button begins it."""
    async with simulated() as world:
        world.made.away = True
        refused = await world.ann.slash(world.channel, "download", url=LINK)
        assert refused.ephemeral
        assert "nothing was started" in refused.response.content
        world.made.away = False
        assert ["Try again"] == labels(refused.response)


async def test_strangers_are_told_so() -> None:
    """In private, and completions offer nothing."""
    async with simulated(1) as world:
        done = await world.ann.slash(world.channel, "download", url=LINK)
        assert done.ephemeral
        assert "not set up for this server" in done.response.content
        assert {} == world.made.jobs


async def test_what_is_typed_is_offered() -> None:
    """A whole link as it is; half a word is not."""
    async with simulated() as world:
        offered = await world.ann.autocomplete(world.channel, "download", "url", LINK)
        assert [LINK] == [each["value"] for each in offered]
