"""A person at the page of the Discord in a box, with the real bot and all behind it."""

import secrets

import pytest
from playwright.async_api import expect

from bot_process import link
from browsing import accessible, download, opened, plays
from emulated import Emulated
from stack import Stack
from trawler_sandbox.discord.world import PRIVATE_THREAD

pytestmark = pytest.mark.timeout(240)


@pytest.mark.usefixtures("bot")
async def test_a_person_downloads_by_keyboard_plays_it_and_cancels_another(
    stack: Stack, emulated: Emulated
) -> None:
    """A completion, a percentage that moves, a file that plays, Cancel: no mouse."""
    async with opened(emulated.hub.address) as page:
        first = link(stack, 600_000, 100_000)
        await download(page, first)
        percents = page.get_by_text(" % · ")
        await expect(percents).to_be_visible()
        seen = await percents.inner_text()
        await expect(percents).not_to_have_text(seen)
        await plays(page)
        await accessible(page)

        second = f"{stack.address}/video/{secrets.token_hex(6)}.mp4?bytes=5000000&rate=50000"
        await download(page, second)
        cancel = page.get_by_role("button", name="Cancel")
        await cancel.focus()
        await page.keyboard.press("Enter")
        await expect(page.get_by_text("Cancelled.")).to_be_visible()
        await expect(cancel).to_have_count(0)

        # what was typed once is offered, and what is stored is marked
        await page.get_by_role("combobox", name="Message").focus()
        await page.keyboard.type("/dow")
        await page.keyboard.press("Enter")
        await expect(page.get_by_role("combobox", name="url")).to_be_focused()
        offered = page.get_by_role("listbox", name="Suggestions for url").get_by_role("option")
        await expect(offered).to_have_count(2)
        await expect(offered.filter(has_text="ready")).to_have_count(1)


def page_link(stack: Stack, **query: str | int) -> str:
    words = "&".join(f"{key}={value}" for key, value in query.items())
    return f"{stack.address}/page/{secrets.token_hex(6)}?{words}"


@pytest.mark.usefixtures("bot")
async def test_smaller_that_fails_keeps_the_file_and_from_audio_there_is_a_way_back(
    stack: Stack, emulated: Emulated
) -> None:
    """As somebody sees it who presses."""
    async with opened(emulated.hub.address) as page:
        await download(page, page_link(stack, bytes=200_000, title="Clip"))
        video = page.locator("video")
        await expect(video).to_be_visible()
        await page.get_by_role("button", name="Smaller").click()
        await expect(
            page.get_by_text("The smallest version this site has is 240p.")
        ).to_be_visible()
        await expect(video).to_be_visible()
        await expect(page.get_by_role("button", name="Smaller")).to_have_count(0)
        await page.get_by_role("button", name="Audio").click()
        await expect(page.locator("audio")).to_be_visible()
        await expect(video).to_have_count(0)
        await page.get_by_role("button", name="Video").click()
        await expect(video).to_be_visible()
        await plays(page)
        await accessible(page)


@pytest.mark.usefixtures("bot")
async def test_an_album_of_twelve_is_removed_whole(stack: Stack, emulated: Emulated) -> None:
    """Ten and two, by one press."""
    async with opened(emulated.hub.address) as page:
        await download(page, f"{stack.address}/album/{secrets.token_hex(6)}?count=12")
        await expect(page.locator("figure")).to_have_count(12, timeout=60_000)
        await expect(page.locator("article")).to_have_count(2)
        await page.get_by_role("button", name="Remove").click()
        await expect(page.locator("article")).to_have_count(0)


@pytest.mark.usefixtures("bot")
async def test_a_private_thread_is_not_seen_by_an_outsider(
    stack: Stack, emulated: Emulated
) -> None:
    """Neither it nor what is asked for in it, by `/queue list` typed in full."""
    thread = emulated.add_channel(
        "plans",
        kind=PRIVATE_THREAD,
        parent_id=emulated.channel.id,
        owner_id=emulated.ben.id,
        members={emulated.ben.id, emulated.application.id},
    )
    async with opened(emulated.hub.address) as page:
        await page.get_by_label("You are").select_option(label="ben")
        await page.get_by_role("button", name="plans").click()
        await expect(page.get_by_role("heading", name="↳ plans")).to_be_visible()
        await download(page, link(stack, 5_000_000, 50_000))
        await expect(page.get_by_text(" % · ")).to_be_visible()
        await page.get_by_label("You are").select_option(label="cleo")
        await expect(page.get_by_role("status")).to_have_text("Connected as cleo")
        await expect(page.get_by_role("button", name="plans")).to_have_count(0)
        await page.get_by_role("combobox", name="Message").fill("/queue list")
        await page.keyboard.press("Enter")
        await page.get_by_role("button", name="Send").click()
        await expect(page.get_by_text("Nothing is waiting or running here.")).to_be_visible()
    assert thread.messages


@pytest.mark.usefixtures("bot")
async def test_a_message_that_is_deleted_natively_ends_its_job(
    stack: Stack, emulated: Emulated
) -> None:
    """By the menu that every message has, not by a button of ours."""
    async with opened(emulated.hub.address) as page:
        await download(page, link(stack, 5_000_000, 50_000))
        going = page.get_by_text(" % · ")
        await expect(going).to_be_visible()
        await going.click(button="right")
        await page.get_by_role("button", name="Delete message").press("Enter")
        await expect(page.locator("article")).to_have_count(0)
        await stack.until(
            lambda: {"Cancelled"} == {str(job.status.phase) for job in stack.jobs().values()},
            what="no job",
        )
    await stack.nothing_left()


@pytest.mark.usefixtures("bot")
async def test_a_german_in_an_english_server_takes_a_link_of_other_letters(
    stack: Stack, emulated: Emulated
) -> None:
    """Commands, words and buttons are in the language of who asks; the link is shown as it was
    written.
    """
    emulated.ada.locale = "de"
    async with opened(emulated.hub.address) as page:
        written = f"{stack.address}/video/\u0432\u0438\u0434\u0435\u043e-{secrets.token_hex(4)}.mp4"
        await page.get_by_role("combobox", name="Message").fill("/herunter")
        commands = page.get_by_role("listbox", name="Commands")
        await expect(commands.get_by_role("option")).to_have_count(1)
        await page.keyboard.press("Enter")
        await page.get_by_role("combobox", name="link").fill(written)
        await page.get_by_role("button", name="Send").click()
        await expect(page.get_by_role("link", name=written)).to_be_visible()
        await expect(page.locator("video")).to_be_visible()
        for label in ("Wiederholen", "Audio", "Entfernen"):
            await expect(page.get_by_role("button", name=label)).to_be_visible()
        await accessible(page)
