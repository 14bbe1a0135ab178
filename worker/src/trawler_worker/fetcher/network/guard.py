"""Prevents a job process from connecting to addresses that it may not reach. The egress proxy will
be the real guard; until it exists, this is the one place that the sockets of all engines pass.

It covers Python's sockets only. Nothing else may open one, which is why ffmpeg never gets an
address (`engines/ytdlp` removes its downloader) and curl is not installed.
"""

import ipaddress
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Final

from trawler_common.egress import AllowList, is_public, may_reach

_INTERNET: Final = (socket.AF_INET, socket.AF_INET6)
Origin = tuple[str, int]


class RefusedAddress(OSError):
    """A connection to an address that is neither public nor allowed."""


_service: ContextVar[Origin | None] = ContextVar("service", default=None)
"""The service of ours that is being called: its configured host, and its port."""
_answers: ContextVar[frozenset[Origin]] = ContextVar("answers", default=frozenset())
"""The addresses to which the service's host resolved."""


@contextmanager
def speaking_to(host: str, port: int) -> Iterator[None]:
    """While inside, and in this thread only, exactly this host and port may be dialled, wherever
    they are. No address from a site is fetched in the meantime.
    """
    service, answers = _service.set((host, port)), _answers.set(frozenset({(host, port)}))
    try:
        yield
    finally:
        _service.reset(service)
        _answers.reset(answers)


class Guard:
    """Checks every name that is resolved and every address that is dialled."""

    def __init__(self, allow: AllowList) -> None:
        self._allow = allow
        self._allowed: set[tuple[str, int]] = set()
        self._lookup = socket.getaddrinfo

    def getaddrinfo(self, host: Any, port: Any, *rest: Any, **more: Any) -> Any:
        """Like `socket.getaddrinfo`. Raises RefusedAddress if any answer is not public."""
        answers = self._lookup(host, port, *rest, **more)
        name = host.decode() if isinstance(host, bytes) else str(host or "")
        if _service.get() == (name, port):
            found = {(str(answer[4][0]), int(answer[4][1])) for answer in answers}
            _answers.set(_answers.get() | found)
            return answers
        for family, _, _, _, address in answers:
            if family in _INTERNET:
                if self._allow.names(name.rstrip("."), int(address[1])):
                    self._allowed.add((str(address[0]), int(address[1])))
                elif not is_public(str(address[0])):
                    raise RefusedAddress("not a public address")
        return answers

    def judge(self, family: int, address: Any) -> None:
        """Raises RefusedAddress unless exactly this address may be dialled."""
        if family not in _INTERNET:
            raise RefusedAddress("not an internet address")
        host, port = str(address[0]), int(address[1])
        try:
            ipaddress.ip_address(host)
        except ValueError:
            raise RefusedAddress("dialled by name") from None
        if (host, port) in self._allowed or (host, port) in _answers.get():
            return
        if self._allow.names(host, port) or may_reach(host, port):
            return
        raise RefusedAddress("not a public address, or not a port of a site")

    def install(self) -> None:
        """Patch the sockets of this process. For a forked job process; cannot be undone."""
        socket.getaddrinfo = self.getaddrinfo
        for name in ("connect", "connect_ex"):
            setattr(socket.socket, name, self._judged(getattr(socket.socket, name)))
        socket.socket.sendto = _refuse  # type: ignore[method-assign]

    def _judged(self, dial: Callable[..., Any]) -> Callable[..., Any]:
        def judged(this: socket.socket, address: Any) -> Any:
            self.judge(this.family, address)
            return dial(this, address)

        return judged


def _refuse(*_: Any) -> int:
    raise RefusedAddress("datagrams are not used")
