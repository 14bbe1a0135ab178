"""aiohttp applications in a thread of their own, for code that blocks as a job process does."""

import asyncio
import os
import threading
from collections.abc import Coroutine
from types import TracebackType
from typing import Any, Self, TypeVar

from aiohttp import web

Made = TypeVar("Made")


class Serving:
    """Serves while it is entered."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._runners: list[web.AppRunner] = []

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def serve(self, app: web.Application, host: str = "127.0.0.1", port: int = 0) -> str:
        """Answers with its address."""
        return self._do(self._serve(app, host, port))

    def _do(self, work: Coroutine[Any, Any, Made]) -> Made:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(30)

    async def _serve(self, app: web.Application, host: str, port: int) -> str:
        runner = web.AppRunner(app, shutdown_timeout=0)
        self._runners.append(runner)
        await runner.setup()
        await web.TCPSite(runner, host, port).start()
        return "http://{}:{}".format(*runner.addresses[-1])

    async def _stop(self) -> None:
        for runner in self._runners:
            await runner.cleanup()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self._do(self._stop())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()


def own_address() -> str:
    """A loopback address that no other process of this run has: for what must listen at port 80."""
    pid = os.getpid()
    return f"127.{64 + (pid >> 16 & 63)}.{pid >> 8 & 255}.{pid & 255 or 1}"
