"""It always arrives, or the person and the MediaJob are told why not: the refusals of Discord."""

import asyncio
import secrets
from typing import Any

import aiohttp
import pytest
import yarl

from bot_process import BotProcess, button, delivered, deliveries, ended, link, outcomes, publishing
from emulated import Emulated, Person
from stack import Stack
from trawler_sandbox.discord.faults import Answer
from trawler_sandbox.discord.permissions import Permission
from trawler_sandbox.discord.world import Overwrite

pytestmark = pytest.mark.timeout(240)

PUBLIC = "http://127.0.0.1:{port}"


def words(message: dict[str, Any]) -> str:
    return str(message["content"])


@pytest.mark.usefixtures("bot")
async def test_an_album_of_twelve_is_ten_and_two(
    stack: Stack, ben: Person, emulated: Emulated
) -> None:
    """In its order; the rest in one further message, sent once."""
    url = f"{stack.address}/album/{secrets.token_hex(6)}?count=12&bytes=9000"
    await ben.types("download", url=url)
    first = await ben.hears("MESSAGE_CREATE")
    done = await ended(ben, first["id"])
    more = await ben.hears("MESSAGE_CREATE", at_least=2)
    assert [10, 2] == [len(each["attachments"]) for each in (done, more)]
    (job,) = stack.jobs().values()
    names = [each["filename"] for message in (done, more) for each in message["attachments"]]
    assert [file.name.replace(" ", "_") for file in job.status.files or ()] == [
        name.replace(" ", "_") for name in names
    ]
    assert 2 == len(emulated.channel.messages)


@pytest.mark.usefixtures("bot")
async def test_the_rest_of_an_album_is_refused(
    stack: Stack, ben: Person, emulated: Emulated
) -> None:
    """413 for the further message: what it held is named in the first one, which keeps its
    files.
    """
    emulated.discord.faults.answers.append(Answer("POST", "/messages", 413, times=1))
    url = f"{stack.address}/album/{secrets.token_hex(6)}?count=12&bytes=9000"
    await ben.types("download", url=url)
    first = await ben.hears("MESSAGE_CREATE")
    await delivered(stack, "Shown", "True")
    (shown,) = emulated.channel.messages.values()
    assert str(shown.id) == first["id"]
    assert "The upload limit here is" in shown.content
    assert 10 == len(shown.attachments)


async def test_less_is_taken_than_was_announced(
    stack: Stack, ben: Person, emulated: Emulated, bot: BotProcess
) -> None:
    """413 as Discord's JSON and as a proxy's page: stepped down, then the size and what can be
    done; the next file of that size is not even tried, also not by the bot's next life.
    """
    emulated.guild.refused_bytes = 100_000
    await ben.types("download", url=link(stack))
    first = await ben.hears("MESSAGE_CREATE")
    over = await ended(ben, first["id"])
    assert [] == over["attachments"]
    assert "The upload limit here is" in words(over)
    labels = {c["label"] for r in over["components"] for c in r["components"]}
    assert {"Retry", "Audio", "Remove"} == labels, "a link to a file has no smaller version"

    def refused() -> int:
        return int(emulated.hub.counters.too_large)

    tried = refused()
    assert 1 <= tried <= 4
    bot.kill()
    bot.start()
    await stack.until(bot.ready, what="the bot")
    await ben.types("download", url=link(stack))
    second = await ben.hears("MESSAGE_CREATE", at_least=2)
    assert "The upload limit here is" in words(await ended(ben, second["id"]))
    assert tried == refused()
    emulated.guild.refused_bytes = None
    emulated.discord.faults.answers.append(Answer("PATCH", "/messages/", 413, times=1, html=True))
    await ben.types("download", url=link(stack, 60_000))
    third = await ben.hears("MESSAGE_CREATE", at_least=3)
    assert "The upload limit here is" in words(await ended(ben, third["id"]))
    assert {("True", "Shown")} == outcomes(stack)


async def test_what_is_too_large_for_discord_becomes_a_link(
    stack: Stack, ben: Person, emulated: Emulated, bot: BotProcess
) -> None:
    """With its name; parts of it can be asked for; Remove ends it."""
    await publishing(stack, bot)
    emulated.guild.upload_bytes = 100_000
    url = link(stack, 300_000)
    await ben.types("download", url=url)
    first = await ben.hears("MESSAGE_CREATE")
    over = await ended(ben, first["id"])
    there = words(over).partition("Download it here: <")[2].partition(">")[0]
    assert there.endswith(".mp4")
    async with aiohttp.ClientSession() as session:
        async with session.get(there) as answer:
            whole = await answer.read()
            assert (200, "nosniff") == (answer.status, answer.headers["X-Content-Type-Options"])
        async with session.get(there, headers={"Range": "bytes=100-199"}) as answer:
            assert (206, whole[100:200]) == (answer.status, await answer.read())
        async with session.get(there, headers={"Range": "bytes=999999999-"}) as answer:
            assert 416 == answer.status
        async with session.get(url) as answer:
            assert whole == await answer.read()
        async with session.get(there.replace("/f/", "/f/x", 1)) as answer:
            assert 404 == answer.status
        await ben.presses(first["id"], button(over, "Remove"))
        await ben.hears("MESSAGE_DELETE")
        async with session.get(there) as answer:
            assert 404 == answer.status


@pytest.mark.usefixtures("bot")
async def test_what_discord_refuses_for_good_is_noted_and_nothing_loops(
    stack: Stack, ben: Person, emulated: Emulated
) -> None:
    """What AutoMod takes in no form, a message that is gone, a channel that may not be seen any
    more.
    """
    await ben.types("download", url=link(stack, 150_000, 50_000))
    await ben.hears("MESSAGE_CREATE")
    emulated.guild.blocked_words = ["e"]
    await delivered(stack, "BlockedByAutoMod")
    emulated.guild.blocked_words = []

    await ben.types("download", url=link(stack, 150_000, 50_000))
    second = await ben.hears("MESSAGE_CREATE", at_least=2)
    emulated.discord.messages.delete(emulated.channel.messages[int(second["id"])])
    await delivered(stack, "MessageGone")

    emulated.hub.limits.token_seconds = 0.0  # from here on the bot's own rights count
    await ben.types("download", url=link(stack, 150_000, 50_000))
    await ben.hears("MESSAGE_CREATE", at_least=3)
    denied = int(Permission.VIEW_CHANNEL)
    emulated.channel.overwrites = [Overwrite(emulated.application.id, 1, deny=denied)]
    await delivered(stack, "NoAccess")
    edits = len([1 for name, _ in ben.heard if name == "MESSAGE_UPDATE"])
    await asyncio.sleep(3)
    assert edits == len([1 for name, _ in ben.heard if name == "MESSAGE_UPDATE"])


@pytest.mark.usefixtures("bot")
async def test_a_token_that_ended_early_is_followed_by_the_bots_own_right(
    stack: Stack, ben: Person, emulated: Emulated
) -> None:
    """One refusal (50027), then the same message is edited as the bot."""
    emulated.hub.limits.token_seconds = 0.5
    await ben.types("download", url=link(stack, 300_000, 100_000))
    first = await ben.hears("MESSAGE_CREATE")
    assert 1 == len((await ended(ben, first["id"]))["attachments"])
    assert 1 == len(emulated.channel.messages)
    assert 1 == emulated.hub.counters.invalid


@pytest.mark.bot(clock="+900s")
@pytest.mark.usefixtures("bot")
async def test_a_token_is_not_used_once_it_is_too_old(
    stack: Stack, ben: Person, emulated: Emulated
) -> None:
    """By its age, before Discord says so; whoever waited long is called, once."""
    emulated.hub.limits.token_seconds = 0.0
    await ben.types("download", url=link(stack))
    first = await ben.hears("MESSAGE_CREATE")
    assert 1 == len((await ended(ben, first["id"]))["attachments"])
    assert 0 == emulated.hub.counters.invalid
    call = await ben.hears("MESSAGE_CREATE", at_least=2)
    assert call["message_reference"]["message_id"] == first["id"]
    assert [str(ben.user.id)] == [each["id"] for each in call["mentions"]]
    await asyncio.sleep(1)
    assert 2 == len(emulated.channel.messages)


@pytest.mark.usefixtures("bot")
async def test_a_private_answer_comes_by_the_token_else_by_direct_message(
    stack: Stack, ben: Person, emulated: Emulated
) -> None:
    """Nobody else sees it; without the token and without direct messages it is noted."""
    await ben.types("download", url=link(stack), private=True)
    first = await ben.hears("MESSAGE_CREATE")
    assert first["flags"] & 64
    assert 1 == len((await ended(ben, first["id"]))["attachments"])

    emulated.hub.limits.token_seconds = 0.5
    await ben.types("download", url=link(stack, 300_000, 100_000), private=True)
    await delivered(stack, "Shown", "True")
    direct = [m for dm in emulated.discord.world.dms.values() for m in dm.messages.values()]
    async with asyncio.timeout(60):
        while not direct:
            await asyncio.sleep(0.1)
            direct = [m for dm in emulated.discord.world.dms.values() for m in dm.messages.values()]
    assert [1] == [len(each.attachments) for each in direct]

    emulated.ben.accepts_dms = False
    await ben.types("download", url=link(stack, 300_000, 100_000), private=True)
    await delivered(stack, "CannotMessage")
    assert all(message.for_user for message in emulated.channel.messages.values())


@pytest.mark.usefixtures("bot")
async def test_threads_that_closed_meanwhile(stack: Stack, ben: Person, emulated: Emulated) -> None:
    """Archived: a new message opens it again, with the file. Locked: noted. Too old to be edited: a
    new message.
    """
    emulated.hub.limits.token_seconds = 0.0
    opener = await ben.says("a thread")
    there = emulated.channel.messages[int(opener["id"])]
    thread = emulated.discord.messages.start_thread(emulated.ben, there, "media")
    await ben.types("download", at=thread, url=link(stack, 300_000, 100_000))
    await ben.hears("MESSAGE_CREATE", at_least=2)
    emulated.discord.messages.archive(thread, archived=True, locked=False)
    await delivered(stack, "Shown", "True")
    (shown,) = thread.messages.values()
    assert 1 == len(shown.attachments), "in place of the one that said that it waits"

    await ben.types("download", at=thread, url=link(stack, 300_000, 100_000))
    await stack.until(lambda: 2 == len(thread.messages), what="the second")
    emulated.discord.messages.archive(thread, archived=True, locked=True)
    await delivered(stack, "ThreadLocked")

    emulated.hub.limits.old_seconds = 0.0
    emulated.hub.limits.old_edits = 0
    before = len(emulated.channel.messages)
    await ben.types("download", url=link(stack))
    await stack.until(
        lambda: any(m.attachments for m in emulated.channel.messages.values()), what="a new message"
    )
    await stack.until(lambda: before + 1 == len(emulated.channel.messages), what="one message")


@pytest.mark.usefixtures("bot")
async def test_a_server_error_on_progress_does_not_touch_the_result(
    stack: Stack, ben: Person, emulated: Emulated
) -> None:
    """502 on every progress edit, done or not: not repeated, and the last edit is the last."""
    for done in (True, False):
        emulated.discord.faults.answers.append(
            Answer("PATCH", "/messages/", 502, times=1, done=done)
        )
    await ben.types("download", url=link(stack, 600_000, 100_000))
    first = await ben.hears("MESSAGE_CREATE")
    assert 1 == len((await ended(ben, first["id"]))["attachments"])
    assert [] == [each for each in emulated.discord.faults.answers if each.times]
    await asyncio.sleep(4)
    (message,) = emulated.channel.messages.values()
    assert 1 == len(message.attachments)


@pytest.mark.usefixtures("bot")
async def test_hostile_titles_are_shown_harmless(
    stack: Stack, ben: Person, emulated: Emulated
) -> None:
    """Pings, markup, direction marks, line breaks, and a megabyte of it."""
    title = "@everyone <@1> **x** [a](http://b) \u202eevil\n# big"
    for number, times in enumerate((1, 25_000), 1):
        query = str(yarl.URL("/").with_query(title=title, times=times))[1:]
        await ben.types("download", url=f"{stack.address}/page/{secrets.token_hex(6)}{query}")
        first = await ben.hears("MESSAGE_CREATE", at_least=number)
        over = await ended(ben, first["id"])
        shown = words(over).partition(f" <{stack.address}")[0].removeprefix("**").removesuffix("**")
        assert 1 == len(over["attachments"])
        assert "\u202e" not in shown
        assert "\n#" not in shown
        assert "**" not in shown.replace("\\*", "")
        assert 10 < len(shown) < 500
        assert [] == over["mentions"]
        assert not over["mention_everyone"]
    assert not any(message.rings_all for message in emulated.channel.messages.values())
    assert {("True", "Shown")} == outcomes(stack)


@pytest.mark.usefixtures("bot")
async def test_what_is_too_much_in_one_request_comes_in_several(
    stack: Stack, ben: Person, emulated: Emulated
) -> None:
    """Refused by what stands before Discord, and hung up on: all files come, and the next single
    file is tried.
    """
    await ben.types("download", url=link(stack))
    first = await ben.hears("MESSAGE_CREATE")
    (file,) = (await ended(ben, first["id"]))["attachments"]
    emulated.hub.limits.request_bytes = file["size"] * 5 // 2
    url = f"{stack.address}/album/{secrets.token_hex(6)}?count=4"
    await ben.types("download", url=url)
    second = await ben.hears("MESSAGE_CREATE", at_least=2)
    await ended(ben, second["id"])
    await stack.until(
        lambda: 5 == sum(len(m.attachments) for m in emulated.channel.messages.values()),
        what="all four",
    )
    await stack.until(lambda: 2 == len(deliveries(stack)), what="a note")
    assert {("True", "Shown")} == outcomes(stack)
    emulated.hub.limits.request_bytes = None
    before = emulated.hub.counters.too_large
    await ben.types("download", url=link(stack, file["size"]))
    made = [b for n, b in ben.heard if n == "MESSAGE_CREATE"]
    last = await ben.hears("MESSAGE_CREATE", at_least=len(made) + 1)
    assert 1 == len((await ended(ben, last["id"]))["attachments"])
    assert before == emulated.hub.counters.too_large
