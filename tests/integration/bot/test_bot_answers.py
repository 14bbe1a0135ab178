"""The bot with everything that is real: operator, worker, bus, store; and the Discord emulator."""

import asyncio
import hashlib
import re
import secrets
import signal
from pathlib import Path

import aiohttp
import pytest

from apiproxy import ApiProxy
from bot_process import BotProcess, button, delivered, ended, link
from emulated import Emulated, Person
from servers import wait_until
from stack import Stack
from trawler_bot.jobs.client import TRIES
from trawler_common.failpoints import VARIABLE, Failpoint
from trawler_sandbox.discord.permissions import Permission
from trawler_sandbox.discord.world import Overwrite

TRACE = "trawler.dev/traceparent"

pytestmark = pytest.mark.timeout(180)


@pytest.mark.bot(OTLP_ENDPOINT="http://127.0.0.1:9")  # nobody is there, and nobody minds
@pytest.mark.usefixtures("bot")
async def test_a_link_becomes_a_file_in_one_message(
    stack: Stack, ben: Person, emulated: Emulated
) -> None:
    """From `/download` to the bytes that the site has, by one message and its edits."""
    url = link(stack)
    await ben.types("download", url=url)
    first = await ben.hears("MESSAGE_CREATE")
    assert ["Cancel"] == [c["label"] for row in first["components"] for c in row["components"]]
    done = await ended(ben, first["id"])
    (attached,) = done["attachments"]
    async with (
        aiohttp.ClientSession() as session,
        session.get(attached["url"]) as here,
        session.get(url) as there,
    ):
        mine, theirs = [hashlib.sha256(await each.read()).digest() for each in (here, there)]
    assert mine == theirs
    assert 1 == len(emulated.channel.messages)
    ((kind, seconds),) = emulated.hub.counters.timings
    assert ("command", True) == (kind, seconds < 3)
    (job,) = stack.jobs().values()
    await stack.until(
        lambda: "Delivered" in str(stack.jobs()[job.name].status.conditions), what="it"
    )
    noted = stack.jobs()[job.name].status.delivery
    assert noted is not None
    assert noted.message_id == first["id"]
    assert re.fullmatch(r"00-[0-9a-f]{32}-[0-9a-f]{16}-0[13]", job.metadata.annotations[TRACE])


@pytest.mark.usefixtures("bot")
async def test_what_is_no_public_link_is_refused_in_private(
    stack: Stack, ben: Person, emulated: Emulated
) -> None:
    """No MediaJob is made."""
    for number, (url, words) in enumerate(
        {"cats": "look like a link", "http://10.0.0.1/": "private network"}.items(), 1
    ):
        await ben.types("download", url=url)
        said = await ben.hears("MESSAGE_CREATE", at_least=number)
        assert words in said["content"]
        assert said["flags"] & 64
    assert {} == stack.jobs()
    assert all(message.for_user for message in emulated.channel.messages.values())


@pytest.mark.usefixtures("bot")
async def test_a_failure_says_why_and_what_to_do(stack: Stack, ben: Person) -> None:
    """In the same message; Retry takes it over, and two presses are one."""
    await ben.types("download", url=f"{stack.address}/status/404/{secrets.token_hex(6)}.mp4")
    first = await ben.hears("MESSAGE_CREATE")
    over = await ended(ben, first["id"])
    assert "find any media at this link" in over["content"]
    retry = button(over, "Retry")
    await asyncio.gather(ben.presses(first["id"], retry), ben.presses(first["id"], retry))
    await stack.until(lambda: len(stack.jobs()) == 2, what="a second job")
    async with asyncio.timeout(30):
        while "-r1" not in str([b for _, b in ben.heard][-1].get("components")):
            await asyncio.sleep(0.1)
    assert 2 == len(stack.jobs())


@pytest.mark.usefixtures("bot")
async def test_cancel_cancels_and_only_for_who_asked(
    stack: Stack, ben: Person, emulated: Emulated
) -> None:
    """Others get a sentence that only they see."""
    await ben.types("download", url=link(stack, 5_000_000, 50_000))
    first = await ben.hears("MESSAGE_CREATE")
    cancel = first["components"][0]["components"][0]["custom_id"]
    cleo = next(u for u in emulated.discord.world.users.values() if u.name == "cleo")
    async with emulated.person(cleo) as other:
        await other.presses(first["id"], cancel)
        said = await other.hears("MESSAGE_CREATE")
        assert "Only the person who asked" in said["content"]
    await ben.presses(first["id"], cancel)
    assert "Cancelled." in (await ended(ben, first["id"]))["content"]
    await stack.nothing_left()


@pytest.mark.usefixtures("bot")
@pytest.mark.parametrize(
    ("watched", "late"), [(True, 0.0), (False, 0.0), (True, 5.0)], ids=["told", "missed", "at once"]
)
async def test_a_job_that_somebody_deletes_is_said_to_be_gone(
    stack: Stack, ben: Person, emulated: Emulated, proxy: ApiProxy, *, watched: bool, late: float
) -> None:
    """By `kubectl delete`, in the middle of its download: the message does not wait for ever. Also
    where no watch told of it, because one broke and the next began after it; and where it told of
    it before we knew that our note of the message was taken.
    """
    proxy.late = late
    await ben.types("download", url=link(stack, 5_000_000, 50_000))
    await ben.hears("MESSAGE_CREATE")
    await stack.until(
        lambda: [True] == [bool(job.status.delivery) for job in stack.jobs().values()],
        what="a note",
    )
    await stack.until(
        lambda: {"Running"} == {str(job.status.phase) for job in stack.jobs().values()}, what="it"
    )
    proxy.silent = not watched
    stack.operator.remove("mediajobs")
    await stack.until(lambda: not stack.jobs(), what="no job")
    if not watched:
        proxy.cut_watches()
    proxy.silent = False
    (shown,) = emulated.channel.messages.values()
    await stack.until(
        lambda: "removed before it finished" in shown.content and not shown.components,
        what="a word",
    )
    await stack.nothing_left()


@pytest.mark.usefixtures("bot")
@pytest.mark.parametrize("after", [0.0, 1.0])
async def test_what_was_said_not_to_be_begun_is_not_begun(
    stack: Stack, ben: Person, emulated: Emulated, proxy: ApiProxy, after: float
) -> None:
    """The API server made it, but its answer was lost, before or after the watch said all that
    there was to say: the job is cancelled, and nothing is shown.
    """
    proxy.lost_creates, proxy.lost_after = 1, after
    await ben.types("download", url=link(stack, 5_000_000, 50_000))
    said = await ben.hears("MESSAGE_CREATE")
    assert "nothing was started" in said["content"]
    await stack.until(
        lambda: {"Cancelled"} == {str(job.status.phase) for job in stack.jobs().values()}, what="it"
    )
    assert all(message.for_user for message in emulated.channel.messages.values())
    await stack.nothing_left()


async def test_a_bot_that_is_killed_goes_on_with_the_same_message(
    stack: Stack, ben: Person, emulated: Emulated, bot: BotProcess
) -> None:
    """What ended meanwhile is shown by its next life."""
    await ben.types("download", url=link(stack, 300_000, 100_000))
    first = await ben.hears("MESSAGE_CREATE")
    await stack.until(
        lambda: all(job.status.delivery for job in stack.jobs().values()), what="the note"
    )
    bot.kill(signal.SIGKILL)
    await stack.until(
        lambda: {"Succeeded"} == {str(job.status.phase) for job in stack.jobs().values()}, what="it"
    )
    bot.start()
    done = await ended(ben, first["id"])
    assert 1 == len(done["attachments"])
    assert 1 == len(emulated.channel.messages)
    assert 1 == bot.log.read_text().count("commands_registered")


@pytest.mark.bot(COOLDOWN_SECONDS="10", REQUESTS_PER_MINUTE="5")
@pytest.mark.usefixtures("bot")
async def test_who_hurries_is_told_how_long_to_wait(stack: Stack, ben: Person) -> None:
    """As `/help` says; no second MediaJob is made."""
    await ben.types("help")
    assert (
        "once every 10 s, and up to 5 times a minute"
        in (await ben.hears("MESSAGE_CREATE"))["content"]
    )
    await ben.types("download", url=link(stack))
    await ben.hears("MESSAGE_CREATE", at_least=2)
    await ben.types("download", url=link(stack))
    said = await ben.hears("MESSAGE_CREATE", at_least=3)
    assert "going a bit fast" in said["content"]
    assert said["flags"] & 64
    assert 1 == len(stack.jobs())


async def test_where_it_may_not_read_it_finds_its_message_by_the_token(
    stack: Stack, ben: Person, emulated: Emulated, bot: BotProcess
) -> None:
    """Killed right after the answer: the token was written down before."""
    unread = int(Permission.READ_MESSAGE_HISTORY)
    emulated.channel.overwrites = [Overwrite(emulated.application.id, 1, deny=unread)]
    bot.stop()
    bot.start(**{VARIABLE: Failpoint.BOT_ANSWERED})
    await stack.until(bot.ready, what="the bot")
    await ben.types("download", url=link(stack))
    first = await ben.hears("MESSAGE_CREATE")
    await stack.until(bot.died, what="its death")
    bot.start()
    assert 1 == len((await ended(ben, first["id"]))["attachments"])
    assert 1 == len(emulated.channel.messages)


async def test_that_there_can_be_no_message_is_noted_in_the_end(
    stack: Stack, ben: Person, emulated: Emulated, bot: BotProcess, proxy: ApiProxy
) -> None:
    """Killed before its answer, then shut out of the channel; its first words on that are
    refused.
    """
    bot.stop()
    bot.start(**{VARIABLE: Failpoint.BOT_ACCEPTED})
    await stack.until(bot.ready, what="the bot")
    await ben.types("download", url=link(stack))
    await stack.until(bot.died, what="its death")
    unseen = int(Permission.VIEW_CHANNEL)
    emulated.channel.overwrites = [Overwrite(emulated.application.id, 1, deny=unseen)]
    proxy.conflicts = TRIES + 1
    bot.start()
    await delivered(stack, "NoAccess", "False")
    assert 0 == proxy.conflicts
    assert {} == emulated.channel.messages


@pytest.mark.timeout(400)
async def test_it_dies_at_every_point_in_turn(
    stack: Stack, ben: Person, emulated: Emulated, bot: BotProcess, subtests: pytest.Subtests
) -> None:
    """Before the MediaJob nothing exists, and Discord says so; after it there is one message,
    complete.
    """
    for point in [each for each in Failpoint if each.startswith("bot")]:
        with subtests.test(point.value):
            bot.stop()
            bot.start(**{VARIABLE: point})
            await asyncio.to_thread(wait_until, bot.ready, what="the bot", timeout=30)
            ben.heard.clear()
            await ben.types("download", url=link(stack))
            await stack.until(bot.died, what=f"death at {point}")
            bot.start()
            if point is Failpoint.BOT_ASKED:
                await ben.hears("INTERACTION_FAILURE")
                assert {} == stack.jobs()
                assert {} == emulated.channel.messages
                continue
            await delivered(stack, "Shown", "True")
            (message,) = emulated.channel.messages.values()
            assert 1 == len(message.attachments)
            assert message.for_user is None
            stack.forget()
            await stack.until(lambda: not stack.jobs(), what="nothing")
            emulated.channel.messages.clear()


async def test_a_token_that_discord_refuses_is_said_once(
    machinery: Stack, emulated: Emulated, database: str, tmp_path: Path
) -> None:
    """Alive, not ready, without further requests; a new token in the file is taken up."""
    found = BotProcess(
        machinery.operator, emulated.hub.address, "wrong", tmp_path / "bot", database=database
    )
    found.start()
    try:
        refused = '"event": "token_refused"'
        await asyncio.to_thread(
            wait_until, lambda: refused in found.log.read_text(), what="the refusal", timeout=30
        )
        before = emulated.hub.counters.requests
        await asyncio.sleep(2)
        assert (before, False, True) == (
            emulated.hub.counters.requests,
            found.ready(),
            found.alive(),
        )
        found.token(emulated.application.bot.token)
        await asyncio.to_thread(wait_until, found.ready, what="the bot", timeout=30)
        assert 1 == found.log.read_text().count(refused)
        assert 0 == found.kill(signal.SIGTERM)
    finally:
        found.stop()
        print(found.log.read_text())


async def test_a_token_that_ends_in_the_middle_is_said_once(
    ben: Person, emulated: Emulated, bot: BotProcess
) -> None:
    """Close code 4004: alive, not ready, without further requests; with another token it begins
    anew.
    """
    assert 1 == await emulated.discord.gateway.disturb("close", code=4004)
    refused = '"event": "token_refused"'
    await asyncio.to_thread(
        wait_until, lambda: refused in bot.log.read_text(), what="the refusal", timeout=30
    )
    before = emulated.hub.counters.requests
    await asyncio.sleep(2)
    assert (before, False, True) == (emulated.hub.counters.requests, bot.ready(), bot.alive())
    assert 1 == bot.log.read_text().count(refused)
    bot.token("another")
    await asyncio.to_thread(wait_until, bot.died, what="a new beginning", timeout=30)
    assert 0 == bot.exit_code
    assert ben.heard


async def test_it_does_not_identify_when_no_session_is_left(
    machinery: Stack, emulated: Emulated, database: str, tmp_path: Path
) -> None:
    """Discord would reset the token of a bot that asks all the same."""
    emulated.hub.limits.identifies = 0
    token = emulated.application.bot.token
    found = BotProcess(
        machinery.operator, emulated.hub.address, token, tmp_path / "bot", database=database
    )
    found.start()
    try:
        waits = '"event": "no_session_left"'
        await asyncio.to_thread(
            wait_until, lambda: waits in found.log.read_text(), what="the wait", timeout=30
        )
        await asyncio.sleep(1)
        assert 0 == emulated.hub.counters.identifies
        assert (True, False) == (found.alive(), found.ready())
    finally:
        found.stop()
