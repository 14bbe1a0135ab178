"""The emulator's page in a real browser: by keyboard, live, and harmless whatever a message
says.
"""

import asyncio
import hashlib
import io
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import discord
import pytest
import pytest_asyncio
from discord import app_commands
from playwright.async_api import Page, Route, expect

from browsing import accessible, download, opened, plays
from emulated import API, Emulated, Person, Stock
from trawler_sandbox.discord.permissions import Permission
from trawler_sandbox.discord.server import PAGE
from trawler_sandbox.discord.world import Overwrite
from trawler_sandbox.media import Studio

LIBRARY = "72284e8e9079c87817145df1110f74e8a2aa040b2fc384922e18dfcb46fc1fd7"
"""Of htm 3.1.1's `preact/standalone.module.js`, as npm has it."""


@pytest_asyncio.fixture
async def page(emulated: Emulated) -> AsyncIterator[Page]:
    async with opened(emulated.hub.address) as found:
        yield found


class Cancel(discord.ui.View):
    """What a running job shows."""

    @discord.ui.button(label="Cancel", custom_id="cancel")
    async def cancel(self, interaction: discord.Interaction, _: Any) -> None:
        await interaction.response.edit_message(content="Cancelled.", view=None)


@pytest.fixture
def steps() -> asyncio.Semaphore:
    """How often a download may still go on."""
    return asyncio.Semaphore(0)


@pytest_asyncio.fixture
async def bot(stock: Stock, steps: asyncio.Semaphore, tmp_path: Path) -> Stock:
    """Stock discord.py with a command that behaves as ours will."""
    clip = await asyncio.to_thread(Studio(tmp_path).clip, "mp4")

    async def complete(_: discord.Interaction, current: str) -> list[app_commands.Choice[str]]:
        links = [f"http://site/{name}.mp4" for name in ("first", "second")]
        return [app_commands.Choice(name=link, value=link) for link in links if current in link]

    @app_commands.describe(url="A link", note="What for")
    @app_commands.autocomplete(url=complete)
    async def download(interaction: discord.Interaction, url: str, note: str = "") -> None:
        await interaction.response.send_message(f"0 % of {url} {note}", view=Cancel(timeout=None))
        if "second" in url:
            return
        for percent in (40, 80):
            await steps.acquire()
            await interaction.edit_original_response(content=f"{percent} %")
        await steps.acquire()
        file = discord.File(io.BytesIO(clip), "clip.mp4")
        await interaction.edit_original_response(content="Done.", attachments=[file], view=None)

    made: app_commands.Command[Any, ..., None] = app_commands.Command(
        name="download", description="Fetch a link", callback=download
    )
    stock.tree.add_command(made)

    async def save(interaction: discord.Interaction, message: discord.Message) -> None:
        await interaction.response.send_message(f"Saving {message.content}", ephemeral=True)

    stock.tree.add_command(app_commands.ContextMenu(name="Save media", callback=save))
    await stock.tree.sync()
    return stock


@pytest.mark.usefixtures("bot")
async def test_a_person_downloads_by_keyboard_and_plays_what_came(
    page: Page, steps: asyncio.Semaphore
) -> None:
    """Completion, a percentage that moves, a file that plays; Cancel on another."""
    await page.reload()
    await expect(page.get_by_role("heading", name="# general")).to_be_visible()
    await accessible(page)
    await download(page, "site")
    await expect(page.get_by_text("0 % of http://site/first.mp4")).to_be_visible()
    for percent in ("40 %", "80 %"):
        steps.release()
        await expect(page.get_by_text(percent)).to_be_visible()
    steps.release()
    await expect(page.get_by_text("Done.")).to_be_visible()
    await plays(page)
    await download(page, "site", moves=1)
    cancel = page.get_by_role("button", name="Cancel")
    await cancel.focus()
    await page.keyboard.press("Enter")
    await expect(page.get_by_text("Cancelled.")).to_be_visible()
    await expect(cancel).to_have_count(0)
    await accessible(page)


@pytest.mark.usefixtures("bot")
async def test_what_is_typed_on_is_sent_and_not_what_was_offered_before(page: Page) -> None:
    """Enter, while the list for the first letters is still in view."""
    await page.reload()
    await expect(page.get_by_role("heading", name="# general")).to_be_visible()
    await page.get_by_role("combobox", name="Message").focus()
    await page.keyboard.type("/dow")
    await page.keyboard.press("Enter")
    url = page.get_by_role("combobox", name="url")
    await expect(url).to_be_focused()
    await page.keyboard.type("http://site/")
    offered = page.get_by_role("listbox", name="Suggestions for url").get_by_role("option")
    await expect(offered).to_have_count(2)
    await page.evaluate(
        """() => {
            const url = document.activeElement;
            url.value = "http://site/second.mp4?t=9";
            url.dispatchEvent(new Event("input", { bubbles: true }));
        }"""
    )
    await page.keyboard.press("Enter")
    await expect(page.get_by_text("0 % of http://site/second.mp4?t=9")).to_be_visible()


@pytest.mark.usefixtures("bot")
async def test_an_answer_for_one_is_marked_and_dismissed(page: Page, ben: Person) -> None:
    """By right click, on what somebody else just wrote."""
    await page.reload()
    await expect(page.get_by_role("heading", name="# general")).to_be_visible()
    await ben.says("look: http://site/a")
    said = page.get_by_text("look:")
    await expect(said).to_be_visible()
    await said.click(button="right")
    await page.get_by_role("button", name="Save media").press("Enter")
    await expect(page.get_by_text("Only you can see this.")).to_be_visible()
    await accessible(page)
    await page.get_by_role("button", name="Dismiss").click()
    await expect(page.get_by_text("Only you can see this.")).to_have_count(0)


@pytest.mark.usefixtures("bot")
@pytest.mark.parametrize("late", ["**/application-command-index", "**/messages?limit=50"])
async def test_what_is_written_while_a_channel_opens_is_shown(
    page: Page, ben: Person, late: str
) -> None:
    """Whichever answer comes late; and it can be right-clicked like any other."""

    async def hold(route: Route) -> None:
        answer = await route.fetch()
        await ben.says("look: http://site/a")
        await ben.hears("MESSAGE_CREATE")
        await asyncio.sleep(0.5)  # the page hears it too, before this answer
        await route.fulfill(response=answer)

    await page.route(late, hold, times=1)
    await page.reload()
    said = page.get_by_text("look:")
    await expect(said).to_be_visible()
    await said.click(button="right")
    await expect(page.get_by_role("button", name="Save media")).to_be_visible()


async def test_what_strangers_write_stays_text(page: Page, ben: Person) -> None:
    """No markup, no script, no address but http."""
    for words in ("<img src=x onerror=alert(1)>", "[x](javascript:alert(1))", "<b>bold</b>"):
        await ben.says(words)
        await expect(page.get_by_text(words, exact=True)).to_be_visible()
    assert 0 == await page.locator("#log img, #log b, #log a").count()


async def test_the_page_comes_back_after_its_connection_was_lost(
    page: Page, ben: Person, emulated: Emulated
) -> None:
    """And says so meanwhile."""
    for session in list(emulated.discord.gateway.sessions.values()):
        if session.user is emulated.ada and session.socket is not None:
            await session.socket.close(code=1001)
    status = page.get_by_role("status")
    await expect(status).to_have_text("Connection lost; trying again …")
    await expect(status).to_have_text("Connected as ada")
    await ben.says("still there?")
    await expect(page.get_by_text("still there?")).to_be_visible()


async def test_a_command_that_is_not_finished_is_not_posted(
    page: Page, emulated: Emulated, bot: Stock
) -> None:
    """Nor is one that there is not; one typed in full is found, and an option that is missing is
    asked for.
    """
    await page.reload()
    await expect(page.get_by_role("heading", name="# general")).to_be_visible()
    message = page.get_by_role("combobox", name="Message")
    await message.focus()
    await page.keyboard.type("/nonsense")
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("alert")).to_contain_text("There is no such command here.")
    await message.fill("/download")
    commands = page.get_by_role("listbox", name="Commands")
    await expect(commands.get_by_role("option")).to_have_count(1)
    await page.keyboard.press("Escape")
    await expect(commands).to_have_count(0)
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("combobox", name="url")).to_be_focused()
    await page.get_by_role("button", name="Send").click()
    assert "" == await page.get_by_role("combobox", name="url").input_value()
    await page.keyboard.press("Escape")
    await expect(message).to_be_focused()
    assert {} == emulated.channel.messages
    assert bot.is_ready()


@pytest.mark.usefixtures("bot")
async def test_an_option_is_added_inline(page: Page) -> None:
    """By a button that says what it is; the answer says who used what."""
    await page.reload()
    await expect(page.get_by_role("heading", name="# general")).to_be_visible()
    await page.get_by_role("combobox", name="Message").fill("/download ")
    await page.keyboard.press("Enter")
    await page.get_by_role("combobox", name="url").fill("http://site/second.mp4")
    await page.get_by_role("button", name="+ note").click()
    await page.get_by_label("note: What for").fill("a test")
    await accessible(page)
    await page.keyboard.press("Enter")
    await expect(page.get_by_text("0 % of http://site/second.mp4 a test")).to_be_visible()
    await expect(page.get_by_text("Ada used /download")).to_be_visible()


async def test_one_may_be_somebody_else_without_a_word_of_trouble(page: Page, ben: Person) -> None:
    """What one reads is the other's; nothing was lost."""
    told: list[str] = []

    async def hear(words: str) -> None:
        told.append(words)

    await page.expose_function("told", hear)
    await page.evaluate(
        """() => {
            const state = document.getElementById("state")
            new MutationObserver(() => window.told(state.textContent))
                .observe(state, { childList: true, characterData: true, subtree: true })
        }"""
    )
    await page.get_by_label("You are").select_option(label="cleo")
    await expect(page.get_by_role("status")).to_have_text("Connected as cleo")
    await ben.says("hello cleo")
    await expect(page.get_by_text("hello cleo")).to_be_visible()
    assert not any("lost" in each for each in told)


async def test_markdown_looks_as_in_discord(page: Page, ben: Person) -> None:
    """What is escaped shows itself; a spoiler is hidden until one wants it; the next message stands
    with the first.
    """
    await ben.says("**Clip \\(1\\) \\*live\\*** <http://site/a> ||the end||")
    await ben.says("-# small words")
    await expect(page.get_by_text("Clip (1) *live*")).to_be_visible()
    await expect(page.get_by_role("link", name="http://site/a")).to_be_visible()
    await expect(page.get_by_text("the end")).to_have_count(0)
    await page.get_by_role("button", name="Spoiler: show").click()
    await expect(page.get_by_text("the end")).to_be_visible()
    await expect(page.get_by_text("small words", exact=True)).to_be_visible()
    await expect(page.get_by_role("heading", name="Ben")).to_have_count(1)


@pytest.mark.parametrize("width", [380, 1200])
@pytest.mark.parametrize("theme", ["dark", "light"])
async def test_everybody_can_use_it(page: Page, ben: Person, theme: str, width: int) -> None:
    """axe finds nothing in either theme, narrow or wide; on a phone the channels come by a
    button.
    """
    await page.set_viewport_size({"width": width, "height": 800})
    await page.emulate_media(color_scheme="light" if theme == "light" else "dark")
    await page.evaluate("() => localStorage.clear()")
    await page.reload()
    await ben.says("a word with `code`, https://site/x and <@1>")
    await expect(page.get_by_text("a word with")).to_be_visible()
    assert theme == await page.evaluate("() => document.documentElement.dataset.theme")
    await accessible(page)
    if width == 380:
        await page.get_by_role("button", name="Channels").click()
    await page.get_by_role("button", name="media", exact=True).click()
    await expect(page.get_by_role("heading", name="# media")).to_be_visible()
    await page.get_by_role("combobox", name="Message").fill("/")
    await accessible(page)
    wide = "() => document.documentElement.scrollWidth <= document.documentElement.clientWidth"
    assert await page.evaluate(wide), "nothing is wider than the window"


@pytest.mark.parametrize("mark", ["**", "*", "__", "~~", "||", "`"])
async def test_no_message_holds_up_the_page(page: Page, ben: Person, mark: str) -> None:
    """A mark that is never closed, before two thousand characters that could have been escaped."""
    await ben.says(mark + "\\_" * 990)
    await ben.says("after it")
    await expect(page.get_by_text("after it")).to_be_visible()


@pytest.mark.usefixtures("bot")
async def test_the_command_list_is_walked_by_keyboard_and_takes_what_is_typed_behind(
    page: Page,
) -> None:
    """Arrow keys move; a link behind the name is its first option."""
    await page.reload()
    await expect(page.get_by_role("heading", name="# general")).to_be_visible()
    message = page.get_by_role("combobox", name="Message")
    await message.fill("/download http://site/second.mp4")
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("combobox", name="url")).to_have_value("http://site/second.mp4")
    await page.keyboard.press("Escape")
    await message.fill("/")
    selected = page.get_by_role("listbox", name="Commands").locator("[aria-selected=true]")
    await expect(selected).to_have_count(1)
    await page.keyboard.press("ArrowUp")
    await page.keyboard.press("ArrowDown")
    await expect(selected).to_contain_text("/download")


@pytest.mark.usefixtures("bot")
async def test_the_menu_of_a_message_can_be_clicked(page: Page, ben: Person) -> None:
    """Also where the message is one line, and another one follows."""
    await page.reload()
    await expect(page.get_by_role("heading", name="# general")).to_be_visible()
    for number in range(3):
        await ben.says(f"line {number}")
    first = page.get_by_text("line 0", exact=True)
    await first.click(button="right")
    await page.get_by_role("button", name="Save media").click()
    await expect(page.get_by_text("Saving line 0")).to_be_visible()
    await page.get_by_role("button", name="Dismiss", exact=True).click()
    await first.click(button="right")
    await expect(page.get_by_role("button", name="Save media")).to_be_focused()
    await page.keyboard.press("Escape")
    await expect(page.get_by_role("button", name="Save media")).to_have_count(0)
    await page.reload()
    await expect(first).to_be_visible()
    await expect(page.get_by_text("Saving line 0")).to_have_count(0)


async def test_an_edit_of_what_is_not_shown_shows_nothing(
    page: Page, ben: Person, emulated: Emulated
) -> None:
    """It is older than what is loaded."""
    old = await ben.says("long ago")
    for number in range(55):
        await ben.says(f"later {number}")
    await page.reload()
    await expect(page.get_by_text("later 54")).to_be_visible()
    await expect(page.get_by_text("long ago")).to_have_count(0)
    await ben.ask(
        "PATCH", f"/channels/{emulated.channel.id}/messages/{old['id']}", {"content": "edited"}
    )
    await ben.says("the last one")
    await expect(page.get_by_text("the last one")).to_be_visible()
    await expect(page.get_by_text("edited", exact=True)).to_have_count(0)


async def test_a_page_of_somebody_else_learns_no_tokens(emulated: Emulated) -> None:
    """In the same browser, by a form or a script."""
    address = f"{emulated.hub.address}/_control/people"
    async with aiohttp.ClientSession() as http:
        async with http.get(address, headers={"Origin": "https://evil.example"}) as answer:
            assert 403 == answer.status
        async with http.get(address, headers={"Origin": emulated.hub.address}) as answer:
            assert 200 == answer.status


async def test_a_channel_that_one_may_not_see_is_not_listed(page: Page, emulated: Emulated) -> None:
    """By whoever is shut out of it; others see it."""
    hidden = emulated.add_channel("moderators")
    hidden.overwrites = [Overwrite(emulated.ben.id, 1, deny=int(Permission.VIEW_CHANNEL))]
    await page.reload()
    await expect(page.get_by_role("button", name="moderators")).to_be_visible()
    await page.get_by_label("You are").select_option(label="ben")
    await expect(page.get_by_role("status")).to_have_text("Connected as ben")
    await expect(page.get_by_role("button", name="media", exact=True)).to_be_visible()
    await expect(page.get_by_role("button", name="moderators")).to_have_count(0)


async def test_what_somebody_uploads_runs_nowhere(ben: Person, emulated: Emulated) -> None:
    """Neither a page nor a drawing, at the address from which the page's own tokens come."""
    form = aiohttp.FormData()
    form.add_field("payload_json", "{}")
    form.add_field(
        "files[0]", b"<script>alert(1)</script>", filename="x.html", content_type="text/html"
    )
    address = f"{emulated.hub.address}{API}/channels/{emulated.channel.id}/messages"
    async with aiohttp.ClientSession(headers={"Authorization": ben.user.token}) as http:
        async with http.post(address, data=form) as answer:
            there = (await answer.json())["attachments"][0]["url"]
        async with http.get(there) as answer:
            assert "sandbox" in answer.headers["Content-Security-Policy"]
            assert "nosniff" == answer.headers["X-Content-Type-Options"]


async def test_the_page_is_all_ours(page: Page, emulated: Emulated) -> None:
    """Nothing is fetched from anywhere else, and the one library in it is the one that was
    reviewed.
    """
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    await page.reload()
    await expect(page.get_by_role("heading", name="# general")).to_be_visible()
    assert asked
    assert all(url.startswith((emulated.hub.address, "data:")) for url in asked)
    vendored = PAGE / "vendor" / "htm-preact.js"
    assert LIBRARY == hashlib.sha256(vendored.read_bytes()).hexdigest()
