"""README's picture and animation, from the page of `make demo`: a person downloads, plays, and asks
for the sound.

make demo && make pictures
"""

import asyncio
import shutil
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Final, Self

from playwright.async_api import Page, async_playwright, expect

PAGE: Final = "http://127.0.0.1:18090/"
HERE: Final = Path(__file__).parent
CHROMIUM: Final = "/usr/bin/chromium"
SIZE: Final = {"width": 900, "height": 640}
EVERY: Final = 0.25
"""Seconds between two frames."""
MOST: Final = 1_000_000
"""Bytes of the animation."""
SITE: Final = "http://site:8080"


class Camera:
    """Takes a frame every so often while a person does something."""

    def __init__(self, page: Page, folder: Path) -> None:
        self._page = page
        self._folder = folder
        self._count = 0
        self._running: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._running = asyncio.create_task(self._run())
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._running is not None
        self._running.cancel()
        await asyncio.gather(self._running, return_exceptions=True)

    async def _run(self) -> None:
        due = time.monotonic()
        while True:
            self._count += 1
            path = self._folder / f"{self._count:04}.png"
            await self._page.screenshot(path=path, animations="allow", caret="initial")
            due += EVERY
            await asyncio.sleep(max(0.0, due - time.monotonic()))


async def download(page: Page, link: str) -> None:
    """As somebody types it."""
    await page.get_by_role("combobox", name="Message").focus()
    await page.keyboard.type("/dow", delay=80)
    await asyncio.sleep(0.5)
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("combobox", name="url")).to_be_focused()
    await page.keyboard.type(link, delay=12)
    await asyncio.sleep(0.6)
    await page.keyboard.press("Enter")
    await page.keyboard.press("Enter")


async def play(page: Page, folder: Path) -> None:
    """The story; at its end the picture."""
    await page.goto(PAGE)
    await expect(page.get_by_role("heading", name="# general")).to_be_visible()
    await page.get_by_label("You are").select_option(label="ben")
    await page.get_by_role("button", name="media", exact=True).click()
    await expect(page.get_by_role("heading", name="# media")).to_be_visible()
    async with Camera(page, folder):
        await page.get_by_role("combobox", name="Message").fill("did anybody save the talk?")
        await page.keyboard.press("Enter")
        talk = f"{SITE}/page/talk{int(time.time())}?bytes=5000000&rate=900000&title=Fair+queues"
        await download(page, talk)
        await expect(page.get_by_text(" % · ")).to_be_visible()
        await expect(page.locator("video").last).to_be_visible(timeout=60_000)
        await asyncio.sleep(1.5)
        await page.get_by_role("button", name="Audio").last.click()
        await expect(page.locator("audio").last).to_be_visible(timeout=60_000)
        await asyncio.sleep(2)
    await page.get_by_role("button", name="Video").last.click()
    await expect(page.locator("video").last).to_be_visible(timeout=60_000)
    await download(page, f"{SITE}/video/next{int(time.time())}.mp4?bytes=5000000&rate=250000")
    await expect(page.get_by_text(" % · ")).to_be_visible(timeout=30_000)
    await asyncio.sleep(3)
    await page.screenshot(path=HERE / "discord-in-a-box.png")


def animate(folder: Path) -> None:
    """Frames into a GIF, with colours of its own."""
    ffmpeg = shutil.which("ffmpeg")
    assert ffmpeg, "ffmpeg is needed: `make prepare` installs it"
    target = HERE / "discord-in-a-box.gif"
    colours = (
        "split[a][b];[a]palettegen=max_colors=64:stats_mode=diff[p];[b][p]paletteuse=dither=none"
    )
    rate = ["-framerate", f"{1 / EVERY}", "-i", f"{folder}/%04d.png"]
    subprocess.run(
        [
            ffmpeg,
            "-y",
            "-loglevel",
            "error",
            *rate,
            "-vf",
            f"scale=760:-1:flags=lanczos,{colours}",
            target,
        ],
        check=True,
    )
    size = target.stat().st_size
    assert size <= MOST, f"the animation has {size} bytes"
    print(f"{target.name}: {size} bytes")


async def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        async with async_playwright() as playwright:
            browser = await playwright.chromium.launch(
                executable_path=CHROMIUM,
                args=["--no-sandbox", "--autoplay-policy=no-user-gesture-required"],
            )
            page = await browser.new_page(viewport=SIZE, color_scheme="dark")
            await play(page, Path(folder))
            await browser.close()
        animate(Path(folder))


if __name__ == "__main__":
    asyncio.run(main())
