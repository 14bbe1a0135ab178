"""Decodes response bodies with a Content-Encoding piece by piece, within the caller's limits."""

import zlib
from collections.abc import Iterable, Iterator
from itertools import chain
from typing import Final, Protocol

from trawler_crds.failures import FailureReason
from trawler_worker.fetcher.errors import FetchError

PIECE: Final = 256 * 1024
"""Maximum bytes decoded at once: a body that is small on the wire may be large."""
MAX_LAYERS: Final = 2
_PACKINGS: Final = frozenset(
    [
        "gzip",
        "x-gzip",
        "deflate",
        "br",
        "zstd",
        "compress",
        "x-compress",
        "dcb",
        "dcz",
        "aes128gcm",
        "exi",
        "pack200-gzip",
    ]
)
"""Content codings in IANA's registry. Object stores also return what an upload declared, such as
`aws-chunked` or `utf-8`.
"""


class Unpacker(Protocol):
    """A decoder of one content coding."""

    def feed(self, packed: bytes) -> Iterator[bytes]:
        """Decode one piece. Raises FetchError (SiteError) if it is broken."""
        ...

    def finish(self) -> None:
        """Raises FetchError (SiteError) if the end of the body is missing."""
        ...


class Plain:
    """Passes on a body that is not encoded."""

    def feed(self, packed: bytes) -> Iterator[bytes]:
        yield packed

    def finish(self) -> None: ...


class Zipped:
    """Decodes gzip with one or several members (RFC 1952, section 2.2), and deflate with or without
    its zlib header.
    """

    def __init__(self, *, raw: bool = False) -> None:
        self._raw = raw
        self._inside = zlib.decompressobj(-zlib.MAX_WBITS if raw else zlib.MAX_WBITS | 32)
        self._begun = False
        self._over = False
        self._kept = b""

    def feed(self, packed: bytes) -> Iterator[bytes]:
        while packed and not self._over:
            packed, self._kept = self._kept + packed, b""
            if self._inside.eof:
                if packed == b"\x1f":
                    self._kept = packed  # may be the first byte of another member
                    return
                if not packed.startswith(b"\x1f\x8b"):
                    self._over = True  # data after the last member, which gzip also ignores
                    return
                self._inside = zlib.decompressobj(zlib.MAX_WBITS | 16)
            piece, packed = self._piece(packed)
            if piece:
                yield piece

    def _piece(self, packed: bytes) -> tuple[bytes, bytes]:
        try:
            piece = self._inside.decompress(packed, PIECE)
        except zlib.error:
            if self._begun or self._raw:
                raise FetchError(
                    FailureReason.SITE_ERROR, "The site packed the file in a broken way."
                ) from None
            self._raw, self._inside = True, zlib.decompressobj(-zlib.MAX_WBITS)
            return b"", packed
        self._begun = True
        return piece, self._inside.unused_data or self._inside.unconsumed_tail

    def finish(self) -> None:
        if self._begun and not self._inside.eof:
            raise FetchError(FailureReason.SITE_ERROR, "The site broke off in the middle.")


class _Layers:
    """Decodes a body that was encoded several times."""

    def __init__(self, outermost_first: list[Unpacker]) -> None:
        self._layers = outermost_first

    def feed(self, packed: bytes) -> Iterator[bytes]:
        pieces: Iterable[bytes] = [packed]
        for layer in self._layers:
            pieces = chain.from_iterable(map(layer.feed, pieces))
        yield from pieces

    def finish(self) -> None:
        for layer in self._layers:
            layer.finish()


def unpacker(encoding: str) -> Unpacker:
    """Return the decoder for a Content-Encoding, ignoring words that name no coding. Raises
    FetchError (SiteError) for an unsupported coding: we never request one.
    """
    words = [word.strip().lower() for word in encoding.split(",")]
    packings = [word for word in words if word in _PACKINGS]
    if len(packings) > MAX_LAYERS or not {"gzip", "x-gzip", "deflate"}.issuperset(packings):
        raise FetchError(
            FailureReason.SITE_ERROR, "The site packed the file in a way that we do not know."
        )
    layers: list[Unpacker] = [Zipped() for _ in packings]
    if len(layers) > 1:
        return _Layers(layers)
    return layers[0] if layers else Plain()
