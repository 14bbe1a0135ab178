"""The route behind links to stored files: many who fetch, and some who hardly do."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, cast

import aiohttp
import pytest
from aiohttp import web

from trawler_bot.delivery import public_links
from trawler_bot.delivery.public_links import STREAMS_OF_LINK, PublicLinks
from trawler_bot.storage.database import Database, Link
from trawler_common.store import Store

SIZE = 8 * 1024 * 1024


class Known:
    """Every link is known, and is a file of its own."""

    async def link(self, number: str) -> Link:
        return Link(number, "0" * 64, "a.mp4", "video/mp4", SIZE)

    def ready(self) -> bool:
        return True


class Zeros:
    """A store with one file of zeros."""

    async def pieces(self, _: str, begin: int, end: int, piece: int) -> AsyncIterator[bytes]:
        for at in range(begin, end, piece):
            yield bytes(min(piece, end - at))


@asynccontextmanager
async def serving() -> AsyncIterator[str]:
    links = PublicLinks(
        cast("Database", Known()), cast("Store", Zeros()), public_url="http://x", seconds=60
    )
    runner = web.AppRunner(links.app(), shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}/f/"
    finally:
        await runner.cleanup()


async def idle(address: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A client that asks for a file and reads nothing of it."""
    host, _, rest = address.removeprefix("http://").partition(":")
    port, _, path = rest.partition("/")
    reader, writer = await asyncio.open_connection(host, int(port), limit=1024)
    writer.write(f"GET /{path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
    await writer.drain()
    await reader.readexactly(12)
    return reader, writer


async def test_slow_clients_of_one_link_keep_nobody_from_another() -> None:
    """As many of one link as a player needs; the next is told to wait, and another link is
    served.
    """
    async with serving() as base, aiohttp.ClientSession() as http:
        slow = [await idle(f"{base}{'a' * 24}/a.mp4") for _ in range(STREAMS_OF_LINK)]
        async with http.get(f"{base}{'a' * 24}/a.mp4") as answer:
            assert (503, "10") == (answer.status, answer.headers["Retry-After"])
        async with http.get(f"{base}{'b' * 24}/a.mp4") as answer:
            assert SIZE == len(await answer.read())
        for _, writer in slow:
            writer.close()
        async with asyncio.timeout(10):
            while True:
                async with http.get(f"{base}{'a' * 24}/a.mp4") as answer:
                    if answer.status == 200:
                        assert SIZE == len(await answer.read())
                        return
                await asyncio.sleep(0.05)


async def test_who_hardly_reads_is_hung_up_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """After what a phone may lose its network for."""
    monkeypatch.setattr(public_links, "PATIENCE", 0.2)
    monkeypatch.setattr(public_links, "SLOWEST", 100 * 1024 * 1024)
    async with serving() as base, asyncio.timeout(10):
        reader, writer = await idle(f"{base}{'c' * 24}/a.mp4")
        await asyncio.sleep(1)
        read: Any = b"x"
        total = 0
        try:
            while read:
                read = await reader.read(65536)
                total += len(read)
        except ConnectionError:
            pass
        assert total < SIZE
        writer.close()


@pytest.mark.parametrize(
    "header", ["bytes=" + "9" * 5000 + "-", "bytes=-" + "1" * 3000, "bytes=٣-"]
)
async def test_an_absurd_range_is_no_fault_of_ours(header: str) -> None:
    """Five thousand digits were more than Python turns into a number."""
    async with (
        serving() as base,
        aiohttp.ClientSession() as http,
        http.head(f"{base}{'d' * 24}/a.mp4", headers={"Range": header}) as answer,
    ):
        assert answer.status in {200, 400}
