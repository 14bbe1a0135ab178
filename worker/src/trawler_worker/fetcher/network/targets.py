"""Parses the addresses of requests, which are sent exactly as they were received. Pure.

Addresses from people follow one strict grammar (`trawler_crds.addresses`). Sites send anything,
including unencoded letters and spaces. Encoded characters are never decoded or encoded again, since
the site may have signed the address.
"""

import re
from dataclasses import dataclass
from typing import Final
from urllib.parse import urljoin

import idna

from trawler_crds import addresses
from trawler_crds.failures import FailureReason
from trawler_worker.fetcher.errors import FetchError

MAX_SENT: Final = 16 * 1024
"""Maximum characters of an address from a site: a signed one with a session token has some 2,500.
"""
_PARTS: Final = re.compile(
    r"(?P<scheme>https?)://(?P<authority>[^/?#\\]*)(?P<rest>[^#]*)", re.IGNORECASE
)
_STANDARD: Final = {"http": 80, "https": 443}
"""Default ports, which a Host header omits."""
_SCHEME: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:")
_STRIPPED: Final = re.compile(r"[\t\r\n]")
_UNSENDABLE: Final = re.compile(r"[^!-~]")


@dataclass(frozen=True, kw_only=True, slots=True)
class Target:
    """The destination of a request."""

    scheme: str
    host: str
    """The host to dial: without brackets, international names in their xn-- form."""
    port: int
    authority: str
    """The value of the Host header."""
    path: str
    """The request target, including its query."""

    @property
    def url(self) -> str:
        """The whole address, as it is sent."""
        return f"{self.scheme}://{self.authority}{self.path}"

    @property
    def origin(self) -> tuple[str, str, int]:
        """The server of a connection: scheme, host and port."""
        return self.scheme, self.host, self.port


def target(url: str) -> Target:
    """Parse an address from a site or a person. Raises FetchError (BadAddress)."""
    if len(url) > MAX_SENT:
        raise FetchError(FailureReason.BAD_ADDRESS, "The site sent an address that is too long.")
    parts = _PARTS.match(_STRIPPED.sub("", url.strip(" ")))
    if parts is None:
        raise FetchError(FailureReason.BAD_ADDRESS)
    scheme, authority = parts["scheme"].lower(), _plain_host(parts["authority"])
    try:
        known = addresses.parse(f"{scheme}://{authority}/")
    except addresses.BadAddress as error:
        raise FetchError(FailureReason.BAD_ADDRESS, f"The address {error}.") from None
    rest = _UNSENDABLE.sub(_escape, parts["rest"])
    return Target(
        scheme=scheme,
        host=known.host.strip("[]").rstrip("."),
        port=known.port,
        authority=known.host if known.port == _STANDARD[scheme] else authority,
        path=rest if rest.startswith("/") else f"/{rest}",
    )


def _plain_host(authority: str) -> str:
    """An authority with an international name in its xn-- form (UTS #46); any other unchanged."""
    if authority.isascii():
        return authority
    host, colon, port = authority.partition(":")
    try:
        return idna.encode(host, uts46=True).decode() + colon + port
    except idna.IDNAError:
        raise FetchError(FailureReason.BAD_ADDRESS) from None


def _escape(found: re.Match[str]) -> str:
    """Percent-encode one character that may not be sent, in UTF-8. A byte of another encoding stays
    the same byte.
    """
    try:
        raw = found.group().encode(errors="surrogateescape")
    except UnicodeEncodeError:  # a lone surrogate, from a site's JSON
        raw = b"?"
    return "".join(f"%{byte:02X}" for byte in raw)


def sent(header: str) -> str:
    """Decode a header that was read byte by byte (as `http.client` does) to the text that the site
    meant.
    """
    raw = header.encode("latin-1", errors="replace")
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return header


def received(header: str) -> str:
    """The address in a header without loss of any byte: what is not UTF-8 is sent back as the bytes
    that were received.
    """
    return header.encode("latin-1", errors="replace").decode(errors="surrogateescape")


def following(here: Target, location: str) -> Target:
    """The target of a redirect (RFC 3986, section 5). Raises FetchError (BadAddress)."""
    there = _STRIPPED.sub("", location.strip(" "))
    if _SCHEME.match(there):
        return target(there)
    if there.startswith("//"):
        return target(f"{here.scheme}:{there}")
    bare = there.partition("#")[0]
    site = f"{here.scheme}://{here.authority}"
    if bare.startswith("/"):
        return target(site + bare)
    path = here.path.partition("?")[0]
    if not bare:
        return here
    if bare.startswith("?"):
        return target(site + path + bare)
    relative, mark, query = bare.partition("?")
    try:
        joined = urljoin(site + path, relative)
    except ValueError:
        raise FetchError(FailureReason.BAD_ADDRESS) from None
    return target(joined + mark + query)
