"""Tracks Discord's rate limits from its responses, and makes requests that are never retried.

discord.py retries after a server error, up to five times within half a minute, and does not expose
how many requests a bucket has left (read in its source, 2.7.1). Progress edits must neither delay
the result nor use up the requests that it needs. aiohttp's tracing, which the library passes on,
shows us each response first.
"""

import json
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
import discord

ENOUGH: Final = 2
"""Requests that a bucket must have left before a progress edit takes one."""
BUCKETS: Final = 10_000
LASTING: Final = frozenset({30046})
"""Error codes of a 429 that waiting does not resolve: a message older than an hour was edited too
often (docs, JSON Error Codes).
"""
_EDIT: Final = re.compile(r"/(channels/\d+|webhooks/\d+/[^/]+)/messages/")

_once: ContextVar[bool] = ContextVar("once", default=False)


class RetrySuppressed(Exception):
    """The only attempt failed with a 429 or a 5xx."""


@contextmanager
def once() -> Iterator[None]:
    """Requests in this block are not retried after a 429 or a 5xx: they raise RetrySuppressed
    instead.
    """
    token = _once.set(True)
    try:
        yield
    finally:
        _once.reset(token)


class RateLimitMonitor:
    """Rate limit buckets of message edits, as reported by the responses."""

    def __init__(self) -> None:
        self._left: OrderedDict[str, tuple[int, float]] = OrderedDict()

    def low(self, where: str) -> bool:
        """Whether a bucket (`channels/1`, `webhooks/1/token`) has too few requests left for a
        progress edit.
        """
        left, until = self._left.get(where, (ENOUGH, 0.0))
        return left < ENOUGH and time.monotonic() < until

    def trace(self) -> aiohttp.TraceConfig:
        """The trace configuration for the client's `http_trace`."""
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
        if answer.status == 429:
            await _require_passing(answer)
        if _once.get() and (answer.status == 429 or answer.status >= 500):
            answer.close()
            raise RetrySuppressed(f"{answer.status}")

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
        """When (monotonic seconds) the least recently updated bucket is full again; infinity if
        none is known.
        """
        return next(iter(self._left.values()), (0, math.inf))[1]


async def _require_passing(answer: aiohttp.ClientResponse) -> None:
    """Raises discord.HTTPException for a 429 that waiting does not resolve: the library would wait
    and retry five times.
    """
    try:
        said = json.loads(await answer.read())
    except ValueError:
        return
    if isinstance(said, dict) and said.get("code") in LASTING:
        raise discord.HTTPException(answer, said)
