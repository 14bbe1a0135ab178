"""A site that says exactly what a test tells it to, byte for byte, and keeps exactly what it was
asked.
"""

import contextlib
import socketserver
import ssl
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Asked:
    """One request."""

    method: str
    target: str
    """As it came, not decoded."""
    headers: dict[str, str]
    """Names in lower case."""


Said = Iterable[bytes | float]
"""Bytes to send; a number is a pause in seconds. Then the connection is closed."""


def answer(status: str, body: bytes = b"", *headers: str, length: bool = True) -> list[bytes]:
    """One whole answer."""
    lines = [f"HTTP/1.1 {status}", *headers]
    lines += [f"Content-Length: {len(body)}"] if length else []
    return [("\r\n".join([*lines, "Connection: close", "", ""])).encode("latin-1"), body]


@dataclass
class RawSite:
    """Its address and what it was asked."""

    say: Callable[[Asked], Said]
    asked: list[Asked] = field(default_factory=list)
    port: int = 0
    scheme: str = "http"

    def url(self, target: str) -> str:
        return f"{self.scheme}://127.0.0.1:{self.port}{target}"


class _Handler(socketserver.StreamRequestHandler):
    site: RawSite

    def handle(self) -> None:
        with contextlib.suppress(OSError, ValueError):
            line = self.rfile.readline(65536).decode("latin-1").split(" ")
            headers = {}
            while (raw := self.rfile.readline(65536).strip()) != b"":
                name, _, value = raw.decode("latin-1").partition(":")
                headers[name.lower()] = value.strip()
            asked = Asked(line[0], line[1], headers)
            self.site.asked.append(asked)
            for part in self.site.say(asked):
                if isinstance(part, float):
                    time.sleep(part)
                elif asked.method != "HEAD" or part.startswith(b"HTTP/"):
                    self.wfile.write(part)
                    self.wfile.flush()


class _Server(socketserver.ThreadingTCPServer):
    daemon_threads = True
    allow_reuse_address = True
    request_queue_size = 64
    tls: ssl.SSLContext | None = None

    def get_request(self) -> Any:
        connection, address = super().get_request()
        if self.tls is not None:
            connection = self.tls.wrap_socket(connection, server_side=True)
        return connection, address

    def handle_error(self, *_: Any) -> None: ...


@contextmanager
def rawsite(say: Callable[[Asked], Said], tls: ssl.SSLContext | None = None) -> Iterator[RawSite]:
    """Serve on loopback until the block ends."""
    site = RawSite(say, scheme="https" if tls else "http")
    handler = type("Handler", (_Handler,), {"site": site})
    with _Server(("127.0.0.1", 0), handler) as server:
        server.tls = tls
        site.port = server.server_address[1]
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield site
        finally:
            server.shutdown()
            thread.join()
