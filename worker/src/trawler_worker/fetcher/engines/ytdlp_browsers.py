"""Requests that look like a browser's, for the few extractors that ask for it. They go through the
egress proxy or not at all: what sends them (libcurl, by curl_cffi) has sockets of its own, which no
guard of ours sees.
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
"""CURL_HTTP_VERSION_2_0, whose frames tell where a body ends."""


class BrowserAnswer:
    """What a site answered a browser; the part of `Answer` that yt-dlp's requests need."""

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
        """Whether the end of the body shows that it is whole: libcurl fails where it came short."""
        return self.chunked or self.length is not None

    def read(self, _: int) -> bytes:
        """The next bytes, unpacked; none at the end. Raises BrokenOff."""
        try:
            piece = next(self._pieces, b"")
        except Exception as error:  # a library's own errors, all of the way to the site
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
    """A handler that can speak like a browser, through a proxy."""

    class BrowsingRH(TrawlerRH, ImpersonateRequestHandler):  # type: ignore[misc]  # yt-dlp has no types
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
    """One request, one answer, no redirect. Raises OSError."""
    curl = importlib.import_module("curl_cffi.requests")  # 20 MB that few jobs need
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
