"""The in-process guard: every socket of a job passes it."""

import socket
from typing import Any

import pytest

from trawler_common.egress import AllowList
from trawler_worker.fetcher.network.guard import Guard, RefusedAddress


def answering(*ips: str) -> Any:
    def lookup(host: str, port: int, *_: Any, **__: Any) -> Any:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (ip, port)) for ip in ips]

    return lookup


def guard(*allow: str, ips: tuple[str, ...] = ()) -> Guard:
    found = Guard(AllowList.parse(allow))
    found._lookup = answering(*ips)
    return found


def test_a_name_with_one_private_answer_is_refused() -> None:
    """One public and one private record: the second would be dialled next."""
    with pytest.raises(RefusedAddress):
        guard(ips=("8.8.8.8", "10.0.0.1")).getaddrinfo("evil.example", 80)


def test_an_allowed_name_may_be_private_at_its_port_only() -> None:
    """Exact host and port."""
    mine = guard("site:8080", ips=("10.1.1.1",))
    mine.getaddrinfo("site", 8080)
    mine.judge(socket.AF_INET, ("10.1.1.1", 8080))
    with pytest.raises(RefusedAddress):
        mine.judge(socket.AF_INET, ("10.1.1.1", 22))
    with pytest.raises(RefusedAddress):
        mine.getaddrinfo("other", 8080)


@pytest.mark.parametrize(
    ("family", "address"),
    [
        (socket.AF_INET, ("127.0.0.1", 80)),
        (socket.AF_INET6, ("::ffff:10.0.0.1", 80, 0, 0)),
        (socket.AF_INET, ("evil.example", 80)),
        (socket.AF_INET, ("8.8.8.8", 25)),
        (socket.AF_INET6, ("::ffff:0:808:808", 80, 0, 0)),
        (socket.AF_UNIX, "/run/trawler/fetcher.sock"),
    ],
)
def test_what_is_dialled_is_judged_again(family: int, address: Any) -> None:
    """An address that never went through a look-up, a name, a socket of ours."""
    with pytest.raises(RefusedAddress):
        guard().judge(family, address)
