"""What was delivered stays: a further try is beside it until there is something better, and one
message is one thing, also when it is several.
"""

import asyncio
import secrets
from typing import Any

import pytest

from bot_process import BotProcess, button, delivered, ended, link
from emulated import Emulated, Person
from stack import Stack
from trawler_sandbox.discord.faults import Answer
from trawler_sandbox.discord.world import Message

pytestmark = pytest.mark.timeout(240)


def page(stack: Stack, **query: str | int) -> str:
    """A page with one video of 240 lines."""
    words = "&".join(f"{key}={value}" for key, value in query.items())
    return f"{stack.address}/page/{secrets.token_hex(6)}?{words}"


def labels(message: dict[str, Any]) -> list[str]:
    return [each["label"] for row in message["components"] for each in row["components"]]


async def pressed(ben: Person, message: dict[str, Any], label: str) -> dict[str, Any]:
    """What the message says once the try that a button began has ended."""
    ben.heard.clear()
    await ben.presses(message["id"], button(message, label))
    return await ended(ben, message["id"])


@pytest.mark.usefixtures("bot")
async def test_smaller_that_fails_keeps_the_file(
    stack: Stack, ben: Person, emulated: Emulated
) -> None:
    """While it is tried, when it fails, and when it is tried again: the file, its words, and a line
    that says the site's own limit.
    """
    await ben.types("download", url=page(stack, bytes=200_000, title="Clip"))
    first = await ben.hears("MESSAGE_CREATE")
    done = await ended(ben, first["id"])
    (file,) = done["attachments"]
    assert ["Retry", "Smaller", "Audio", "Remove"] == labels(done)
    over = await pressed(ben, done, "Smaller")
    assert "Smaller version: The smallest version this site has is 240p." in over["content"]
    assert over["content"].startswith(done["content"])
    assert [file["id"]] == [each["id"] for each in over["attachments"]]
    assert ["Retry", "Audio", "Remove"] == labels(over)
    every = [b for n, b in ben.heard if n == "MESSAGE_UPDATE" and b["id"] == first["id"]]
    assert {file["id"]} == {each["id"] for b in every for each in b["attachments"]}
    again = await pressed(ben, over, "Retry")
    assert [file["id"]] == [each["id"] for each in again["attachments"]]
    assert 1 == len(emulated.channel.messages)


@pytest.mark.usefixtures("bot")
async def test_a_press_goes_on_behind_a_try_that_was_never_shown(
    stack: Stack, ben: Person, emulated: Emulated
) -> None:
    """Its words were refused for good, so the message kept its older buttons, and a press on them
    did nothing.
    """
    await ben.types("download", url=page(stack, bytes=200_000))
    first = await ben.hears("MESSAGE_CREATE")
    done = await ended(ben, first["id"])
    emulated.hub.limits.token_seconds = 0.0
    emulated.discord.faults.answers += [
        Answer("PATCH", "/messages/", 403, times=1000, code=50013),
        Answer("POST", "/messages", 403, times=1000, code=50013),
    ]
    await ben.presses(first["id"], button(done, "Retry"))
    await delivered(stack, "NoPermission")
    emulated.discord.faults.answers.clear()
    again = await pressed(ben, done, "Retry")
    assert 1 == len(again["attachments"])
    assert button(again, "Retry").endswith("-r2")


@pytest.mark.usefixtures("bot")
async def test_audio_and_back(stack: Stack, ben: Person, emulated: Emulated) -> None:
    """Each in place of the other, in one message; the video stays while the sound is on its way."""
    await ben.types("download", url=page(stack, bytes=200_000))
    first = await ben.hears("MESSAGE_CREATE")
    done = await ended(ben, first["id"])
    sound = await pressed(ben, done, "Audio")
    (file,) = sound["attachments"]
    assert file["content_type"].startswith("audio/")
    assert ["Retry", "Video", "Remove"] == labels(sound)
    back = await pressed(ben, sound, "Video")
    (file,) = back["attachments"]
    assert file["content_type"].startswith("video/")
    assert ["Retry", "Smaller", "Audio", "Remove"] == labels(back)
    assert 1 == len(emulated.channel.messages)


async def test_a_further_try_that_is_cancelled_or_interrupted_keeps_the_file(
    stack: Stack, ben: Person, emulated: Emulated, bot: BotProcess
) -> None:
    """By the person, or by the bot's death in the middle."""
    await ben.types("download", url=link(stack, 3_000_000, 250_000))
    first = await ben.hears("MESSAGE_CREATE")
    done = await ended(ben, first["id"])
    (file,) = done["attachments"]
    ben.heard.clear()
    await ben.presses(first["id"], button(done, "Retry"))
    await stack.until(lambda: len(stack.jobs()) == 2, what="a second job")
    bot.kill()
    bot.start()
    await stack.until(bot.ready, what="the bot")
    async with asyncio.timeout(30):
        while "trawler:cancel" not in str([b for _, b in ben.heard if b.get("id") == first["id"]]):
            await asyncio.sleep(0.1)
    going = [b for _, b in ben.heard if b.get("id") == first["id"]][-1]
    assert [file["id"]] == [each["id"] for each in going["attachments"]]
    assert "New download: " in going["content"]
    await ben.presses(first["id"], button(going, "Cancel"))
    over = await ended(ben, first["id"])
    assert "New download: Cancelled." in over["content"]
    assert [file["id"]] == [each["id"] for each in over["attachments"]]
    assert 1 == len(emulated.channel.messages)


def shown(emulated: Emulated) -> list[Message]:
    return list(emulated.channel.messages.values())


@pytest.mark.usefixtures("bot")
async def test_an_album_is_one_thing(stack: Stack, ben: Person, emulated: Emulated) -> None:
    """Fetched anew, its messages are written anew; one that is smaller by then leaves none behind;
    Remove takes all.
    """
    url = f"{stack.address}/album/{secrets.token_hex(6)}?count=12"
    await ben.types("download", url=url)
    first = await ben.hears("MESSAGE_CREATE")
    done = await ended(ben, first["id"])
    await delivered(stack, "Shown", "True")
    assert [10, 2] == [len(each.attachments) for each in shown(emulated)]
    before = [message.id for message in shown(emulated)]
    (job,) = stack.jobs().values()
    assert job.status.delivery is not None
    assert [str(before[1])] == job.status.delivery.further_message_ids
    again = await pressed(ben, done, "Retry")
    await stack.until(
        lambda: all("Delivered" in str(j.status.conditions) for j in stack.jobs().values()),
        what="it",
    )
    assert before == [message.id for message in shown(emulated)]
    assert [10, 2] == [len(each.attachments) for each in shown(emulated)]
    await ben.presses(first["id"], button(again, "Remove"))
    await stack.until(lambda: not shown(emulated), what="no message")


@pytest.mark.bot(clock="+900s")
@pytest.mark.usefixtures("bot")
async def test_the_call_goes_with_its_message(
    stack: Stack, ben: Person, emulated: Emulated
) -> None:
    """Removed with it, and replaced where it is fetched anew."""
    emulated.hub.limits.token_seconds = 0.0
    await ben.types("download", url=link(stack))
    first = await ben.hears("MESSAGE_CREATE")
    done = await ended(ben, first["id"])
    await stack.until(lambda: 2 == len(shown(emulated)), what="a call")
    call = shown(emulated)[1].id
    await stack.until(
        lambda: str(call) in str([j.status.delivery for j in stack.jobs().values()]), what="a note"
    )
    emulated.hub.limits.token_seconds = 900.0
    emulated.hub.skipped += 900.0  # as the bot's clock
    await ben.presses(first["id"], button(done, "Remove"))
    await stack.until(lambda: not shown(emulated), what="no message")


@pytest.mark.usefixtures("bot")
async def test_a_private_album_comes_whole(stack: Stack, ben: Person, emulated: Emulated) -> None:
    """By the token; where that has ended all of it by direct message, where its buttons are
    answered.
    """
    url = f"{stack.address}/album/{secrets.token_hex(6)}?count=12"
    await ben.types("download", url=url, private=True)
    first = await ben.hears("MESSAGE_CREATE")
    await ended(ben, first["id"])
    await delivered(stack, "Shown", "True")
    assert [10, 2] == [len(each.attachments) for each in shown(emulated)]
    assert all(message.for_user == ben.user.id for message in shown(emulated))
    emulated.hub.limits.token_seconds = 0.0
    await ben.types("download", url=f"{url}&x=1", private=True)
    dm = emulated.discord.world.dm(emulated.ben, emulated.application.bot)
    await stack.until(lambda: 2 == len(dm.messages), what="direct messages", timeout=60)
    assert [10, 2] == [len(each.attachments) for each in dm.messages.values()]
    emulated.hub.limits.token_seconds = 900.0
    direct = [b for n, b in ben.heard if n == "MESSAGE_CREATE" and b["channel_id"] == str(dm.id)]
    await stack.until(
        lambda: all("Delivered" in str(j.status.conditions) for j in stack.jobs().values()),
        what="it",
    )
    await ben.presses(direct[0]["id"], button(direct[0], "Remove"), channel=dm)
    await stack.until(lambda: not dm.messages, what="no direct message")


@pytest.mark.parametrize("natively", [False, True])
@pytest.mark.usefixtures("bot")
async def test_a_message_that_is_deleted_cancels_its_job(
    stack: Stack, ben: Person, emulated: Emulated, *, natively: bool
) -> None:
    """By a moderator in Discord, or with its whole channel: nobody works for what nobody sees, and
    nothing is edited any more.
    """
    await ben.types("download", url=link(stack, 5_000_000, 50_000))
    first = await ben.hears("MESSAGE_CREATE")
    await stack.until(
        lambda: {"Running"} == {str(job.status.phase) for job in stack.jobs().values()}, what="it"
    )
    async with emulated.person(emulated.ada) as moderator:
        place = f"/channels/{emulated.channel.id}"
        await moderator.ask("DELETE", f"{place}/messages/{first['id']}" if natively else place)
        await asyncio.sleep(1)
        before = emulated.hub.counters.requests
        await stack.until(
            lambda: {"Cancelled"} == {str(j.status.phase) for j in stack.jobs().values()}, what="it"
        )
        assert emulated.hub.counters.requests - before <= 2
    await delivered(stack, "MessageGone")
    await stack.nothing_left()


@pytest.mark.usefixtures("bot")
async def test_a_job_that_another_waits_for_is_not_cancelled(
    stack: Stack, ben: Person, emulated: Emulated
) -> None:
    """Two asked for the same link; the first one's message is deleted."""
    url = link(stack, 1_500_000, 150_000)
    await ben.types("download", url=url)
    first = await ben.hears("MESSAGE_CREATE")
    await stack.until(
        lambda: "Running" in {str(j.status.phase) for j in stack.jobs().values()}, what="it"
    )
    await ben.types("download", url=url)
    second = await ben.hears("MESSAGE_CREATE", at_least=2)
    await stack.until(
        lambda: any(j.status.follows for j in stack.jobs().values()), what="a follower"
    )
    emulated.discord.messages.delete(emulated.channel.messages[int(first["id"])])
    assert 1 == len((await ended(ben, second["id"]))["attachments"])
    assert {"Succeeded"} == {str(job.status.phase) for job in stack.jobs().values()}


@pytest.mark.parametrize("refusal", ["automod", "files", "slow"])
@pytest.mark.usefixtures("bot")
async def test_the_last_words_are_said_in_the_way_that_is_left(
    stack: Stack, ben: Person, emulated: Emulated, refusal: str
) -> None:
    """AutoMod: without the title; no more right to attach files: without them; nothing waits for
    ever at 80 %.
    """
    emulated.hub.limits.token_seconds = 900.0 if refusal == "automod" else 0.0
    await ben.types("download", url=page(stack, bytes=300_000, rate=100_000, title="Forbidden"))
    first = await ben.hears("MESSAGE_CREATE")
    if refusal == "automod":
        emulated.guild.blocked_words = ["forbidden"]
    elif refusal == "files":
        emulated.discord.faults.answers += [
            Answer("PATCH", "/messages/", 403, times=1000, code=50013, only_files=True)
        ]
    else:
        emulated.discord.faults.answers += [
            Answer("PATCH", "/messages/", 429, times=1000, code=30046)
        ]
    last: dict[str, Any]
    if refusal == "slow":
        await stack.until(  # the old one goes a moment after the new one came
            lambda: [1] == [len(m.attachments) for m in shown(emulated)],
            what="a new message in place of the old one",
            timeout=60,
        )
        return
    last = await ended(ben, first["id"])
    if refusal == "automod":
        assert 1 == len(last["attachments"])
        assert "AutoMod" in last["content"]
        assert "forbidden" not in last["content"].lower()
    else:
        assert [] == last["attachments"]
        assert "no longer allowed to attach files" in last["content"]
        await delivered(stack, "NoPermission")
