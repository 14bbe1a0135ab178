"""Who may ask, who may know: permissions of people and not only of the bot, and nothing private
told.
"""

import secrets
from typing import Any

import aiohttp
import pytest

from bot_process import BotProcess, button, delivered, ended, link, publishing
from emulated import Emulated, Person
from stack import Stack
from trawler_sandbox.discord.permissions import Permission
from trawler_sandbox.discord.world import (
    FORUM,
    PRIVATE_THREAD,
    PUBLIC_THREAD,
    VOICE,
    Channel,
    Overwrite,
    User,
)

pytestmark = pytest.mark.timeout(240)


def private(message: dict[str, Any]) -> str:
    assert message["flags"] & 64, message
    return str(message["content"])


def somebody(emulated: Emulated, name: str) -> User:
    return next(u for u in emulated.discord.world.users.values() if u.name == name)


@pytest.mark.parametrize("denied", [Permission.ATTACH_FILES, Permission.SEND_MESSAGES])
@pytest.mark.usefixtures("bot")
async def test_who_may_not_post_files_has_none_posted(
    stack: Stack, ben: Person, emulated: Emulated, denied: Permission
) -> None:
    """By a command, by right click, by a press; for oneself alone one may."""
    url = f"{stack.address}/page/{secrets.token_hex(6)}?bytes=200000"
    said = await ben.says(url)
    await ben.types("download", url=url)
    first = await ben.hears("MESSAGE_CREATE", at_least=2)
    done = await ended(ben, first["id"])
    emulated.channel.overwrites = [Overwrite(ben.user.id, 1, deny=int(denied))]
    await ben.types("download", url=link(stack))
    refused = private(await ben.hears("MESSAGE_CREATE", at_least=3))
    assert "You're not allowed to post files in this channel." in refused
    await ben.right_clicks(said["id"], "Save media")
    assert "You're not allowed" in private(await ben.hears("MESSAGE_CREATE", at_least=4))
    await ben.presses(first["id"], button(done, "Audio"))
    assert "You're not allowed" in private(await ben.hears("MESSAGE_CREATE", at_least=5))
    assert 1 == len(stack.jobs())
    kept = emulated.channel.messages[int(first["id"])]
    assert 1 == len(kept.attachments)
    await ben.types("download", url=link(stack), private=True)
    mine = await ben.hears("MESSAGE_CREATE", at_least=6)
    assert 1 == len((await ended(ben, mine["id"]))["attachments"])


@pytest.mark.usefixtures("bot")
async def test_in_a_thread_the_right_of_threads_counts(
    stack: Stack, ben: Person, emulated: Emulated
) -> None:
    """Of a forum's post too, whose channel nobody may write in."""
    deny = int(Permission.SEND_MESSAGES)
    forum = emulated.add_channel(
        "forum", kind=FORUM, overwrites=[Overwrite(emulated.guild.id, 0, deny=deny)]
    )
    allow = int(Permission.ATTACH_FILES | Permission.SEND_MESSAGES_IN_THREADS)
    forum.overwrites[0].deny = 0
    post = emulated.add_channel(
        "post", kind=PUBLIC_THREAD, parent_id=forum.id, owner_id=ben.user.id
    )
    await ben.types("download", at=post, url=link(stack))
    first = await ben.hears("MESSAGE_CREATE")
    assert 1 == len((await ended(ben, first["id"]))["attachments"])
    in_threads = int(Permission.SEND_MESSAGES_IN_THREADS)
    forum.overwrites = [Overwrite(ben.user.id, 1, deny=in_threads, allow=allow & ~in_threads)]
    await ben.types("download", at=post, url=link(stack))
    assert "You're not allowed" in private(await ben.hears("MESSAGE_CREATE", at_least=2))


@pytest.mark.usefixtures("bot")
async def test_media_with_an_age_limit_are_for_channels_that_are_made_for_it(
    stack: Stack, ben: Person, emulated: Emulated
) -> None:
    """Elsewhere a sentence, without title and picture; in a thread its channel counts."""

    def adult() -> str:
        words = "bytes=200000&adult=1&title=Naughty"
        return f"{stack.address}/page/{secrets.token_hex(6)}?{words}"

    await ben.types("download", url=adult())
    first = await ben.hears("MESSAGE_CREATE")
    await delivered(stack, "AgeRestricted")
    shown = emulated.channel.messages[int(first["id"])]
    assert "This is for adults only." in shown.content
    assert [] == shown.attachments
    told = [str(b.get("content")) for _, b in ben.heard if b.get("id") == first["id"]]
    assert not any("Naughty" in each.replace("title=Naughty", "") for each in told)
    there = emulated.add_channel("nsfw", nsfw=True)
    await ben.types("download", at=there, url=adult())
    second = await ben.hears("MESSAGE_CREATE", at_least=2)
    assert 1 == len((await ended(ben, second["id"]))["attachments"])


@pytest.fixture
def thread(emulated: Emulated) -> Channel:
    """A private one, of Ben and the bot."""
    return emulated.add_channel(
        "secret plans",
        kind=PRIVATE_THREAD,
        parent_id=emulated.channel.id,
        owner_id=emulated.ben.id,
        members={emulated.ben.id, emulated.application.id},
    )


@pytest.mark.usefixtures("bot")
async def test_what_happens_in_a_private_thread_is_told_to_nobody_outside(
    stack: Stack, ben: Person, emulated: Emulated, thread: Channel
) -> None:
    """Neither by lists nor by completions, nor by "ready"; who is in it and who asked is told."""
    url = link(stack, 5_000_000, 50_000)
    await ben.types("download", at=thread, url=url)
    await ben.hears("MESSAGE_CREATE")
    await stack.until(
        lambda: "Running" in {str(j.status.phase) for j in stack.jobs().values()}, what="it"
    )
    (name,) = stack.jobs()
    cleo = somebody(emulated, "cleo")
    async with emulated.person(cleo) as other:
        await other.types("queue list")
        assert "Nothing is waiting" in private(await other.hears("MESSAGE_CREATE"))
        assert [] == await other.completes("queue cancel", "job", "")
        await other.types("queue cancel", job=name)
        told = private(await other.hears("MESSAGE_CREATE", at_least=2))
        assert "can't find that request" in told
        thread.members.add(cleo.id)
        await other.types("queue list", at=thread)
        there = private(await other.hears("MESSAGE_CREATE", at_least=3))
        assert url.partition("://")[2] in there
    await ben.types("queue list")
    assert f"<@{ben.user.id}>" in private(await ben.hears("MESSAGE_CREATE", at_least=2))


@pytest.mark.usefixtures("bot")
async def test_what_a_voice_channel_holds_is_for_who_may_join_it(
    stack: Stack, ben: Person, emulated: Emulated
) -> None:
    """Its messages are not seen by others, so neither is what is asked there."""
    voice = emulated.add_channel("talk", kind=VOICE)
    await ben.types("download", at=voice, url=link(stack, 5_000_000, 50_000))
    await ben.hears("MESSAGE_CREATE")
    cleo = somebody(emulated, "cleo")
    async with emulated.person(cleo) as other:
        await other.types("queue list")
        assert "<@" in private(await other.hears("MESSAGE_CREATE"))
        deny = int(Permission.CONNECT)
        voice.overwrites = [Overwrite(cleo.id, 1, deny=deny)]
        emulated.discord.messages.announce(voice)
        await other.types("queue list")
        assert "Nothing is waiting" in private(await other.hears("MESSAGE_CREATE", at_least=2))


@pytest.mark.usefixtures("bot")
async def test_ready_is_not_said_of_what_somebody_asked_for_alone(
    stack: Stack, ben: Person, emulated: Emulated
) -> None:
    """A private request is its own secret, until somebody asks in the open."""
    url = link(stack)
    await ben.types("download", url=url, private=True)
    await ended(ben, (await ben.hears("MESSAGE_CREATE"))["id"])
    async with emulated.person(somebody(emulated, "cleo")) as other:
        assert [url] == [each["name"] for each in await other.completes("download", "url", url)]
        mine = await ben.completes("download", "url", url)
        assert [f"ready · {url}"] == [each["name"] for each in mine]
        await ben.types("download", url=url)
        await ended(ben, (await ben.hears("MESSAGE_CREATE", at_least=2))["id"])
        now = await other.completes("download", "url", url)
        assert [f"ready · {url}"] == [each["name"] for each in now]


async def test_a_link_ends_with_its_message(
    stack: Stack, ben: Person, emulated: Emulated, bot: BotProcess
) -> None:
    """A moderator deletes the message in Discord; also while the bot was away it is not forgotten
    when it is edited.
    """
    await publishing(stack, bot)
    emulated.guild.upload_bytes = 100_000
    await ben.types("download", url=link(stack, 300_000))
    first = await ben.hears("MESSAGE_CREATE")
    over = await ended(ben, first["id"])
    there = str(over["content"]).partition("Download it here: <")[2].partition(">")[0]
    async with aiohttp.ClientSession() as session:
        async with session.get(there) as answer:
            assert 200 == answer.status
        async with emulated.person(emulated.ada) as moderator:
            await moderator.ask("DELETE", f"/channels/{emulated.channel.id}/messages/{first['id']}")

        async def ended_() -> bool:
            async with session.get(there) as answer:
                return answer.status == 404

        for _ in range(100):
            if await ended_():
                return
    raise AssertionError("the link still works")


@pytest.mark.bot(USER_INSTALL="true")
@pytest.mark.usefixtures("bot")
async def test_where_only_the_person_has_the_bot(
    stack: Stack, ben: Person, emulated: Emulated
) -> None:
    """In a server that does not have it: seen by all where one may use external apps, else by
    oneself alone.
    """
    emulated.application.installed_by.add(ben.user.id)
    world = emulated.discord.world
    guild = world.add_guild(
        "Elsewhere", emulated.ada, everyone=emulated.guild.roles[emulated.guild.id].permissions
    )
    world.join(guild, emulated.ben)
    channel = world.add_channel(guild, "lounge")
    await ben.types("download", at=channel, url=link(stack))
    first = await ben.hears("MESSAGE_CREATE")
    done = await ended(ben, first["id"])
    assert 1 == len(done["attachments"])
    assert not done["flags"] & 64
    everyone = guild.roles[guild.id]
    everyone.permissions &= ~int(Permission.USE_EXTERNAL_APPS)
    await ben.types("download", at=channel, url=link(stack))
    second = await ben.hears("MESSAGE_CREATE", at_least=2)
    alone = await ended(ben, second["id"])
    assert 1 == len(alone["attachments"])
    assert alone["flags"] & 64
    assert {True} == {
        bool(job.spec.delivery and job.spec.delivery.discord and job.spec.delivery.discord.private)
        for job in stack.jobs().values()
        if job.name.endswith(str(second["interaction_metadata"]["id"]))
    }
