"""Client for the fetcher's socket."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Self

from pydantic import ValidationError

from trawler_common import logs
from trawler_worker.protocol import MAX_LINE, Done, Fetch, Moved, Release, Stop, ToAgent, Told, line

log = logs.get("fetching")


class FetcherLost(Exception):
    """The fetcher closed the connection. The pod can do no more work."""


class Fetcher:
    """Sends jobs to the fetcher and receives progress and results."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._waiting: dict[str, asyncio.Future[Done]] = {}
        self._moved: dict[str, Callable[[Moved | Told], None]] = {}
        self.lost = asyncio.Event()

    @classmethod
    async def connect(cls, path: Path, *, patience: float) -> Self:
        """Connect as soon as the fetcher listens. Raises TimeoutError after `patience` seconds."""
        async with asyncio.timeout(patience):
            while True:
                try:
                    reader, writer = await asyncio.open_unix_connection(path, limit=MAX_LINE)
                    return cls(reader, writer)
                except (FileNotFoundError, ConnectionError):
                    await asyncio.sleep(0.1)

    async def run(self) -> None:
        """Receive messages until the fetcher closes the connection or sends an invalid message."""
        try:
            while data := await self._reader.readline():
                self._take(ToAgent.validate_json(data))
        except (ConnectionError, ValueError, ValidationError) as error:
            log.error("fetcher_speaks_nonsense", extra={"error": type(error).__name__})
        finally:
            self.lost.set()
            for future in self._waiting.values():
                if not future.done():
                    future.set_exception(FetcherLost())

    def _take(self, message: Moved | Told | Done) -> None:
        if isinstance(message, Moved | Told):
            if (hear := self._moved.get(message.job)) is not None:
                hear(message)
        elif (future := self._waiting.get(message.job)) is not None and not future.done():
            future.set_result(message)

    async def fetch(self, order: Fetch, moved: Callable[[Moved | Told], None]) -> Done:
        """Run one job. On cancellation, wait until the job's process group has ended. Raises
        FetcherLost.
        """
        if self.lost.is_set():
            raise FetcherLost
        future: asyncio.Future[Done] = asyncio.get_running_loop().create_future()
        self._waiting[order.job] = future
        self._moved[order.job] = moved
        try:
            try:
                await self._say(line(order))
                return await asyncio.shield(future)
            except asyncio.CancelledError:
                if not future.cancelled():
                    await self._say(line(Stop(job=order.job)))
                    await asyncio.wait({future}, timeout=10)
                raise
        finally:
            if future.done() and not future.cancelled():
                future.exception()  # retrieve the exception, otherwise asyncio logs a warning
            del self._waiting[order.job], self._moved[order.job]

    async def release(self, job: str) -> None:
        """Tell the fetcher that the files are no longer needed."""
        await self._say(line(Release(job=job)))

    async def _say(self, data: bytes) -> None:
        try:
            self._writer.write(data)
            await self._writer.drain()
        except ConnectionError:
            self.lost.set()

    def close(self) -> None:
        self._writer.close()
