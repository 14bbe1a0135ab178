"""What Discord's documents say and our emulator must do, judged by stock discord.py: kinds of
channels, who sees what, what is refused.
"""

import asyncio
import io
from typing import Any

import aiohttp
import discord
import pytest
from discord import app_commands

from emulated import API, Emulated, Person, Stock
from trawler_sandbox.discord.permissions import Permission
from trawler_sandbox.discord.world import (
    ANNOUNCEMENT,
    FORUM,
    PRIVATE_THREAD,
    PUBLIC_THREAD,
    VOICE,
    Overwrite,
)


def guild_of(stock: Stock, emulated: Emulated) -> discord.Guild:
    found = stock.get_guild(emulated.guild.id)
    assert found is not None
    return found


async def test_channels_of_every_kind_are_understood(stock: Stock, emulated: Emulated) -> None:
    """Each as the library's own class, age-restricted or slow where it is."""
    for name, kind in (("voice", VOICE), ("news", ANNOUNCEMENT), ("forum", FORUM)):
        emulated.add_channel(name, kind=kind, nsfw=kind == FORUM, slow_seconds=7)
    await stock.event_of("guild_channel_create", at_least=3)
    channels = {each.name: each for each in guild_of(stock, emulated).channels}
    assert isinstance(channels["voice"], discord.VoiceChannel)
    news, forum = channels["news"], channels["forum"]
    assert isinstance(news, discord.TextChannel)
    assert isinstance(forum, discord.ForumChannel)
    assert news.is_news()
    assert forum.is_nsfw()
    assert 7 == news.slowmode_delay


async def test_a_private_thread_is_seen_by_its_members_and_who_manages_threads(
    stock: Stock, ben: Person, emulated: Emulated
) -> None:
    """Others hear nothing of it, and are refused (50001)."""
    mine = {emulated.ben.id, emulated.application.id}
    thread = emulated.add_channel(
        "plans",
        kind=PRIVATE_THREAD,
        parent_id=emulated.channel.id,
        owner_id=emulated.ben.id,
        members=mine,
    )
    (heard,) = await stock.event_of("thread_create")
    assert heard.is_private()
    await ben.says("the plan", thread)
    cleo = next(u for u in emulated.discord.world.users.values() if u.name == "cleo")
    async with emulated.person(cleo) as other:
        with pytest.raises(AssertionError, match="50001"):
            await other.ask("GET", f"/channels/{thread.id}/messages")
        emulated.channel.overwrites = [Overwrite(cleo.id, 1, allow=int(Permission.MANAGE_THREADS))]
        assert ["the plan"] == [
            m["content"] for m in await other.ask("GET", f"/channels/{thread.id}/messages")
        ]
    thread.members.clear()
    with pytest.raises(discord.Forbidden):
        await stock.fetch_channel(thread.id)


async def test_a_channel_that_goes_is_gone_for_all(stock: Stock, emulated: Emulated) -> None:
    """A thread and a channel; each event tells which."""
    thread = emulated.add_channel(
        "thread", kind=PUBLIC_THREAD, parent_id=emulated.channel.id, owner_id=emulated.ada.id
    )
    await stock.event_of("thread_create")
    async with emulated.person(emulated.ada) as owner:
        await owner.ask("DELETE", f"/channels/{thread.id}")
        (gone,) = await stock.event_of("raw_thread_delete")
        assert thread.id == gone.thread_id
        await owner.ask("DELETE", f"/channels/{emulated.channel.id}")
        (channel,) = await stock.event_of("guild_channel_delete")
        assert emulated.channel.id == channel.id


async def test_slow_mode_holds_people_and_not_apps(
    stock: Stock, ben: Person, emulated: Emulated
) -> None:
    """20016, which passes."""
    emulated.channel.slow_seconds = 60
    await ben.says("one")
    with pytest.raises(AssertionError, match="20016"):
        await ben.says("two")
    channel: Any = guild_of(stock, emulated).get_channel(emulated.channel.id)
    for words in ("one", "two"):
        await channel.send(words)


@pytest.mark.parametrize(("tier", "mib"), [(0, 10), (1, 10), (2, 50), (3, 100)])
async def test_a_boosted_server_takes_larger_files(emulated: Emulated, tier: int, mib: int) -> None:
    """Announced by its level, and by each interaction."""
    emulated.guild.premium_tier = tier
    async with emulated.client() as stock:
        guild = guild_of(stock, emulated)
        assert (tier, mib * 1024 * 1024) == (guild.premium_tier, guild.filesize_limit)


async def test_what_is_too_large_as_a_whole_is_hung_up_on(stock: Stock, emulated: Emulated) -> None:
    """Before it is read: a page of what stands before Discord, with 413."""
    emulated.hub.limits.request_bytes = 100_000
    channel: Any = guild_of(stock, emulated).get_channel(emulated.channel.id)
    files = [discord.File(io.BytesIO(bytes(60_000)), f"{n}.bin") for n in range(2)]
    with pytest.raises(discord.HTTPException) as refused:
        await channel.send(files=files)
    assert 413 == refused.value.status
    assert {} == emulated.channel.messages


async def test_embeds_are_left_out_where_they_may_not_be(stock: Stock, emulated: Emulated) -> None:
    """Without a word: the message is there."""
    channel: Any = guild_of(stock, emulated).get_channel(emulated.channel.id)
    embed = discord.Embed(title="news")
    sent = await channel.send("with", embed=embed)
    assert 1 == len(sent.embeds)
    deny = int(Permission.EMBED_LINKS)
    emulated.channel.overwrites = [Overwrite(emulated.application.id, 1, deny=deny)]
    assert [] == (await channel.send("without", embed=embed)).embeds
    assert [] == (await sent.edit(embed=embed)).embeds


@pytest.mark.parametrize(
    ("given", "kept"),
    [("My clip (1).mp4", "My_clip_1.mp4"), ("a/b.mp4", "b.mp4"), ("видео 1.mp4", "видео_1.mp4")],
)
async def test_the_names_of_files_are_rewritten(
    stock: Stock, emulated: Emulated, given: str, kept: str
) -> None:
    """Spaces and brackets, as people know it."""
    channel: Any = guild_of(stock, emulated).get_channel(emulated.channel.id)
    sent = await channel.send(file=discord.File(io.BytesIO(b"x"), given.replace("/", "")))
    assert kept.replace("b.mp4", "ab.mp4") == sent.attachments[0].filename


async def test_a_session_that_ran_out_begins_anew(stock: Stock, emulated: Emulated) -> None:
    """Close code 4009: the library tries to resume, and is told to identify."""
    emulated.hub.limits.identify_seconds = 0.0
    await emulated.discord.gateway.disturb("close", code=4009)
    await stock.event_of("ready", at_least=2)
    assert 2 == emulated.hub.counters.identifies


async def test_privileged_intents_are_granted_by_a_switch(emulated: Emulated) -> None:
    """Refused before (4014); then members and words are told."""
    intents = discord.Intents.all()
    with pytest.raises(discord.PrivilegedIntentsRequired):
        async with emulated.client(intents=intents):
            pass
    async with aiohttp.ClientSession() as http:
        body = {"id": str(emulated.application.id), "privileged": 1 << 1 | 1 << 8 | 1 << 15}
        address = f"{emulated.hub.address}/_control/application"
        async with http.post(address, json=body) as answer:
            assert 200 == answer.status
    async with emulated.client(intents=intents) as stock:
        newcomer = emulated.discord.world.add_user("dora")
        emulated.discord.members.join(emulated.guild, newcomer)
        (member,) = await stock.event_of("member_join")
        assert "dora" == member.name
        emulated.discord.members.give(emulated.guild, newcomer, [])
        async with emulated.person(newcomer) as dora:
            await dora.says("hello there")
        (said,) = await stock.event_of("message")
        assert "hello there" == said.content
        emulated.discord.members.leave(emulated.guild, newcomer)
        (left,) = await stock.event_of("raw_member_remove")
        assert newcomer.id == left.user.id


async def test_what_is_forwarded_is_a_snapshot(ben: Person, emulated: Emulated) -> None:
    """With its files, as the library reads it."""
    emulated.application.privileged = 1 << 15
    async with emulated.client(
        intents=discord.Intents(guilds=True, messages=True, message_content=True)
    ) as stock:
        other = emulated.add_channel("elsewhere")
        said = await ben.says("look: https://example.com/x", other)
        original = other.messages[int(said["id"])]
        emulated.discord.messages.forward(emulated.ben, emulated.channel, original)
        (message,) = await stock.event_of("message", at_least=2)
        assert "" == message.content
        assert ["look: https://example.com/x"] == [s.content for s in message.message_snapshots]


async def test_whoever_takes_no_direct_messages_gets_none(stock: Stock, emulated: Emulated) -> None:
    """50007."""
    emulated.ben.accepts_dms = False
    person = await stock.fetch_user(emulated.ben.id)
    with pytest.raises(discord.Forbidden) as refused:
        await person.send("psst")
    assert 50007 == refused.value.code


def _command(do: Any) -> app_commands.Command[Any, ..., None]:
    @app_commands.choices(kind=[app_commands.Choice(name="Video", value="video")])
    async def fetch(interaction: discord.Interaction, url: str, kind: str | None = None) -> None:
        await do(interaction)

    return app_commands.Command(
        name="fetch",
        description="x",
        callback=fetch,
        allowed_installs=app_commands.AppInstallationType(guild=True, user=True),
        allowed_contexts=app_commands.AppCommandContext(
            guild=True, dm_channel=True, private_channel=True
        ),
    )


async def test_what_is_required_is_given_and_a_choice_is_one_of_them(
    stock: Stock, ben: Person
) -> None:
    """A client lets nobody send anything else."""

    async def do(interaction: discord.Interaction) -> None:
        await interaction.response.send_message("taken")

    stock.tree.add_command(_command(do))
    await stock.tree.sync()
    with pytest.raises(AssertionError, match="required"):
        await ben.types("fetch", kind="video")
    with pytest.raises(AssertionError, match="one of the choices"):
        await ben.types("fetch", url="x", kind="music")
    await ben.types("fetch", url="x", kind="video")
    assert "taken" == (await ben.hears("MESSAGE_CREATE"))["content"]


@pytest.mark.parametrize("wrong", ["description", "choice"])
async def test_a_definition_that_is_too_long_is_refused(
    stock: Stock, wrong: str, emulated: Emulated
) -> None:
    """Descriptions of more than a hundred characters, choices of more."""
    option: dict[str, Any] = {"type": 3, "name": "url", "description": "x"}
    if wrong == "description":
        option["description"] = "x" * 101
    else:
        option["choices"] = [{"name": "x" * 101, "value": "x"}]
    body: Any = [{"name": "fetch", "description": "x", "type": 1, "options": [option]}]
    with pytest.raises(discord.HTTPException) as refused:
        await stock.http.bulk_upsert_global_commands(emulated.application.id, body)
    assert 50035 == refused.value.code


@pytest.mark.parametrize("external", [True, False])
async def test_an_app_that_only_the_person_has(
    stock: Stock, ben: Person, emulated: Emulated, *, external: bool
) -> None:
    """No member of the server: five follow-ups, and seen by all only where external apps may be
    used.
    """
    world = emulated.discord.world
    emulated.application.installed_by.add(ben.user.id)
    rights = emulated.guild.roles[emulated.guild.id].permissions
    if not external:
        rights &= ~int(Permission.USE_EXTERNAL_APPS)
    guild = world.add_guild("Elsewhere", emulated.ada, everyone=rights)
    world.join(guild, emulated.ben)
    channel = world.add_channel(guild, "lounge")
    seen: list[Any] = []
    done = asyncio.Event()

    async def do(interaction: discord.Interaction) -> None:
        seen.append((interaction.is_guild_integration(), interaction.is_user_integration()))
        seen.append(interaction.app_permissions.attach_files)
        await interaction.response.send_message("here")
        for number in range(5):
            await interaction.followup.send(str(number))
        try:
            await interaction.followup.send("one too many")
        except discord.HTTPException as error:
            seen.append(error.code)
        done.set()

    stock.tree.add_command(_command(do))
    await stock.tree.sync()
    await ben.types("fetch", at=channel, url="x")
    await asyncio.wait_for(done.wait(), 20)
    assert [(False, True), True, 40094] == seen
    first = await ben.hears("MESSAGE_CREATE")
    assert external is not bool(first["flags"] & 64)


async def test_a_webhook_is_made_and_written(stock: Stock, ben: Person, emulated: Emulated) -> None:
    """By who may manage webhooks; its name is no name of Discord's."""
    channel: Any = guild_of(stock, emulated).get_channel(emulated.channel.id)
    with pytest.raises(discord.Forbidden):
        await channel.create_webhook(name="news")
    allow = int(Permission.MANAGE_WEBHOOKS)
    emulated.channel.overwrites = [Overwrite(emulated.application.id, 1, allow=allow)]
    with pytest.raises(discord.HTTPException):
        await channel.create_webhook(name="Discord news")
    hook = await channel.create_webhook(name="news")
    sent = await hook.send("extra, extra", wait=True)
    assert "extra, extra" == (await ben.hears("MESSAGE_CREATE"))["content"]
    assert "news" == sent.author.name


async def test_a_reply_calls_whom_it_answers(stock: Stock, ben: Person, emulated: Emulated) -> None:
    """So a bot without the intent may read it (docs, Message Content Intent); unless that is not
    wanted.
    """
    channel: Any = guild_of(stock, emulated).get_channel(emulated.channel.id)
    mine = await channel.send("a question")
    where = f"/channels/{emulated.channel.id}/messages"
    reply = {"content": "an answer", "message_reference": {"message_id": str(mine.id)}}
    told = await ben.ask("POST", where, reply)
    assert [str(emulated.application.id)] == [each["id"] for each in told["mentions"]]
    (heard,) = await stock.event_of("message", at_least=2)
    assert "an answer" == heard.content
    quiet = {**reply, "allowed_mentions": {"replied_user": False}}
    assert [] == (await ben.ask("POST", where, quiet))["mentions"]


async def test_buckets_may_be_uneven(stock: Stock, emulated: Emulated) -> None:
    """Each route tells its own, and the library waits by it."""
    emulated.discord.buckets.set(enabled=True, uneven={"POST /api/v10/channels": (2, 0.5)})
    channel: Any = guild_of(stock, emulated).get_channel(emulated.channel.id)
    told: list[str] = []
    address = f"{emulated.hub.address}{API}/channels/{emulated.channel.id}"
    headers = {"Authorization": f"Bot {emulated.application.bot.token}"}
    async with aiohttp.ClientSession(headers=headers) as http:
        async with http.post(f"{address}/messages", json={"content": "x"}) as answer:
            told.append(answer.headers["X-RateLimit-Limit"])
        async with http.get(address) as answer:
            told.append(answer.headers["X-RateLimit-Limit"])
    assert ["2", "5"] == told
    for number in range(6):
        await channel.send(str(number))
    assert emulated.hub.counters.limited <= 1
