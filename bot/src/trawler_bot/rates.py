"""What Discord's answers say of its rate limits, and requests that are made once or not at all.

discord.py repeats what a server error met, up to five times within half a minute, and keeps what a
bucket has left to itself (read in its source, 2.7.1). Progress must neither hold up the result nor
eat what the result needs: aiohttp's tracing, which the library passes on, shows each answer first.
"""

import math
import re
import time
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from types import SimpleNamespace
from typing import Final

import aiohttp

ENOUGH: Final = 2
"""Requests that a bucket must have left for progress to take one."""
BUCKETS: Final = 10_000
_EDIT: Final = re.compile(r"/(channels/\d+|webhooks/\d+/[^/]+)/messages/")

_once: ContextVar[bool] = ContextVar("once", default=False)


class NotNow(Exception):
    """The one try was not granted."""


@contextmanager
def once() -> Iterator[None]:
    """What is asked within is not asked again after a 429 or a 5xx. Raises NotNow in their place."""
    token = _once.set(True)
    try:
        yield
    finally:
        _once.reset(token)


class Rates:
    """Buckets of message edits as the answers tell of them."""

    def __init__(self) -> None:
        self._left: OrderedDict[str, tuple[int, float]] = OrderedDict()

    def low(self, where: str) -> bool:
        """Whether a bucket (`channels/1`, `webhooks/1/token`) has too little left for progress."""
        left, until = self._left.get(where, (ENOUGH, 0.0))
        return left < ENOUGH and time.monotonic() < until

    def trace(self) -> aiohttp.TraceConfig:
        """For the client's `http_trace`."""
        config = aiohttp.TraceConfig()
        config.on_request_end.append(self._ended)
        return config

    async def _ended(
        self,
        _: aiohttp.ClientSession,
        __: SimpleNamespace,
        params: aiohttp.TraceRequestEndParams,
    ) -> None:
        answer = params.response
        found = _EDIT.search(params.url.path) if params.method == "PATCH" else None
        if found is not None:
            self._note(found[1], answer)
        if _once.get() and (answer.status == 429 or answer.status >= 500):
            answer.close()
            raise NotNow(f"{answer.status}")

    def _note(self, where: str, answer: aiohttp.ClientResponse) -> None:
        try:
            left = int(answer.headers["X-RateLimit-Remaining"])
            until = time.monotonic() + float(answer.headers["X-RateLimit-Reset-After"])
        except (KeyError, ValueError):
            return
        self._left[where] = (left, until)
        self._left.move_to_end(where)
        while len(self._left) > BUCKETS or self._oldest() < time.monotonic():
            self._left.popitem(last=False)

    def _oldest(self) -> float:
        """When (monotonic) the bucket that was noted first is full again; infinite where none is known."""
        return next(iter(self._left.values()), (0, math.inf))[1]
