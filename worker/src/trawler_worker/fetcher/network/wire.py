"""Reads one HTTP/1.1 answer from the wire: lenient about its headers, as browsers are, and strict
about the end of its body, as browsers are not.
"""

import http.client
import io
import re
from typing import BinaryIO, Final

MAX_INTERIM: Final = 16
MAX_LINE: Final = 64 * 1024
MAX_HEADERS: Final = 100
_NAME: Final = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_SIZE: Final = re.compile(rb"[ \t]*0*([0-9A-Fa-f]{1,16})[ \t]*(?:;[^\n]*)?\r?\n")


class Response(http.client.HTTPResponse):
    """Skips every interim answer (`http.client` knows only 100), and header lines that are no
    headers.
    """

    def begin(self) -> None:
        """Read the status line and the headers. Raises HTTPException."""
        wire = self.fp
        super().begin()
        self.fp = wire

    def _read_status(self) -> tuple[str, int, str]:
        for _ in range(MAX_INTERIM):
            found: tuple[str, int, str] = super()._read_status()  # type: ignore[misc]  # untyped
            fields = headers_of(self.fp)
            if not 100 <= found[1] < 200 or found[1] == 101:
                # the caller reads the headers next
                self.fp = io.BytesIO(fields)  # type: ignore[assignment]
                return found
        raise http.client.HTTPException("too many interim answers")

    def _read_next_chunk_size(self) -> int:
        """Read a chunk size, which is complete only with the end of its line: the first half of
        `00002000` is not the last chunk. Raises ValueError.
        """
        found = _SIZE.fullmatch(self.fp.readline(MAX_LINE))
        if found is None:
            self._close_conn()  # type: ignore[attr-defined]  # not in typeshed
            raise ValueError("a chunk without a size")
        return int(found[1], 16)


def headers_of(wire: BinaryIO) -> bytes:
    """Read the header lines up to and including the empty line. Omits lines that are no fields, and
    spaces around names and values. Raises HTTPException if the lines are too long, too many or
    incomplete.
    """
    fields: list[bytes] = []
    kept = False
    for _ in range(MAX_HEADERS + 1):
        line = wire.readline(MAX_LINE + 1)
        if len(line) > MAX_LINE:
            raise http.client.LineTooLong("header line")
        if not line.endswith(b"\n"):
            raise http.client.IncompleteRead(line)
        if line in {b"\r\n", b"\n"}:
            return b"\r\n".join([*fields, b"", b""])
        text = line.replace(b"\r", b" ").replace(b"\0", b" ")
        if text[:1] in {b" ", b"\t"}:
            if kept:  # a folded value
                fields[-1] += b" " + text.strip()
            continue
        name, colon, value = text.partition(b":")
        kept = bool(colon) and _NAME.fullmatch(name.rstrip()) is not None
        if kept:
            fields.append(name.rstrip() + b": " + value.strip())
    raise http.client.HTTPException("too many headers")
