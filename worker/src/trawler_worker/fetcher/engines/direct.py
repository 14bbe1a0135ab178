"""Engine Direct: streams the address itself, and resumes a cut body where the site can."""

import asyncio
from pathlib import Path
from typing import Final
from urllib.parse import urljoin

import aiohttp

from trawler_crds import addresses
from trawler_crds.failures import FailureReason
from trawler_crds.media_job import EngineName
from trawler_worker.fetcher.engines.base import Found, Report
from trawler_worker.fetcher.errors import FetchError, NotTaken
from trawler_worker.fetcher.faults import by_status, fault_of
from trawler_worker.fetcher.proof import too_large
from trawler_worker.fetcher.sniff import HEAD, sniff
from trawler_worker.protocol import Fetch

MAX_REDIRECTS: Final = 5
MAX_RESUMES: Final = 3
CHUNK: Final = 256 * 1024
_TIMEOUT: Final = aiohttp.ClientTimeout(total=None, sock_connect=15, sock_read=None)
_AGENT: Final = "Mozilla/5.0 (X11; Linux x86_64) Trawler"


class Direct:
    """The file itself."""

    name = EngineName.DIRECT

    def __init__(self, proxy: str = "") -> None:
        self._proxy = proxy or None

    def fetch(self, order: Fetch, scratch: Path, report: Report) -> Found:
        path = scratch / f"{order.job}-1"
        try:
            asyncio.run(self._fetch(order, path, report))
        except (aiohttp.ClientError, OSError) as error:
            raise fault_of(error) from error
        return Found(files=[(path, None)])

    async def _fetch(self, order: Fetch, path: Path, report: Report) -> None:
        async with aiohttp.ClientSession(
            timeout=_TIMEOUT,
            auto_decompress=False,
            trust_env=False,
            read_bufsize=CHUNK,
            headers={"User-Agent": _AGENT, "Accept": "*/*", "Accept-Encoding": "identity"},
            connector=aiohttp.TCPConnector(resolver=aiohttp.ThreadedResolver()),
        ) as session:
            body = _Body(order, path, report)
            for _ in range(MAX_RESUMES + 1):
                async with await self._open(session, order.url, body.resume_headers()) as answer:
                    if await body.take(answer):
                        return
                if not body.resumable:
                    break
            raise FetchError(FailureReason.SITE_ERROR, "The site broke off in the middle.")

    async def _open(
        self, session: aiohttp.ClientSession, url: str, headers: dict[str, str]
    ) -> aiohttp.ClientResponse:
        for _ in range(MAX_REDIRECTS + 1):
            answer = await session.get(
                url, headers=headers, allow_redirects=False, proxy=self._proxy
            )
            if answer.status not in {301, 302, 303, 307, 308} or "Location" not in answer.headers:
                return answer
            url = _target(url, answer.headers["Location"])
            answer.close()
        raise FetchError(FailureReason.SITE_ERROR, "The site redirects too often.")


def _target(url: str, location: str) -> str:
    """Where a redirect leads. Raises FetchError (BadAddress)."""
    try:
        target = urljoin(url, location)
    except ValueError:  # a bracket without an address in it
        raise FetchError(FailureReason.BAD_ADDRESS) from None
    if addresses.fault(target.partition("#")[0]) is not None:
        raise FetchError(FailureReason.BAD_ADDRESS)
    return target


class _Body:
    """The bytes so far, over one answer or several."""

    def __init__(self, order: Fetch, path: Path, report: Report) -> None:
        self._limits = order.limits
        self._path = path
        self._report = report
        self._have = 0
        self._total: int | None = None
        self._validator: str | None = None
        self.resumable = False

    def resume_headers(self) -> dict[str, str]:
        if not self._have or self._validator is None:
            return {}
        return {"Range": f"bytes={self._have}-", "If-Range": self._validator}

    async def take(self, answer: aiohttp.ClientResponse) -> bool:
        """Write what comes. True when the body is complete, False when it broke off."""
        if answer.status not in {200, 206}:
            raise by_status(answer.status, answer.headers.get("Retry-After"))
        if answer.headers.get("Content-Encoding", "identity").lower() not in {"", "identity"}:
            raise FetchError(FailureReason.SITE_ERROR, "The site packed the file unasked.")
        if answer.status == 200:
            self._have = 0  # the site starts over
            self._total = answer.content_length
            self._validator = answer.headers.get("ETag") or answer.headers.get("Last-Modified")
            self.resumable = (
                answer.headers.get("Accept-Ranges", "").lower() == "bytes"
                and self._validator is not None
                and not self._validator.startswith("W/")
            )
        elif not answer.headers.get("Content-Range", "").startswith(f"bytes {self._have}-"):
            raise FetchError(FailureReason.SITE_ERROR, "The site resumed at the wrong place.")
        if self._total is not None and self._total > self._limits.max_bytes:
            raise too_large(self._limits)
        try:
            await self._write(answer)
        except (aiohttp.ClientPayloadError, aiohttp.ServerDisconnectedError, ConnectionError):
            return False
        return self._total is None or self._have >= self._total

    async def _write(self, answer: aiohttp.ClientResponse) -> None:
        with self._path.open("r+b" if self._have else "wb", buffering=0) as file:
            file.seek(self._have)
            head = b"" if self._have == 0 else None
            async for chunk in answer.content.iter_any():
                if head is not None and len(head) < HEAD:
                    head += chunk[:HEAD]
                    if len(head) >= HEAD:
                        _refuse_pages(head, answer)
                self._have += len(chunk)
                if self._have > self._limits.max_bytes:
                    raise too_large(self._limits)
                file.write(chunk)
                self._report(self._have, self._total)
            if head is not None and 0 < len(head) < HEAD:
                _refuse_pages(head, answer)


def _refuse_pages(head: bytes, answer: aiohttp.ClientResponse) -> None:
    """A page that says it is one may be for another engine; anything else was a false promise."""
    if sniff(head) is not None:
        return
    if answer.content_type in {"text/html", "application/xhtml+xml"}:
        raise NotTaken(
            FailureReason.NOT_SUPPORTED, "There is a page at this address, not a media file."
        )
    raise FetchError(FailureReason.NOT_SUPPORTED, "What the site sent is not media that we know.")
