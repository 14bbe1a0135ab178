"""Commands, completions, buttons and forms: a stock discord.py client answers, a person waits."""

import asyncio
import io
from collections.abc import Awaitable, Callable
from typing import Any

import discord
import pytest
from discord import app_commands

from emulated import Emulated, Person, Stock, until

Do = Callable[[discord.Interaction], Awaitable[None]]
LOADING = 1 << 7


async def command(stock: Stock, do: Do, *, complete: Any = None) -> None:
    """A registered `/download url` that does this."""

    async def download(interaction: discord.Interaction, url: str) -> None:
        interaction.extras["url"] = url
        await do(interaction)

    made: app_commands.Command[Any, ..., None] = app_commands.Command(
        name="download", description="Fetch a link", callback=download
    )
    if complete is not None:
        made.autocomplete("url")(complete)
    stock.tree.add_command(made)
    await stock.tree.sync()


async def test_commands_are_registered_and_a_person_finds_them(
    stock: Stock, ben: Person, emulated: Emulated
) -> None:
    """Ids stay when they are registered again; a bad name is refused."""

    async def nothing(_: discord.Interaction) -> None: ...

    await command(stock, nothing)
    index = await ben.ask("GET", f"/guilds/{emulated.guild.id}/application-command-index")
    found = index["application_commands"][0]
    assert ("download", "url") == (found["name"], found["options"][0]["name"])
    (again,) = await stock.tree.sync()
    assert found["id"] == str(again.id)
    assert ["download"] == [each.name for each in await stock.tree.fetch_commands()]
    body = [{"name": "Not A Name", "description": "x", "type": 1}]
    with pytest.raises(discord.HTTPException) as refused:
        await stock.http.bulk_upsert_global_commands(emulated.application.id, body)
    assert 50035 == refused.value.code


async def test_a_command_is_answered_edited_and_followed_up(
    stock: Stock, ben: Person, emulated: Emulated
) -> None:
    """Type 4 with text; then the original with a file, then another message."""
    done = asyncio.Event()

    async def do(interaction: discord.Interaction) -> None:
        await interaction.response.send_message(f"looking at {interaction.extras['url']}")
        file = discord.File(io.BytesIO(b"media"), "clip.mp4")
        await interaction.edit_original_response(content="done", attachments=[file])
        await interaction.followup.send("and more", wait=True)
        assert "done" == (await interaction.original_response()).content
        done.set()

    await command(stock, do)
    await ben.types("download", url="http://site/a")
    first = await ben.hears("MESSAGE_CREATE")
    assert "looking at http://site/a" == first["content"]
    assert ("download", str(emulated.ben.id)) == (
        first["interaction_metadata"]["name"],
        first["interaction_metadata"]["user"]["id"],
    )
    edited = await ben.hears("MESSAGE_UPDATE")
    assert ("done", ["clip.mp4"]) == (
        edited["content"],
        [each["filename"] for each in edited["attachments"]],
    )
    assert "and more" == (await ben.hears("MESSAGE_CREATE", at_least=2))["content"]
    await ben.hears("INTERACTION_SUCCESS")
    async with asyncio.timeout(5):
        await done.wait()
    ((kind, seconds),) = emulated.hub.counters.timings
    assert kind == "command"
    assert 0 < seconds < 3


async def test_what_is_deferred_is_filled_by_the_first_thing_that_follows(
    stock: Stock, ben: Person, emulated: Emulated
) -> None:
    """Type 5: it shows as loading, and stays one message."""

    async def do(interaction: discord.Interaction) -> None:
        await interaction.response.defer()
        await interaction.followup.send("here it is")

    await command(stock, do)
    await ben.types("download", url="x")
    assert (await ben.hears("MESSAGE_CREATE"))["flags"] & LOADING
    filled = await ben.hears("MESSAGE_UPDATE")
    assert ("here it is", 0) == (filled["content"], filled["flags"] & LOADING)
    assert 1 == len(emulated.channel.messages)


async def test_completions_reach_the_person_who_types(stock: Stock, ben: Person) -> None:
    """Type 8, within the same three seconds."""

    async def complete(_: discord.Interaction, current: str) -> list[app_commands.Choice[str]]:
        return [app_commands.Choice(name=f"recent: {current}", value="http://site/recent")]

    async def nothing(_: discord.Interaction) -> None: ...

    await command(stock, nothing, complete=complete)
    option = {"type": 3, "name": "url", "value": "htt", "focused": True}
    await ben.interacts(4, {"name": "download", "type": 1, "options": [option]}, nonce="7")
    heard = await ben.hears("APPLICATION_COMMAND_AUTOCOMPLETE_RESPONSE")
    assert ("7", "recent: htt", "http://site/recent") == (
        heard["nonce"],
        heard["choices"][0]["name"],
        heard["choices"][0]["value"],
    )


async def test_a_button_updates_its_own_message_and_only_if_it_is_there(
    stock: Stock, ben: Person, emulated: Emulated
) -> None:
    """Type 7; a disabled button cannot be pressed."""

    class Cancel(discord.ui.View):
        @discord.ui.button(label="Cancel", custom_id="cancel")
        async def cancel(self, interaction: discord.Interaction, button: Any) -> None:
            button.disabled = True
            await interaction.response.edit_message(content="cancelled", view=self)

    where = stock.get_channel(emulated.channel.id)
    assert isinstance(where, discord.TextChannel)
    sent = await where.send("running", view=Cancel(timeout=None))
    await ben.presses(sent.id, "cancel")
    changed = await ben.hears("MESSAGE_UPDATE")
    assert "cancelled" == changed["content"]
    assert changed["components"][0]["components"][0]["disabled"]
    for custom_id in ("cancel", "nobody"):
        with pytest.raises(AssertionError, match="Component validation failed"):
            await ben.presses(sent.id, custom_id)


async def test_a_form_is_shown_and_sent_back(stock: Stock, ben: Person) -> None:
    """Type 9, then an interaction of type 5."""

    class Form(discord.ui.Modal, title="Clip"):
        begin: Any = discord.ui.TextInput(label="From", custom_id="from")

        async def on_submit(self, interaction: discord.Interaction) -> None:
            await interaction.response.send_message(f"from {self.begin.value}")

    async def do(interaction: discord.Interaction) -> None:
        await interaction.response.send_modal(Form(custom_id="form"))

    await command(stock, do)
    await ben.types("download", url="x")
    shown = await ben.hears("INTERACTION_MODAL_CREATE")
    assert ("form", "Clip") == (shown["custom_id"], shown["title"])
    field = {"type": 4, "custom_id": "from", "value": "0:10"}
    rows = [{"type": 1, "components": [field]}]
    await ben.interacts(5, {"custom_id": "form", "components": rows})
    assert "from 0:10" == (await ben.hears("MESSAGE_CREATE"))["content"]


async def test_an_ephemeral_answer_is_seen_by_one_and_edited_only_by_its_token(
    stock: Stock, ben: Person, emulated: Emulated
) -> None:
    """A bot token finds no such message: 10008."""
    answered: list[discord.InteractionMessage] = []

    async def do(interaction: discord.Interaction) -> None:
        await interaction.response.send_message("only you", ephemeral=True)
        answered.append(await interaction.original_response())
        await interaction.edit_original_response(content="still only you")

    async with emulated.person(emulated.ada) as ada:
        await command(stock, do)
        await ben.types("download", url="x")
        assert "still only you" == (await ben.hears("MESSAGE_UPDATE"))["content"]
        await ben.says("a word to all")
        assert "a word to all" == (await ada.hears("MESSAGE_CREATE"))["content"]
    where = stock.get_channel(emulated.channel.id)
    assert isinstance(where, discord.TextChannel)
    with pytest.raises(discord.NotFound) as refused:
        await where.get_partial_message(answered[0].id).edit(content="to all")
    assert 10008 == refused.value.code


async def test_a_right_click_brings_the_message_along(
    stock: Stock, ben: Person, emulated: Emulated
) -> None:
    """With its content, though the bot has no intent to read it."""

    async def save(interaction: discord.Interaction, message: discord.Message) -> None:
        await interaction.response.send_message(f"saving {message.content}")

    stock.tree.add_command(app_commands.ContextMenu(name="Save media", callback=save))
    await stock.tree.sync()
    said = await ben.says("http://site/clip")
    await ben.interacts(2, {"name": "Save media", "type": 3, "target_id": said["id"]})
    answer = await ben.hears("MESSAGE_CREATE", at_least=2)
    assert "saving http://site/clip" == answer["content"]


async def refusal_of(stock: Stock, ben: Person, do: Do) -> list[discord.HTTPException]:
    """What a command was refused in the end."""
    refused: list[discord.HTTPException] = []

    async def attempt(interaction: discord.Interaction) -> None:
        try:
            await do(interaction)
        except discord.HTTPException as error:
            refused.append(error)

    await command(stock, attempt)
    await ben.types("download", url="x")
    return await until(lambda: refused)


async def test_an_answer_that_comes_late_is_refused(
    stock: Stock, ben: Person, emulated: Emulated
) -> None:
    """10062 after three seconds; the person sees that it failed."""
    emulated.hub.limits.answer_seconds = 0.2

    async def late(interaction: discord.Interaction) -> None:
        await asyncio.sleep(0.3)
        await interaction.response.send_message("too late")

    (refused,) = await refusal_of(stock, ben, late)
    assert (404, 10062) == (refused.status, refused.code)
    await ben.hears("INTERACTION_FAILURE")
    assert {} == emulated.channel.messages


async def test_a_second_answer_is_refused(stock: Stock, ben: Person) -> None:
    """40060."""

    async def twice(interaction: discord.Interaction) -> None:
        await interaction.response.send_message("one")
        interaction.response._response_type = None
        try:
            await interaction.response.send_message("two")
        except discord.InteractionResponded as error:
            raise AssertionError from error

    (refused,) = await refusal_of(stock, ben, twice)
    assert 40060 == refused.code


async def test_an_old_token_is_refused_and_the_bots_own_still_edits(
    stock: Stock, ben: Person, emulated: Emulated
) -> None:
    """50027 after fifteen minutes; the message is an ordinary one."""

    async def old(interaction: discord.Interaction) -> None:
        await interaction.response.send_message("begun")
        emulated.hub.skipped += 901
        sent = next(iter(emulated.channel.messages))
        where = stock.get_channel(emulated.channel.id)
        assert isinstance(where, discord.TextChannel)
        await where.get_partial_message(sent).edit(content="by the bot's token")
        await interaction.edit_original_response(content="by the old token")

    (refused,) = await refusal_of(stock, ben, old)
    assert (401, 50027) == (refused.status, refused.code)
    assert "by the bot's token" == (await ben.hears("MESSAGE_UPDATE"))["content"]


async def test_an_answer_that_was_deleted_is_not_found(
    stock: Stock, ben: Person, emulated: Emulated
) -> None:
    """10008 by the token too."""

    async def gone(interaction: discord.Interaction) -> None:
        await interaction.response.send_message("begun")
        await interaction.delete_original_response()
        await interaction.edit_original_response(content="where is it")

    (refused,) = await refusal_of(stock, ben, gone)
    assert 10008 == refused.code
    assert {} == emulated.channel.messages


async def test_nitro_counts_by_the_token_and_not_by_the_bots_own(
    stock: Stock, ben: Person, emulated: Emulated
) -> None:
    """`attachment_size_limit` is the greatest of guild and person."""
    emulated.guild.upload_bytes, emulated.ben.nitro_bytes = 1000, 5000

    async def big(interaction: discord.Interaction) -> None:
        assert 5000 == interaction.filesize_limit
        await interaction.response.send_message(file=discord.File(io.BytesIO(b"x" * 4000), "a.mp4"))
        where = stock.get_channel(emulated.channel.id)
        assert isinstance(where, discord.TextChannel)
        await where.send(file=discord.File(io.BytesIO(b"x" * 4000), "a.mp4"))

    (refused,) = await refusal_of(stock, ben, big)
    assert (413, 40005) == (refused.status, refused.code)
    assert 1 == len(emulated.channel.messages)
