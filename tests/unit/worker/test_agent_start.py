"""An agent that is told to go before it could begin."""

import asyncio
from pathlib import Path

from trawler_worker.agent.__main__ import serve
from trawler_worker.agent.settings import Settings


def _settings(folder: Path) -> Settings:
    nobody = "nats://127.0.0.1:9"
    return Settings(
        install="t", pod="p", pool="default", nats_url=nobody, socket=folder / "fetcher.sock"
    )


async def test_it_goes_at_once_while_no_fetcher_is_there(tmp_path: Path) -> None:
    """Which may have ended already, by the same signal."""
    stop = asyncio.Event()
    serving = asyncio.create_task(serve(stop, _settings(tmp_path)))
    await asyncio.wait({serving}, timeout=0.3)
    assert not serving.done()
    stop.set()
    await asyncio.wait_for(serving, 5)


async def test_it_goes_at_once_while_no_bus_is_there(tmp_path: Path) -> None:
    """An uninstall takes the bus away first."""
    asked = asyncio.Event()

    async def hear(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.set()
        await reader.read()
        writer.close()

    stop = asyncio.Event()
    settings = _settings(tmp_path)
    async with await asyncio.start_unix_server(hear, settings.socket):
        serving = asyncio.create_task(serve(stop, settings))
        await asked.wait()
        await asyncio.wait({serving}, timeout=0.3)
        assert not serving.done()
        stop.set()
        await asyncio.wait_for(serving, 5)


async def test_it_ends_where_the_fetcher_does_while_no_bus_is_there(tmp_path: Path) -> None:
    """Else it would take orders, once the bus is back, that nobody can fetch."""

    async def hang_up(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    settings = _settings(tmp_path)
    async with await asyncio.start_unix_server(hang_up, settings.socket):
        await asyncio.wait_for(serve(asyncio.Event(), settings), 5)
