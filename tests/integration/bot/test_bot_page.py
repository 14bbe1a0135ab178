"""A person at the page of the Discord in a box, with the real bot and all behind it."""

import secrets

import pytest
from playwright.async_api import expect

from botting import link
from browsing import accessible, download, opened, plays
from emulated import Emulated
from rig import Rig

pytestmark = pytest.mark.timeout(240)


@pytest.mark.usefixtures("bot")
async def test_a_person_downloads_by_keyboard_plays_it_and_cancels_another(
    rig: Rig, emulated: Emulated
) -> None:
    """A completion, a percentage that moves, a file that plays, Cancel: no mouse."""
    async with opened(emulated.hub.address) as page:
        first = link(rig, 600_000, 100_000)
        await download(page, first)
        percents = page.get_by_text(" % · ")
        await expect(percents).to_be_visible()
        seen = await percents.inner_text()
        await expect(percents).not_to_have_text(seen)
        await plays(page)
        await accessible(page)

        second = f"{rig.address}/video/{secrets.token_hex(6)}.mp4?bytes=5000000&rate=50000"
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
