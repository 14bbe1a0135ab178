"""Serves files that are too large for Discord under unguessable addresses. A small route streams
them, with support for Range, until the link expires or is revoked.
"""

import asyncio
import re
from collections import Counter
from typing import Final
from urllib.parse import quote

from aiohttp import web

from trawler_bot.storage.database import Database, Link
from trawler_common.store import PUBLIC_PIECE, Store, StoreUnavailable
from trawler_crds.media_job import MediaFile, MediaJob

PATH: Final = "/f/{id:[A-Za-z0-9_-]{24}}/{name}"
PLAYED: Final = ("video/", "audio/", "image/")
"""Media types that a browser may display itself; it saves all others."""
NEVER_SHOWN: Final = frozenset({"image/svg+xml"})
STREAMS: Final = 64
"""Maximum number of concurrent transfers: each holds a chunk in memory."""
STREAMS_OF_LINK: Final = 4
"""Maximum number of concurrent transfers of one link: a player requests several ranges at once, and
one link must not take all transfers.
"""
SLOWEST: Final = 16 * 1024
"""Minimum rate of a client in bytes per second: a slower client is disconnected, so that it does
not keep others out.
"""
PATIENCE: Final = 20.0
"""Seconds added to the timeout of each chunk: a phone may lose its network for a moment."""
_RANGE: Final = re.compile(r"bytes=([0-9]{0,19})-([0-9]{0,19})")


class PublicLinks:
    """Creates links and serves their files. Without a public address there are no links."""

    def __init__(
        self, database: Database, store: Store, *, public_url: str, seconds: float
    ) -> None:
        self._database = database
        self._store = store
        self._public = public_url.rstrip("/")
        self._seconds = seconds
        self._streams: Counter[str] = Counter()
        """Link → number of current transfers."""

    @property
    def on(self) -> bool:
        """Whether files can have public links at all."""
        return bool(self._public)

    async def link(self, job: MediaJob, file: MediaFile) -> str | None:
        """The address of one stored file; None if it has none. The link does not outlive its job,
        because nothing keeps the object after that. Raises Unanswered.
        """
        if not self._public:
            return None
        seconds = min(self._seconds, job.spec.ttl_seconds_after_finished)
        number = await self._database.publish(job.name, file, seconds)
        return f"{self._public}/f/{number}/{quote(file.name)}" if number else None

    def app(self) -> web.Application:
        """The application for a separate listener: strangers can reach no other route."""
        app = web.Application()
        app.router.add_get(PATH, self._answer)
        return app

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        link = await self._database.link(request.match_info["id"])
        if link is None:
            silent = not self._database.ready()
            raise web.HTTPServiceUnavailable if silent else web.HTTPNotFound
        span = part(request.headers.get("Range"), link.bytes)
        if span is None:
            raise web.HTTPRequestRangeNotSatisfiable(
                headers={"Content-Range": f"bytes */{link.bytes}"}
            )
        begin, end = span
        whole = (begin, end) == (0, link.bytes)
        answer = web.StreamResponse(status=200 if whole else 206, headers=_headers(link))
        answer.content_length = end - begin
        if not whole:
            answer.headers["Content-Range"] = f"bytes {begin}-{end - 1}/{link.bytes}"
        if request.method == "HEAD":
            await answer.prepare(request)
            return answer
        if self._streams.total() >= STREAMS or self._streams[link.id] >= STREAMS_OF_LINK:
            raise web.HTTPServiceUnavailable(headers={"Retry-After": "10"})
        self._streams[link.id] += 1
        try:
            await self._stream(request, answer, link, begin, end)
        finally:
            self._streams[link.id] -= 1
            self._streams += Counter()  # drops links without transfers
        return answer

    async def _stream(
        self, request: web.Request, answer: web.StreamResponse, link: Link, begin: int, end: int
    ) -> None:
        try:
            async for piece in self._store.pieces(link.sha256, begin, end, PUBLIC_PIECE):
                if not answer.prepared:
                    await answer.prepare(request)
                async with asyncio.timeout(PATIENCE + len(piece) / SLOWEST):
                    await answer.write(piece)
        except FileNotFoundError as error:
            raise web.HTTPGone from error
        except TimeoutError:
            if request.transport is not None:
                request.transport.abort()
        except StoreUnavailable as error:
            if answer.prepared:
                raise  # the connection ends: the client sees that the file is incomplete
            raise web.HTTPServiceUnavailable(headers={"Retry-After": "10"}) from error


def part(header: str | None, size: int) -> tuple[int, int] | None:
    """Begin and end of the requested range. The whole file if the header is not a single range;
    None if the range is not satisfiable (RFC 9110, 14). Pure.
    """
    found = _RANGE.fullmatch(header.strip()) if header else None
    if found is None or not (found[1] or found[2]):
        return 0, size
    if not found[1]:
        return (max(0, size - int(found[2])), size) if int(found[2]) else None
    begin = int(found[1])
    end = min(size, int(found[2]) + 1) if found[2] else size
    return (begin, end) if begin < end else None


def _headers(link: Link) -> dict[str, str]:
    """Response headers that keep content from a site from running in a browser."""
    shown = link.kind.startswith(PLAYED) and link.kind not in NEVER_SHOWN
    way = "inline" if shown else "attachment"
    return {
        "Content-Type": link.kind if shown else "application/octet-stream",
        "Content-Disposition": f"{way}; filename*=UTF-8''{quote(link.name, safe='')}",
        "Accept-Ranges": "bytes",
        "ETag": f'"{link.sha256}"',
        "Cache-Control": "private, max-age=0, must-revalidate",
        "Content-Security-Policy": "default-src 'none'; media-src 'self'; img-src 'self'; sandbox",
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "no-referrer",
    }
