"""The HTTP client of the engines, yt-dlp included: HTTP/1.1 over `http.client`, which sends a
target unchanged.

urllib3, aiohttp and httpx all rewrite addresses, each in its own way (measured: `%27` becomes `'`),
and a site that signed the address then refuses it. The client runs in a job process and sends one
request at a time.
"""

import contextlib
import http.client
import http.cookiejar
import select
import socket
import ssl
import time
import urllib.request
import weakref
from collections import defaultdict
from collections.abc import Iterator, Mapping
from http.client import HTTPMessage
from typing import Final, Protocol

from trawler_crds.failures import FailureReason
from trawler_worker.fetcher.errors import FetchError
from trawler_worker.fetcher.network import content_encoding
from trawler_worker.fetcher.network.targets import Target, following, received, target
from trawler_worker.fetcher.network.wire import Response

MAX_REDIRECTS: Final = 5
CONNECT_WITHIN: Final = 15.0
SILENT_FOR: Final = 100.0
"""Timeout in seconds until an answer begins. It is a little longer than a job may wait for its
first byte, so that the job's own limit applies first.
"""
STALLED_FOR: Final = 15.0
"""Timeout in seconds without a byte in the middle of a body. It is shorter than the limit for slow
sites, so that the download can be resumed.
"""
KEPT_FOR: Final = 4.0
"""Seconds for which an idle connection may be reused: many sites close it after five."""
_AGENT: Final = "Mozilla/5.0 (X11; Linux x86_64) Trawler"
_REDIRECTS: Final = frozenset([301, 302, 303, 307, 308])
_REPEATABLE: Final = frozenset(["GET", "HEAD"])
_PROTOCOLS: Final = ["http/1.1"]


class BrokenOff(OSError):
    """The body ended before it was complete."""


class Stalled(BrokenOff):
    """No bytes arrived for a while in the middle of the body."""


class Waiter(Protocol):
    """Is notified when a site was asked and when it has answered."""

    def asking(self) -> None:
        """A site was asked and has not answered yet."""
        ...

    def answered(self) -> None:
        """The site answered, or is no longer waited for."""
        ...


class Answer:
    """A site's answer. Read it to its end, or close it."""

    def __init__(
        self, at: Target, response: http.client.HTTPResponse, connection: "_Connection", method: str
    ) -> None:
        self.at = at
        self.status = response.status
        self.reason = response.reason
        self.headers = response.headers
        self._response = response
        self._connection = connection
        self.chunked = bool(response.chunked)
        self.length = None if self.chunked else _length(response)
        """Bytes of the body on the wire; None if only its end shows its length."""
        bare = method == "HEAD" or self.status in {204, 304}
        self._left = 0 if bare else self.length
        self._over = bare
        self._unpacker = content_encoding.unpacker("" if bare else sent_encoding(self.headers))
        self._ready: Iterator[bytes] = iter(())
        if bare:
            self._finish()

    @property
    def packed(self) -> bool:
        """Whether the body is encoded, so that its bytes are not those of the file."""
        return not isinstance(self._unpacker, content_encoding.Plain)

    @property
    def measured(self) -> bool:
        """Whether the end of the body proves that it is complete."""
        return self.chunked or self.length is not None

    def pieces(self, size: int) -> Iterator[bytes]:
        """The decoded body as it arrives. Raises BrokenOff, OSError and FetchError."""
        while piece := self.read(size):
            yield piece

    def read(self, size: int) -> bytes:
        """The next decoded bytes, from at most `size` bytes on the wire; empty at the end."""
        while True:
            piece = next(self._ready, None)
            if piece is not None:
                return piece
            packed = self._receive(size)
            if not packed:
                self._unpacker.finish()
                return b""
            if not self.packed:
                return packed
            self._ready = self._unpacker.feed(packed)

    def _receive(self, size: int) -> bytes:
        if self._over:
            return b""
        try:
            piece = self._response.read1(size if self._left is None else min(size, self._left))
        except (
            http.client.HTTPException,
            ConnectionError,
            TimeoutError,
            ssl.SSLError,
            ValueError,
        ) as error:
            self.close()
            kind = Stalled if isinstance(error, TimeoutError) else BrokenOff
            raise kind("the body broke off") from error
        if self._left is not None:
            self._left -= len(piece)
            if not piece and self._left:
                self.close()
                raise BrokenOff("the body is shorter than it was announced to be")
        if not piece or self._left == 0:
            self._finish()
        return piece

    def _finish(self) -> None:
        self._over = True
        self._response.close()
        self._connection.release(keep=self.measured and not self._response.will_close)

    def close(self) -> None:
        """Discard the rest of the body."""
        if not self._over:
            self._over = True
            self._response.close()
            self._connection.release(keep=False)


def sent_encoding(headers: HTTPMessage) -> str:
    """All Content-Encoding headers, in the order in which they were applied; empty if there are
    none. Duplicates are dropped: a site and the proxy in front of it may both write the same line.
    """
    return ",".join(dict.fromkeys(map(str, headers.get_all("Content-Encoding", []))))


def _length(response: http.client.HTTPResponse) -> int | None:
    """Content-Length, which may occur several times with the same value (RFC 9110, section 8.6).
    Raises FetchError (SiteError) if it is invalid.
    """
    said = {
        word.strip()
        for line in response.headers.get_all("Content-Length", [])
        for word in line.split(",")
    }
    if not said:
        return None
    if len(said) > 1 or not (text := said.pop()).isdecimal() or len(text) > 18:
        raise FetchError(FailureReason.SITE_ERROR, "The site says two lengths of one file.")
    return int(text)


class _Connection:
    """A connection in use, and the pool to which it returns."""

    def __init__(
        self, client: "Client", origin: tuple[str, str, int], inner: http.client.HTTPConnection
    ) -> None:
        self._client = client
        self._origin = origin
        self.inner = inner

    def release(self, *, keep: bool) -> None:
        if keep:
            self._client.put_back(self._origin, self.inner)
        else:
            self.inner.close()


class Client:
    """Sends requests, through a proxy if there is one. Not thread-safe. Create it before a fork,
    since loading the certificates takes 50 ms, and close it before the fork. A closed client may be
    used again.
    """

    def __init__(self, proxy: str = "", *, tls: ssl.SSLContext | None = None) -> None:
        self.waiter: Waiter | None = None
        """Is notified when an answer is awaited and when it has arrived."""
        self._given = proxy
        self._proxy = target(proxy) if proxy else None
        self._idle: dict[tuple[str, str, int], list[tuple[float, http.client.HTTPConnection]]] = (
            defaultdict(list)
        )
        self._open: weakref.WeakSet[Answer] = weakref.WeakSet()
        self._busy: http.client.HTTPConnection | None = None
        """The connection on which an answer is awaited or read."""
        self._tls = tls or _tls()

    def sibling(self) -> "Client":
        """Create a client for another thread. It shares what takes time to create."""
        return Client(self._given, tls=self._tls)

    def get(self, url: str, headers: Mapping[str, str] | None = None) -> Answer:
        """Follow redirects to an answer. Raises FetchError and OSError."""
        here, cookies = target(url), http.cookiejar.CookieJar()
        for _ in range(MAX_REDIRECTS + 1):
            answer = self.send("GET", here, with_cookies(headers or {}, here, cookies))
            note_cookies(answer, cookies)
            if not redirects(answer):
                return answer
            answer.close()
            here = following(here, received(answer.headers["Location"]))
        raise FetchError(FailureReason.SITE_ERROR, "The site redirects too often.")

    def send(
        self,
        method: str,
        at: Target,
        headers: Mapping[str, str],
        body: bytes | None = None,
        *,
        patience: float = SILENT_FOR,
    ) -> Answer:
        """Send one request and return its answer, which must begin within `patience` seconds.
        Raises FetchError and OSError.
        """
        if self.waiter is None:
            return self._sent(method, at, headers, body, patience)
        self.waiter.asking()
        try:
            return self._sent(method, at, headers, body, patience)
        finally:
            self.waiter.answered()

    def _sent(
        self,
        method: str,
        at: Target,
        headers: Mapping[str, str],
        body: bytes | None,
        patience: float,
    ) -> Answer:
        while (kept := self._kept(at)) is not None:
            kept.sock.settimeout(patience)
            try:
                return self._exchange(kept, method, at, headers, body)
            except (http.client.RemoteDisconnected, ConnectionError, ssl.SSLError):
                # the site closed the idle connection: retry a repeatable request on another one
                kept.close()
                if method not in _REPEATABLE:
                    raise
        try:
            fresh = self._connect(at, patience)
        except OSError:
            raise
        except (http.client.HTTPException, ValueError) as error:  # from a proxy
            raise FetchError(FailureReason.SITE_ERROR) from error
        return self._exchange(fresh, method, at, headers, body)

    def _kept(self, at: Target) -> http.client.HTTPConnection | None:
        idle = self._idle[at.origin]
        while idle:
            since, connection = idle.pop()
            if time.monotonic() - since <= KEPT_FOR and _is_quiet(connection):
                return connection
            connection.close()
        return None

    def put_back(
        self, origin: tuple[str, str, int], connection: http.client.HTTPConnection
    ) -> None:
        """Return a connection to the pool."""
        self._idle[origin].append((time.monotonic(), connection))

    def interrupt(self) -> None:
        """Called from another thread: a caller that waits for this client continues at once, with
        an error.
        """
        busy = self._busy
        sock = busy.sock if busy is not None else None
        if sock is not None:
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Close idle connections, and answers that were not read to their end."""
        for answer in list(self._open):
            answer.close()
        for idle in self._idle.values():
            for _, connection in idle:
                connection.close()
        self._idle.clear()

    def _connect(self, at: Target, patience: float) -> http.client.HTTPConnection:
        through = self._proxy or at
        within = min(CONNECT_WITHIN, patience)
        connection: http.client.HTTPConnection
        if at.scheme == "https":
            connection = http.client.HTTPSConnection(
                through.host, through.port, timeout=within, context=self._tls
            )
            if self._proxy is not None:
                connection.set_tunnel(at.host, at.port)
        else:
            connection = http.client.HTTPConnection(through.host, through.port, timeout=within)
        connection.response_class = Response
        connection.connect()
        assert isinstance(connection.sock, socket.socket)
        connection.sock.settimeout(patience)
        return connection

    def _exchange(
        self,
        connection: http.client.HTTPConnection,
        method: str,
        at: Target,
        headers: Mapping[str, str],
        body: bytes | None,
    ) -> Answer:
        whole = self._proxy is not None and at.scheme == "http"
        self._busy = connection
        try:
            connection.putrequest(
                method, at.url if whole else at.path, skip_host=True, skip_accept_encoding=True
            )
            for name, value in _headers(at, headers, body).items():
                connection.putheader(name, value)
            connection.endheaders(body)
            wire = connection.sock  # the connection drops it if the answer is its last one
            response = connection.getresponse()
            wire.settimeout(STALLED_FOR)
            try:
                answer = Answer(at, response, _Connection(self, at.origin, connection), method)
            except FetchError:
                response.close()
                raise
            self._open.add(answer)
            return answer
        except (http.client.RemoteDisconnected, OSError, FetchError):
            connection.close()
            raise
        except (http.client.HTTPException, ValueError) as error:
            connection.close()
            raise FetchError(FailureReason.SITE_ERROR) from error


def _tls() -> ssl.SSLContext:
    made = ssl.create_default_context()
    made.set_alpn_protocols(_PROTOCOLS)
    # since Python 3.13, certificates without a key identifier are refused, which browsers accept
    made.verify_flags &= ~ssl.VERIFY_X509_STRICT
    return made


def _is_quiet(connection: http.client.HTTPConnection) -> bool:
    """Whether nothing arrived since the last answer: neither the end of the connection nor
    unsolicited bytes.
    """
    try:
        return connection.sock is not None and not select.select([connection.sock], [], [], 0)[0]
    except (OSError, ValueError):
        return False


def redirects(answer: Answer) -> bool:
    """Whether the answer is a redirect to another address."""
    return answer.status in _REDIRECTS and "Location" in answer.headers


def _headers(at: Target, given: Mapping[str, str], body: bytes | None) -> dict[str, str]:
    """All headers of a request, each name once regardless of case. Values that cannot be sent are
    omitted.
    """
    usual = {"User-Agent": _AGENT, "Accept": "*/*", "Accept-Encoding": "identity"}
    found = {"host": ("Host", at.authority)}
    for name, value in (*usual.items(), *given.items()):
        if name.lower() != "host" and _is_sendable(value):
            found[name.lower()] = (name, value)
    if body is not None:
        found["content-length"] = ("Content-Length", str(len(body)))
    return dict(found.values())


def _is_sendable(value: str) -> bool:
    return all(" " <= character <= "\xff" or character == "\t" for character in value)


def with_cookies(
    headers: Mapping[str, str], here: Target, jar: http.cookiejar.CookieJar
) -> dict[str, str]:
    """The headers with the jar's cookies for this address, unless they already contain cookies."""
    asked = urllib.request.Request(here.url)  # noqa: S310 - nothing is opened
    jar.add_cookie_header(asked)
    cookie = asked.get_header("Cookie")
    return {**headers, "Cookie": cookie} if cookie and "Cookie" not in headers else dict(headers)


def note_cookies(answer: Answer, jar: http.cookiejar.CookieJar) -> None:
    """Store the cookies of an answer in the jar."""
    asked = urllib.request.Request(answer.at.url)  # noqa: S310 - nothing is opened
    jar.extract_cookies(_Cookied(answer.headers), asked)  # type: ignore[arg-type]  # duck-typed


class _Cookied:
    """The part of an answer that a cookie jar reads."""

    def __init__(self, headers: HTTPMessage) -> None:
        self._headers = headers

    def info(self) -> HTTPMessage:
        return self._headers


def media_type(headers: HTTPMessage) -> str:
    """Content-Type without its parameters, in lower case."""
    return str(headers.get("Content-Type", "")).partition(";")[0].strip().lower()
