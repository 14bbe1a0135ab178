"""The emulator's page in a real browser: by keyboard, live, and harmless whatever a message says."""

import asyncio
import io
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import discord
import pytest
import pytest_asyncio
from discord import app_commands
from playwright.async_api import Page, Route, expect

from browsing import accessible, download, opened, plays
from emulated import Emulated, Person, Stock
from trawler_sandbox.media import Studio


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
