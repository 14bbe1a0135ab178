"""Fifty people at once: nobody is too late, nobody gets another's file. How fast: `make bench`."""

import asyncio
import hashlib
import secrets

import aiohttp
import pytest

from bot_process import deliveries
from emulated import API, Emulated
from stack import Stack
from trawler_crds.media_job import MediaJob
from trawler_sandbox.discord.world import Channel, User

pytestmark = pytest.mark.timeout(300)

CROWD = 50


async def _ask(
    http: aiohttp.ClientSession, emulated: Emulated, person: User, channel: Channel, url: str
) -> None:
    body = {
        "type": 2,
        "application_id": str(emulated.application.id),
        "guild_id": str(emulated.guild.id),
        "channel_id": str(channel.id),
        "session_id": "crowd",
        "nonce": "n",
        "data": {
            "name": "download",
            "type": 1,
            "options": [{"type": 3, "name": "url", "value": url}],
        },
    }
    address = f"{emulated.hub.address}{API}/interactions"
    async with http.post(address, json=body, headers={"Authorization": person.token}) as answer:
        assert answer.status < 300, await answer.text()


def _known(job: MediaJob) -> bool:
    """Somebody was told of it, or it is made away with."""
    return job.spec.cancel or "Delivered" in str(job.status.conditions)


@pytest.mark.parametrize("channels", [1, CROWD])
@pytest.mark.usefixtures("bot")
async def test_fifty_ask_at_once(stack: Stack, emulated: Emulated, channels: int) -> None:
    """With Discord's limits on: everybody is answered, each file is in the message that names its
    link, and there is no job that nobody was told of.
    """
    world, guild = emulated.discord.world, emulated.guild
    people = [world.add_user(f"person{number}") for number in range(CROWD)]
    for person in people:
        world.join(guild, person)
    rooms = [world.add_channel(guild, f"room{number}") for number in range(channels)]
    seeds = [secrets.token_hex(6) for _ in people]
    emulated.discord.buckets.set(enabled=True)
    # other tests use this machine too: how fast is the business of `make bench`, in Discord's 3 s
    emulated.hub.limits.answer_seconds = 15.0
    async with aiohttp.ClientSession() as http:
        asked = [
            _ask(http, emulated, person, rooms[at % channels], f"{stack.address}/video/{seed}.mp4")
            for at, (person, seed) in enumerate(zip(people, seeds, strict=True))
        ]
        await asyncio.gather(*asked)
        timings = emulated.hub.counters.timings
        await stack.until(lambda: len(timings) == CROWD, what="fifty answers")
        messages = [m for room in rooms for m in room.messages.values()]
        assert CROWD == len(messages)
        # whom a machine that is too busy would keep waiting is told so, at once and alone
        accepted = [m for m in messages if m.for_user is None]
        refused = [m for m in messages if m.for_user is not None]
        assert all("nothing was started" in m.content for m in refused)
        assert len(accepted) > CROWD / 2
        await stack.until(
            lambda: all(m.attachments for m in accepted), what="their files", timeout=180
        )
        # a creation whose answer was lost is made away with, and that is noted as well
        await stack.until(
            lambda: deliveries(stack).count(("True", "Shown")) == len(accepted),
            what="deliveries noted",
        )
        assert {("True", "Shown"), ("False", "NotAccepted")} >= set(deliveries(stack))
        await stack.until(
            lambda: all(_known(job) for job in stack.jobs().values()), what="no stray job"
        )
        for at, seed in enumerate(seeds):
            found = [m for m in messages if f"/{seed}." in m.content]
            if not found:
                continue
            (mine,) = found
            accepted.remove(mine)
            assert rooms[at % channels] is mine.channel
            (attached,) = mine.attachments
            async with http.get(f"{stack.address}/video/{seed}.mp4") as there:
                assert hashlib.sha256(await there.read()).hexdigest() == attached.sha256
        assert [] == accepted
    counters = emulated.hub.counters
    assert CROWD == len(counters.timings)
    assert 0 == counters.limited
    assert counters.invalid < CROWD
    slowest = sorted(seconds for _, seconds in counters.timings)
    print(f"answered, p95: {slowest[int(0.95 * CROWD)]:.3f} s")
