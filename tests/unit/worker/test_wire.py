"""Answers as they come over the wire."""

import http.client
import io

import pytest

from trawler_worker.fetcher.network.wire import Response, headers_of


class Socket:
    """As much of one as an answer reads from."""

    def __init__(self, said: bytes) -> None:
        self._said = said

    def makefile(self, _: str) -> io.BytesIO:
        return io.BytesIO(self._said)


def answer(said: bytes) -> http.client.HTTPResponse:
    found = Response(Socket(said), method="GET")  # type: ignore[arg-type]
    found.begin()
    return found


@pytest.mark.parametrize(
    "odd",
    [
        b"preload\r\n",
        b"Strict-Transport-Security: max-age=1;\r\n includeSubdomains;\r\npreload\r\n",
        b"two words: 1\r\n",
        b": nothing before the colon\r\n",
        b"\tbegins with a blank\r\n",
        b"X: a\rb\r\n",
        b"X: \0\r\n",
    ],
)
def test_a_line_that_is_no_header_hides_none_behind_it(odd: bytes) -> None:
    """`http.client` stops at the first one, and the length behind it is lost."""
    found = answer(b"HTTP/1.1 200 OK\r\n" + odd + b"Content-Length: 3\r\n\r\nabcd")
    assert b"abc" == found.read()


@pytest.mark.parametrize(
    "header", [b"Transfer-Encoding: chunked \r\n", b"Transfer-Encoding : chunked\r\n"]
)
def test_blanks_around_a_header_mean_nothing(header: bytes) -> None:
    """RFC 9110, section 5.5."""
    found = answer(b"HTTP/1.1 200 OK\r\n" + header + b"\r\n3\r\nabc\r\n0\r\n\r\n")
    assert b"abc" == found.read()


def test_a_folded_header_is_one() -> None:
    assert b"A: one two\r\n\r\n" == headers_of(io.BytesIO(b"A: one\r\n  two\r\n\r\n"))


@pytest.mark.parametrize("size", [b"0000", b"-3\r\n", b"0x3\r\n", b"1_0\r\n", b"\r\n", b"g\r\n"])
def test_a_chunk_has_a_size_and_the_end_of_its_line(size: bytes) -> None:
    """Of a size that is padded with noughts, the first half is no last chunk."""
    begun = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0003\r\nabc\r\n"
    with pytest.raises(http.client.IncompleteRead):
        answer(begun + size).read()


def test_a_chunk_may_say_more_than_its_size() -> None:
    """An extension (RFC 9112, section 7.1.1), and noughts before it."""
    begun = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    assert b"abc" == answer(begun + b' 0003 ;a="b"\r\nabc\r\n' + b"0" * 30 + b"\r\n\r\n").read()


@pytest.mark.parametrize(
    "headers",
    [b"Content-Length: 3\r\n", b"A: " + b"x" * 70_000 + b"\r\n\r\n", b"A: 1\r\n" * 200 + b"\r\n"],
    ids=["not all there", "too long", "too many"],
)
def test_headers_have_an_end_and_a_bound(headers: bytes) -> None:
    with pytest.raises(http.client.HTTPException):
        answer(b"HTTP/1.1 200 OK\r\n" + headers)
