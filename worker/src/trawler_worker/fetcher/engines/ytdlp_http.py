"""Routes every request of yt-dlp through our own HTTP client. yt-dlp's own handlers rewrite
addresses, accept an unrequested part as the whole file, and resume a file that has changed in the
meantime.
"""

import http.cookiejar
import io
import ssl
import urllib.parse
import urllib.request
from base64 import b64decode
from collections.abc import Callable, Mapping
from typing import Any, Final

import yt_dlp.networking.common
from yt_dlp.networking._helper import get_redirect_method
from yt_dlp.networking.common import Request, RequestDirector, RequestHandler, Response
from yt_dlp.networking.exceptions import (
    CertificateVerifyError,
    HTTPError,
    IncompleteRead,
    TransportError,
)

from trawler_crds.failures import FailureReason
from trawler_worker.fetcher.errors import FetchError
from trawler_worker.fetcher.network.disposition import file_name
from trawler_worker.fetcher.network.http import (
    MAX_REDIRECTS,
    Answer,
    BrokenOff,
    Client,
    Waiter,
    note_cookies,
    redirects,
    with_cookies,
)
from trawler_worker.fetcher.network.targets import Target, following, received, target
from trawler_worker.fetcher.network.versions import Part, Version, part

MAX_TEXT: Final = 8 * 1024 * 1024
"""Maximum size of one page or manifest in bytes."""
_PIECE: Final = 256 * 1024
_OF_A_FILE: Final = frozenset(["Content-Encoding", "Content-Length", "Transfer-Encoding"])
_NOT_ELSEWHERE: Final = frozenset(["cookie", "authorization", "proxy-authorization"])
_OF_A_BODY: Final = frozenset(["content-length", "content-type"])
_PROBE: Final = 512
"""Bytes that the generic extractor probes. yt-dlp reads pages without a size, and files with one.
"""


Sender = Callable[[str, Target, Mapping[str, str], bytes | None], Answer]


def leave_addresses_alone() -> None:
    """Disable yt-dlp's own normalization of addresses, which is left to `targets`. Runs once per
    process.
    """
    yt_dlp.networking.common.normalize_url = lambda url: url


class TrawlerRH(RequestHandler):  # type: ignore[misc]  # yt-dlp has no types
    """Handles yt-dlp's requests, one at a time."""

    _SUPPORTED_URL_SCHEMES = ("http", "https", "data")
    _SUPPORTED_PROXY_SCHEMES = None
    _SUPPORTED_FEATURES = None
    RH_NAME = "trawler"

    def __init__(self, *, client: Client, **rest: Any) -> None:
        super().__init__(**rest)
        self._client = client
        self._versions: dict[str, Version] = {}
        self.unmeasured = 0
        """Number of media bodies whose end was not announced."""
        self.called: dict[str, str] = {}
        """The site's name for a file, by the file's address."""

    def begin(self, waiter: Waiter) -> None:
        """Reset the state for a new job."""
        self._client.close()
        self._client.waiter = waiter
        self._versions.clear()
        self.called.clear()
        self.unmeasured = 0

    def _check_extensions(self, extensions: dict[str, Any]) -> None:
        super()._check_extensions(extensions)
        for known in ("cookiejar", "timeout", "legacy_ssl", "keep_header_casing", "impersonate"):
            extensions.pop(known, None)

    def _send(self, request: Request) -> Response:
        if request.url[:5].lower() == "data:":
            return _inline(request.url)
        try:
            return self._answer(request)
        except ssl.SSLCertVerificationError as error:
            raise CertificateVerifyError(cause=error) from error
        except (OSError, FetchError) as error:  # the caller may do without, or retry
            raise TransportError(cause=error) from error

    def _headers(self, request: Request) -> Mapping[str, str]:
        """The headers of a request, in addition to those that every client sends."""
        found: Mapping[str, str] = self._get_headers(request)
        return found

    def _sender(self, _: Request) -> Sender:
        """The function that sends the request."""
        return self._client.send

    def _answer(self, request: Request) -> Response:
        given = self._headers(request).items()
        headers = {name: value for name, value in given if name.lower() != "accept-encoding"}
        wanted = _range(headers)
        known = self._versions.get(request.url)
        if wanted is not None and known is not None and known.condition is not None:
            headers["If-Range"] = known.condition
        answer = self._follow(request, headers)
        if wanted is None:
            return self._whole(request, answer)
        if wanted.last is not None:
            return self._piece(request, answer, wanted.first, wanted.last, known)
        if wanted.first and not _goes_on(answer, wanted.first, known):
            # the file has changed, or cannot be compared: request it from the beginning
            answer.close()
            del headers["Range"]
            headers.pop("If-Range", None)
            return self._whole(request, self._follow(request, headers))
        if not wanted.first and answer.status == 206:
            return self._whole(request, answer)
        at = part(answer.headers.get("Content-Range")) if answer.status == 206 else None
        return self._respond(answer, holds=None if at is None else at.bytes)

    def _whole(self, request: Request, answer: Answer) -> Response:
        """Respond to a request for the whole file. A 206 is accepted only if it covers the whole
        file.
        """
        total = answer.length
        if answer.status == 206:
            at = part(answer.headers.get("Content-Range"))
            total = None if at is None else at.total
            if at is None or at.first or total != at.bytes or not at.fits(answer.length):
                answer.close()
                raise FetchError(FailureReason.SITE_ERROR, "The site sent only a part of the file.")
            answer.status = 200
        if answer.status == 200 and not answer.packed:
            self._versions[request.url] = Version.of(answer.headers, total=total)
        if (called := file_name(answer.headers.get("Content-Disposition"))) is not None:
            self.called[request.url] = self.called[answer.at.url] = called
        return self._respond(answer, holds=total)

    def _piece(
        self, request: Request, answer: Answer, first: int, last: int, known: Version | None
    ) -> Response:
        """Respond to a request for a byte range, which must be of the same version as all earlier
        ranges.
        """
        at = part(answer.headers.get("Content-Range")) if answer.status == 206 else None
        asked = at is not None and at.is_what_was_asked(first, last) and at.fits(answer.length)
        if answer.status < 300 and (not asked or answer.packed):
            answer.close()
            raise FetchError(
                FailureReason.SITE_ERROR, "The site sent another part than the one asked for."
            )
        if at is not None:
            version = Version.of(answer.headers, total=at.total)
            if known is not None and known.differs_from(version):
                answer.close()
                raise FetchError(FailureReason.SITE_ERROR, "The file changed while it was fetched.")
            self._versions[request.url] = version
        return self._respond(answer, holds=None if at is None else at.bytes)

    def _follow(self, request: Request, headers: Mapping[str, str]) -> Answer:
        here, method, body = target(request.url), request.method, _body(request.data)
        cookies: http.cookiejar.CookieJar = self._get_cookiejar(request)
        send = self._sender(request)
        for _ in range(MAX_REDIRECTS + 1):
            sending = with_cookies(headers, here, cookies)
            answer = send(method, here, sending, body)
            note_cookies(answer, cookies)
            if not redirects(answer):
                return answer
            answer.close()
            there = following(here, received(answer.headers["Location"]))
            method, before = get_redirect_method(method, answer.status), method
            headers = _for(there, here, headers, keep_body=method == before)
            body = body if method == before else None
            here = there
        raise FetchError(FailureReason.SITE_ERROR, "The site redirects too often.")

    def _respond(self, answer: Answer, *, holds: int | None = None) -> Response:
        response = _Adapted(answer, self._ended, holds=answer.length if holds is None else holds)
        if not 200 <= answer.status < 300:
            raise HTTPError(response)
        return response

    def _ended(self) -> None:
        self.unmeasured += 1

    def close(self) -> None:
        self._client.close()


def director(
    ydl: Any, client: Client, kind: type[TrawlerRH] = TrawlerRH
) -> tuple[RequestDirector, TrawlerRH]:
    """Create the request director of a YoutubeDL, with `kind` as its only handler."""
    found = ydl.build_request_director([lambda **given: kind(client=client, **given)])
    return found, found.handlers[kind.RH_KEY]


class _Range:
    def __init__(self, first: int, last: int | None) -> None:
        self.first, self.last = first, last


def _range(headers: Mapping[str, str]) -> _Range | None:
    value = next((value for name, value in headers.items() if name.lower() == "range"), None)
    if value is None:
        return None
    first, _, last = value.removeprefix("bytes=").partition("-")
    return _Range(int(first), int(last) if last else None) if first.isdecimal() else None


def _goes_on(answer: Answer, have: int, known: Version | None) -> bool:
    at: Part | None = part(answer.headers.get("Content-Range")) if answer.status == 206 else None
    if at is None or known is None or answer.packed:
        return False
    version = Version.of(answer.headers, total=at.total)
    return at.fits(answer.length) and known.is_continued_by(version, at, have=have)


def _body(data: Any) -> bytes | None:
    if data is None or isinstance(data, bytes):
        return data
    return data.read() if hasattr(data, "read") else b"".join(data)


def _for(
    there: Target, here: Target, headers: Mapping[str, str], *, keep_body: bool
) -> dict[str, str]:
    """The headers for the target of a redirect, without those that were meant for another site."""
    dropped = _OF_A_BODY if not keep_body else frozenset()
    if there.origin != here.origin:
        dropped |= _NOT_ELSEWHERE
    return {name: value for name, value in headers.items() if name.lower() not in dropped}


def _inline(url: str) -> Response:
    """Respond to a `data:` address (RFC 2397). Raises FetchError if it is larger than a page may
    be.
    """
    head, comma, data = url[5:].partition(",")
    if len(data) > 2 * MAX_TEXT:
        raise FetchError(FailureReason.TOO_LARGE, "The page is larger than we read.")
    raw = urllib.parse.unquote_to_bytes(data) if comma else b""
    if head.endswith(";base64"):
        try:
            raw = b64decode(raw, validate=False)
        except ValueError:
            raise FetchError(FailureReason.SITE_ERROR) from None
    kind = head.removesuffix(";base64") or "text/plain"
    return Response(io.BytesIO(raw), url, {"Content-Type": kind, "Content-Length": str(len(raw))})


def _is_open_list(text: bytes) -> bool:
    """Whether the text is a list of segments that does not mark its own end (RFC 8216, section
    4.3.3.4).
    """
    listed = text.lstrip(b"\xef\xbb\xbf").startswith(b"#EXTM3U") and b"#EXTINF" in text
    return listed and b"#EXT-X-ENDLIST" not in text


class _Adapted(Response):  # type: ignore[misc]  # yt-dlp has no types
    """An `Answer` as yt-dlp reads it: decoded, with every error as an exception of yt-dlp's own."""

    def __init__(self, answer: Answer, ended: Callable[[], None], *, holds: int | None) -> None:
        super().__init__(io.BytesIO(), answer.at.url, {}, answer.status, answer.reason)
        for name, value in answer.headers.items():
            if name.title() not in _OF_A_FILE:
                self.headers.add_header(name, value)
        if holds is not None and not answer.packed:
            self.headers["Content-Length"] = str(holds)
        self._answer = answer
        self._measured = answer.measured or (holds is not None and not answer.packed)
        self._ended = ended
        self._reads: list[int] = []
        """The sizes of the first two reads that specified one."""
        self._rest = b""
        self._over = False

    def readable(self) -> bool:
        return True

    def read(self, amt: int | None = None) -> bytes:
        """Return `amt` bytes, fewer only at the end of the body; without `amt` the whole body, up
        to `MAX_TEXT`.
        """
        if amt is not None and len(self._reads) < 2:
            self._reads.append(amt)
        parts, size = [self._rest], len(self._rest)
        while not self._over and (amt is None or size < amt):
            piece = self._next(_PIECE if amt is None else max(1, amt - size))
            parts.append(piece)
            size += len(piece)
            if amt is None and size > MAX_TEXT:
                self.close()
                fault = FetchError(FailureReason.TOO_LARGE, "The page is larger than we read.")
                raise TransportError(cause=fault)  # the caller may do without
        found = b"".join(parts)
        if amt is None and not self._measured and _is_open_list(found):
            self._ended()
        self._rest = b"" if amt is None else found[amt:]
        return found if amt is None else found[:amt]

    def _next(self, count: int) -> bytes:
        try:
            piece = self._answer.read(count)
        except BrokenOff as error:
            raise IncompleteRead(partial=0, cause=error) from error
        except (OSError, FetchError) as error:
            raise TransportError(cause=error) from error
        if not piece:
            self._over = True
            if not self._measured and self._reads not in ([], [_PROBE]):
                self._ended()
        return piece

    def close(self) -> None:
        self._answer.close()
        super().close()
