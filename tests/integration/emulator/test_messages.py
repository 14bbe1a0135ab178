"""Messages of a stock discord.py client: sent, edited, refused; heard by the people there."""

import asyncio
import hashlib
import io
from typing import Any

import aiohttp
import discord
import pytest

from emulated import Emulated, Person, Stock
from trawler_sandbox.discord.permissions import USUAL, Permission
from trawler_sandbox.discord.world import Overwrite

MIB = 1024 * 1024


def channel_of(stock: Stock, emulated: Emulated) -> discord.TextChannel:
    found = stock.get_channel(emulated.channel.id)
    assert isinstance(found, discord.TextChannel)
    return found


def file(size: int, name: str = "a.bin") -> discord.File:
    return discord.File(io.BytesIO(b"x" * size), name)


def deny(emulated: Emulated, *bits: Permission) -> None:
    """To the bot, in the one channel."""
    denied = sum(int(each) for each in bits)
    emulated.channel.overwrites = [Overwrite(emulated.application.id, 1, deny=denied)]


async def test_it_knows_its_guild_and_the_people_there(stock: Stock, emulated: Emulated) -> None:
    """What READY and GUILD_CREATE say is what discord.py needs."""
    guild = stock.get_guild(emulated.guild.id)
    assert guild is not None
    assert stock.user is not None
    assert ("Harbour", "trawler", ["general", "media"]) == (
        guild.name,
        stock.user.name,
        [each.name for each in guild.text_channels],
    )
    assert (await stock.application_info()).id == emulated.application.id
    assert (await guild.fetch_member(emulated.ben.id)).name == "ben"
    assert (await stock.fetch_user(emulated.ada.id)).name == "ada"


async def test_a_message_is_sent_edited_heard_and_deleted(
    stock: Stock, ben: Person, emulated: Emulated
) -> None:
    """With an embed and buttons, by everybody who sees the channel."""
    view = discord.ui.View()
    view.add_item(discord.ui.Button(label="Cancel", custom_id="cancel:1"))
    embed = discord.Embed(title="A title", description="words")
    sent = await channel_of(stock, emulated).send("one", embed=embed, view=view)
    heard = await ben.hears("MESSAGE_CREATE")
    assert ("one", "A title") == (heard["content"], heard["embeds"][0]["title"])
    assert "cancel:1" == heard["components"][0]["components"][0]["custom_id"]
    partial = channel_of(stock, emulated).get_partial_message(sent.id)
    await partial.edit(content="two", embed=None, view=None)
    changed = await ben.hears("MESSAGE_UPDATE")
    assert ("two", [], []) == (changed["content"], changed["embeds"], changed["components"])
    assert changed["edited_timestamp"]
    await partial.delete()
    assert str(sent.id) == (await ben.hears("MESSAGE_DELETE"))["id"]
    with pytest.raises(discord.NotFound) as refused:
        await partial.fetch()
    assert 10008 == refused.value.code


async def test_files_come_back_as_they_were_sent_and_edits_keep_or_drop_them(
    stock: Stock, emulated: Emulated
) -> None:
    """By absolute address, in parts too."""
    sent = await channel_of(stock, emulated).send(
        files=[file(300_000, "a b.mp4"), file(5, "c.txt")]
    )
    first, second = sent.attachments
    assert hashlib.sha256(b"x" * 300_000).digest() == hashlib.sha256(await first.read()).digest()
    assert ("a_b.mp4", "video/mp4", 300_000) == (first.filename, first.content_type, first.size)
    async with (
        aiohttp.ClientSession() as session,
        session.get(first.url, headers={"Range": "bytes=100-199"}) as part,
    ):
        assert (206, 100) == (part.status, len(await part.read()))
    await sent.edit(attachments=[second, file(7, "d.txt")])
    again = await sent.fetch()
    assert ["c.txt", "d.txt"] == [each.filename for each in again.attachments]


@pytest.mark.parametrize(
    ("more", "code"),
    [
        ({"content": "x" * 2001}, 50035),
        ({"files": 11}, 50035),
        ({"content": ""}, 50006),
        ({"size": 10 * MIB + 1}, 40005),
    ],
)
async def test_what_is_too_much_is_refused(
    stock: Stock, emulated: Emulated, more: dict[str, Any], code: int
) -> None:
    """Before anybody sees it."""
    files = [file(1) for _ in range(more.get("files", 0))]
    files += [file(more["size"])] if "size" in more else []
    with pytest.raises(discord.HTTPException) as refused:
        await channel_of(stock, emulated).send(more.get("content"), files=files)
    assert code == refused.value.code
    assert {} == emulated.channel.messages


async def test_a_size_below_the_announced_one_may_be_refused_too(
    stock: Stock, emulated: Emulated
) -> None:
    """As JSON, or as the page of a proxy that stands before Discord."""
    emulated.guild.upload_bytes, emulated.guild.refused_bytes = 100 * MIB, 1000
    with pytest.raises(discord.HTTPException) as refused:
        await channel_of(stock, emulated).send(file=file(1001))
    assert (413, 40005) == (refused.value.status, refused.value.code)
    async with aiohttp.ClientSession() as session:
        fault = {"method": "POST", "path": "/messages", "status": 413, "html": True}
        address = emulated.hub.address + "/_control/answer"
        async with session.post(address, json=fault) as answer:
            assert 200 == answer.status
    with pytest.raises(discord.HTTPException) as page:
        await channel_of(stock, emulated).send(file=file(10))
    assert (413, 0) == (page.value.status, page.value.code)


async def test_permissions_follow_roles_and_overwrites(stock: Stock, emulated: Emulated) -> None:
    """50013 for what one may not do, 50001 for what one may not see."""
    where = channel_of(stock, emulated)
    deny(emulated, Permission.ATTACH_FILES)
    with pytest.raises(discord.Forbidden) as refused:
        await where.send(file=file(1))
    assert 50013 == refused.value.code
    await where.send("words are fine")
    deny(emulated, Permission.VIEW_CHANNEL)
    with pytest.raises(discord.Forbidden) as hidden:
        await where.send("nobody sees this")
    assert 50001 == hidden.value.code
    emulated.channel.overwrites = []
    emulated.guild.roles[emulated.guild.id].permissions = USUAL & ~Permission.SEND_MESSAGES
    with pytest.raises(discord.Forbidden):
        await where.send("not here either")


async def test_the_same_nonce_is_the_same_message(stock: Stock, emulated: Emulated) -> None:
    """For some minutes; later it is another one."""
    where = channel_of(stock, emulated)
    first = await where.send("once", nonce="job-1")
    again = await where.send("once", nonce="job-1")
    assert (first.id, 1) == (again.id, len(emulated.channel.messages))
    emulated.hub.skipped += 400
    later = await where.send("once", nonce="job-1")
    assert later.id != first.id
    with pytest.raises(discord.HTTPException) as refused:
        await where.send("once", nonce="n" * 26)
    assert 50035 == refused.value.code


async def test_an_old_message_takes_only_so_many_edits(stock: Stock, emulated: Emulated) -> None:
    """30046 after an hour. With `Via`, as all that comes from Discord: the library takes it for a
    limit that passes.
    """
    codes: list[int] = []
    emulated.hub.observers.append(lambda seen: codes.append((seen.answer or {}).get("code", 0)))
    emulated.hub.limits.old_edits = 1
    sent = await channel_of(stock, emulated).send("young")
    for number in range(3):
        await sent.edit(content=f"still young {number}")
    emulated.hub.skipped += 3601
    await sent.edit(content="the last one")
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(1):
            await sent.edit(content="one too many")
    assert [30046] == [code for code in codes if code]


async def test_threads_are_started_once_archived_and_locked(
    stock: Stock, ben: Person, emulated: Emulated
) -> None:
    """160004, 50083; writing opens what is not locked."""
    sent = await channel_of(stock, emulated).send("an album")
    thread = await sent.create_thread(name="the rest")
    assert "the rest" == (await ben.hears("THREAD_CREATE"))["name"]
    with pytest.raises(discord.HTTPException) as twice:
        await sent.create_thread(name="again")
    assert 160004 == twice.value.code
    inside = await thread.send("picture 11")
    kept = emulated.guild.channels[thread.id]
    emulated.discord.messages.archive(kept, archived=True, locked=False)
    with pytest.raises(discord.HTTPException) as archived:
        await inside.edit(content="changed")
    assert 50083 == archived.value.code
    await thread.send("opens it again")
    assert not kept.archived
    emulated.discord.messages.archive(kept, archived=True, locked=True)
    with pytest.raises(discord.HTTPException) as locked:
        await thread.send("no")
    assert 50083 == locked.value.code


async def test_automod_refuses_messages_and_edits(stock: Stock, emulated: Emulated) -> None:
    """In embeds too."""
    emulated.guild.blocked_words = ["kraken"]
    where = channel_of(stock, emulated)
    with pytest.raises(discord.HTTPException) as refused:
        await where.send(embed=discord.Embed(title="The Kraken wakes"))
    assert 200000 == refused.value.code
    sent = await where.send("harmless")
    with pytest.raises(discord.HTTPException):
        await sent.edit(content="release the KRAKEN")


async def test_nobody_edits_what_another_wrote(
    stock: Stock, ben: Person, emulated: Emulated
) -> None:
    """50005; deleting it needs Manage Messages."""
    said = await ben.says("mine")
    theirs = channel_of(stock, emulated).get_partial_message(int(said["id"]))
    with pytest.raises(discord.Forbidden) as refused:
        await theirs.edit(content="ours")
    assert 50005 == refused.value.code
    with pytest.raises(discord.Forbidden) as kept:
        await theirs.delete()
    assert 50013 == kept.value.code


async def test_who_is_pinged_is_who_may_be(stock: Stock, ben: Person, emulated: Emulated) -> None:
    """`allowed_mentions` decides, not the text."""
    where = channel_of(stock, emulated)
    text = f"<@{emulated.ben.id}> @everyone"
    await where.send(text, allowed_mentions=discord.AllowedMentions.none())
    quiet = await ben.hears("MESSAGE_CREATE")
    assert ([], False) == (quiet["mentions"], quiet["mention_everyone"])
    only = discord.AllowedMentions(users=[discord.Object(emulated.ben.id)], everyone=False)
    await where.send(text, allowed_mentions=only)
    loud = await ben.hears("MESSAGE_CREATE", at_least=2)
    assert ([str(emulated.ben.id)], False) == (
        [each["id"] for each in loud["mentions"]],
        loud["mention_everyone"],
    )


async def test_without_the_intent_a_bot_reads_only_what_is_meant_for_it(
    stock: Stock, ben: Person, emulated: Emulated
) -> None:
    """Its content is empty unless the bot is mentioned, or it is a private message."""
    await ben.says("not for you")
    await ben.says(f"<@{emulated.application.id}> for you")
    await stock.event_of("message", at_least=2)
    first, second = [args[0] for name, args in stock.seen if name == "message"]
    assert "" == first.content
    assert second.content.endswith("for you")


async def test_reactions_private_messages_history_and_typing(
    stock: Stock, ben: Person, emulated: Emulated
) -> None:
    """The rest of what the bot does in a channel."""
    where = channel_of(stock, emulated)
    said = await ben.says("a link")
    partial = where.get_partial_message(int(said["id"]))
    await partial.add_reaction("⏳")
    assert "⏳" == (await ben.hears("MESSAGE_REACTION_ADD"))["emoji"]["name"]
    shown = await partial.fetch()
    assert [("⏳", 1, True)] == [(str(r.emoji), r.count, r.me) for r in shown.reactions]
    assert stock.user is not None
    await partial.remove_reaction("⏳", stock.user)
    await ben.hears("MESSAGE_REACTION_REMOVE")
    async with where.typing():
        await asyncio.sleep(0)
    reply = await partial.reply("done", mention_author=False)
    assert reply.reference is not None
    assert ["done", ""] == [each.content async for each in where.history(limit=5)]
    user = await stock.fetch_user(emulated.ben.id)
    await user.send("in private")
    assert "in private" == (await ben.hears("MESSAGE_CREATE", at_least=3))["content"]
    emulated.ben.accepts_dms = False
    with pytest.raises(discord.Forbidden) as closed:
        await user.send("no more")
    assert 50007 == closed.value.code
