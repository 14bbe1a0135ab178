"""Engine Direct: downloads the address itself, and resumes an interrupted body if it is certainly
of the same file.
"""

from collections.abc import Callable, Mapping
from contextlib import closing
from io import RawIOBase
from pathlib import Path
from typing import Final

from trawler_crds.failures import FailureReason
from trawler_crds.media_job import EngineName, Limits
from trawler_worker.fetcher.engines.base import Fetched, Found, Report
from trawler_worker.fetcher.error_mapping import by_status, fault_of
from trawler_worker.fetcher.errors import EngineDeclined, FetchError
from trawler_worker.fetcher.limits import too_large
from trawler_worker.fetcher.media.sniff import HEAD, sniff
from trawler_worker.fetcher.network.disposition import file_name
from trawler_worker.fetcher.network.http import Answer, BrokenOff, Client, Stalled, media_type
from trawler_worker.fetcher.network.versions import Part, Version, part
from trawler_worker.protocol import Fetch

MAX_RESUMES: Final = 3
PIECE: Final = 256 * 1024
PAGE: Final = 512
"""Bytes that show whether a response declared as a page is one. More bytes may take long to arrive:
servers send pages while they generate them.
"""
_PAGES: Final = frozenset(["text/html", "application/xhtml+xml"])
_BROKEN: Final = "The site broke off in the middle."


class Direct:
    """Fetches the file at the address itself."""

    name = EngineName.DIRECT
    second_hand = False

    def __init__(self, proxy: str = "") -> None:
        self._client = Client(proxy)

    def fetch(self, order: Fetch, scratch: Path, report: Report) -> Found:
        path = scratch / f"{order.job}-1"
        download = Download(order.url, order.limits, path, report)
        try:
            self._client.waiter = report
            with closing(self._client):
                download.run(self._client)
        except EngineDeclined:
            path.unlink(missing_ok=True)  # otherwise the next engine would find these bytes
            raise
        except OSError as error:
            raise fault_of(error) from error
        return Found(files=[Fetched(path=path, called=download.called, measured=download.measured)])


class Download:
    """One download over one or several responses. All bytes come from one version of the file."""

    def __init__(
        self,
        url: str,
        limits: Limits,
        path: Path,
        report: Callable[[int, int | None], None],
        *,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        self._url = url
        self._limits = limits
        self._headers = headers or {}
        self._path = path
        self._report = report
        self._have = 0
        self._version = Version(total=None, etag=None, modified=None)
        self._resumable = False
        self._stalled = False
        self._troubles = 0
        self.called: str | None = None
        """The site's name for the file."""
        self.measured = False
        self.length: int | None = None
        """Announced length in bytes of the file as it is written to disk; None if unknown."""

    def run(self, client: Client) -> None:
        """Download until the file is complete. Raises FetchError and OSError."""
        for _ in range(MAX_RESUMES + 1):
            answer = client.get(self._url, self._wanted())
            try:
                if self._take(answer):
                    return
            finally:
                answer.close()
            if self._have and not self._resumable:
                # leave it to a later attempt of the job, instead of starting over again and again
                break
        if self._stalled:
            raise FetchError(FailureReason.TOO_SLOW)
        raise FetchError(FailureReason.SITE_ERROR, _BROKEN)

    def _wanted(self) -> dict[str, str]:
        condition = self._version.condition
        if not self._have or condition is None:
            return dict(self._headers)
        return {**self._headers, "Range": f"bytes={self._have}-", "If-Range": condition}

    def _take(self, answer: Answer) -> bool:
        """Write the body of a response. Returns True if the file is complete, False if another
        request is needed: the body broke off, or is of another version.
        """
        if answer.status not in {200, 206}:
            if self._refused_to_resume(answer):
                return False
            raise by_status(answer.status, answer.headers.get("Retry-After"))
        resumed = answer.status == 206 and self._have > 0
        if resumed and not self._goes_on(answer):
            self._have = 0  # the file has changed: request it from the beginning
            self._stalled = False
            return False
        if not resumed:
            self._begin(answer)
        if self._version.total is not None and self._version.total > self._limits.max_bytes:
            raise too_large(self._limits)
        try:
            self._write(answer)
        except (BrokenOff, ConnectionError) as error:
            self._stalled = isinstance(error, Stalled)
            return False
        whole = self.length = self._version.total
        self.measured = answer.measured
        return whole is None or self._have == whole

    def _refused_to_resume(self, answer: Answer) -> bool:
        """Whether a failed request to resume is worth repeating: the file is shorter now, or the
        server has a temporary problem. After the second such problem, the whole file is requested
        from the beginning.
        """
        trouble = answer.status >= 500 and "Retry-After" not in answer.headers
        if not self._have or not (trouble or answer.status == 416):
            return False
        self._troubles += trouble
        if answer.status == 416 or self._troubles > 1:
            self._have = 0
        self._stalled = False
        return True

    def _goes_on(self, answer: Answer) -> bool:
        at = part(answer.headers.get("Content-Range"))
        version = Version.of(answer.headers, total=at.total if at else None)
        return (
            at is not None
            and not answer.packed
            and at.fits(answer.length)
            and self._version.is_continued_by(version, at, have=self._have)
        )

    def _begin(self, answer: Answer) -> None:
        """Start, or start over, with this response."""
        self._have = 0
        total = None if answer.packed else answer.length
        if answer.status == 206:
            total = _unasked(answer, part(answer.headers.get("Content-Range")))
        self._version = Version.of(answer.headers, total=total)
        self.called = file_name(answer.headers.get("Content-Disposition"))
        ranges = answer.status == 206 or answer.headers.get("Accept-Ranges", "").lower() == "bytes"
        known = self._version.condition is not None
        self._resumable = ranges and known and not answer.packed

    def _write(self, answer: Answer) -> None:
        with self._path.open("r+b" if self._have else "wb", buffering=0) as file:
            file.seek(self._have)
            file.truncate()
            head = b"" if self._have == 0 else None
            for piece in answer.pieces(PIECE):
                if head is not None:
                    head += piece
                    if len(head) >= (PAGE if _says_page(answer) else HEAD):
                        _refuse_pages(head[:HEAD], answer)
                        head = None
                self._have += len(piece)
                if self._have > self._limits.max_bytes:
                    raise too_large(self._limits)
                _write_all(file, piece)
                self._report(self._have, self._version.total)
            if head:
                _refuse_pages(head, answer)


def _write_all(file: RawIOBase, piece: bytes) -> None:
    """Write all of a piece. A disk that becomes full writes a part of it and reports the error only
    on the next write. Raises OSError.
    """
    rest = memoryview(piece)
    while rest:
        rest = rest[file.write(rest) or 0 :]


def _unasked(answer: Answer, at: Part | None) -> int:
    """The length of a file whose site sent an unrequested part. Raises FetchError if the part is
    not the beginning of the file.
    """
    if at is None or at.first != 0 or at.total is None or answer.packed:
        raise FetchError(FailureReason.SITE_ERROR, "The site sent only a part of the file.")
    return at.total


def _refuse_pages(head: bytes, answer: Answer) -> None:
    """Refuse a body that is not media. Raises EngineDeclined for a declared page, which another
    engine may handle, and FetchError for anything else.
    """
    if sniff(head) is not None:
        return
    if _says_page(answer):
        raise EngineDeclined(
            FailureReason.NOT_SUPPORTED, "There is a page at this address, not a media file."
        )
    raise FetchError(FailureReason.NOT_SUPPORTED, "What the site sent is not media that we know.")


def _says_page(answer: Answer) -> bool:
    return media_type(answer.headers) in _PAGES
