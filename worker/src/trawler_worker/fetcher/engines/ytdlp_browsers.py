"""Sends requests that impersonate a browser, for the few extractors that require it. They go
through the egress proxy or not at all: their sender (libcurl, through curl_cffi) opens its own
sockets, which our guard does not see.
"""

import importlib
import os
from collections.abc import Callable, Iterator, Mapping
from email.message import Message
from http.client import HTTPMessage
from typing import Any, Final, cast

from yt_dlp.networking.common import Request
from yt_dlp.networking.impersonate import ImpersonateRequestHandler, ImpersonateTarget

from trawler_worker.fetcher.engines.ytdlp_http import Sender, TrawlerRH
from trawler_worker.fetcher.network.http import SILENT_FOR, Answer, BrokenOff
from trawler_worker.fetcher.network.targets import Target

BROWSERS: Final = ("chrome", "firefox", "safari", "edge")
CONNECT_WITHIN: Final = 15.0
_HTTP_2: Final = 3
"""CURL_HTTP_VERSION_2_0, whose frames mark the end of a body."""


class BrowserAnswer:
    """A site's answer to an impersonated browser: the part of `Answer` that yt-dlp needs."""

    def __init__(self, at: Target, response: Any, close: Callable[[], None]) -> None:
        self.at = at
        self.status: int = response.status_code
        self.reason: str = response.reason
        self.headers = _message(response.headers.multi_items())
        self._pieces: Iterator[bytes] = response.iter_content()
        self._close = close
        said = self.headers.get("Content-Length", "")
        self.packed = "Content-Encoding" in self.headers
        self.length = int(said) if said.isdecimal() and len(said) <= 18 else None
        self.chunked = "Transfer-Encoding" in self.headers or response.http_version >= _HTTP_2

    @property
    def measured(self) -> bool:
        """Whether the end of the body proves that it is complete: libcurl fails if the body is too
        short.
        """
        return self.chunked or self.length is not None

    def read(self, _: int) -> bytes:
        """The next decoded bytes; empty at the end. Raises BrokenOff."""
        try:
            piece = next(self._pieces, b"")
        except Exception as error:  # the library's own errors, all about the connection
            self.close()
            raise BrokenOff("the body broke off") from error
        if not piece:
            self.close()
        return piece

    def close(self) -> None:
        self._close()


def _message(pairs: list[tuple[str, str | None]]) -> HTTPMessage:
    found = HTTPMessage()
    for name, value in pairs:
        Message.add_header(found, name, value or "")
    return found


def browsing_as(proxy: str) -> type[TrawlerRH]:
    """Create a request handler that can impersonate a browser, through a proxy."""

    class BrowsingRH(TrawlerRH, ImpersonateRequestHandler):  # type: ignore[misc]  # no types
        RH_NAME = TrawlerRH.RH_NAME
        _SUPPORTED_IMPERSONATE_TARGET_MAP: Final = {
            ImpersonateTarget(name): name for name in BROWSERS
        }

        def _headers(self, request: Request) -> Mapping[str, str]:
            if self._browser(request) is None:
                return super()._headers(request)
            found: Mapping[str, str] = self._get_impersonate_headers(request)
            return found

        def _browser(self, request: Request) -> str | None:
            wanted = self._get_request_target(request)
            return self._SUPPORTED_IMPERSONATE_TARGET_MAP[wanted] if wanted is not None else None

        def _sender(self, request: Request) -> Sender:
            browser = self._browser(request)
            return super()._sender(request) if browser is None else self._as_browser(browser)

        def _as_browser(self, browser: str) -> Sender:
            def send(
                method: str, at: Target, headers: Mapping[str, str], body: bytes | None
            ) -> Answer:
                waiter = self._client.waiter
                if waiter is not None:
                    waiter.asking()
                try:
                    return cast("Answer", ask(proxy, browser, method, at, headers, body))
                finally:
                    if waiter is not None:
                        waiter.answered()

            return send

    return BrowsingRH


def ask(
    proxy: str,
    browser: str,
    method: str,
    at: Target,
    headers: Mapping[str, str],
    body: bytes | None,
) -> BrowserAnswer:
    """Send one request and return its answer; follow no redirect. Raises OSError."""
    curl = importlib.import_module("curl_cffi.requests")  # on demand: 20 MB that few jobs need
    session = curl.Session(
        impersonate=browser,
        proxies={"http": proxy, "https": proxy},
        verify=os.environ.get("SSL_CERT_FILE") or True,
        trust_env=False,
    )
    try:
        response = session.request(
            method,
            at.url,
            headers=dict(headers),
            data=body,
            allow_redirects=False,
            stream=True,
            timeout=(CONNECT_WITHIN, SILENT_FOR),
        )
    except Exception as error:
        session.close()
        raise OSError(f"no answer: {type(error).__name__}") from error

    def close() -> None:
        response.close()
        session.close()

    return BrowserAnswer(at, response, close)
