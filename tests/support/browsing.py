"""The emulator's page in Debian's Chromium, driven as a person without a mouse would."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from axe_playwright_python.async_playwright import Axe
from playwright.async_api import Page, async_playwright, expect

CHROMIUM: Final = "/usr/bin/chromium"
expect.set_options(timeout=20_000)  # milliseconds; a machine may be busy


@asynccontextmanager
async def opened(address: str) -> AsyncIterator[Page]:
    """Ada looks at #general."""
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=CHROMIUM,
            args=["--no-sandbox", "--autoplay-policy=no-user-gesture-required"],
        )
        try:
            found = await browser.new_page()
            problems: list[str] = []
            found.on("pageerror", lambda error: problems.append(str(error)))
            await found.goto(address)
            await expect(found.get_by_role("heading", name="# general")).to_be_visible()
            yield found
            assert [] == problems
        finally:
            await browser.close()


async def accessible(page: Page) -> None:
    """Nothing that axe-core holds against it."""
    found = await Axe().run(page)
    assert 0 == found.violations_count, found.generate_report()


async def download(page: Page, typed: str, *, moves: int = 0) -> None:
    """`/download`, a completion, Enter: no mouse."""
    await page.get_by_role("combobox", name="Message").focus()
    await page.keyboard.type("/dow")
    await expect(page.get_by_role("option", name="download")).to_be_visible()
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("combobox", name="url")).to_be_focused()
    await page.keyboard.type(typed)
    completions = page.get_by_role("listbox", name="Suggestions for url")
    await expect(completions.get_by_role("option").first).to_be_visible()
    for _ in range(moves):
        await page.keyboard.press("ArrowDown")
    await page.keyboard.press("Enter")
    await page.keyboard.press("Enter")


async def plays(page: Page) -> None:
    """The first player, until its time grows."""
    player = page.locator("video").first
    await expect(player).to_be_visible()
    await player.evaluate("(video) => { video.muted = true; return video.play(); }")
    await page.wait_for_function(
        "() => document.querySelector('video').currentTime > 0.1", timeout=20_000
    )
