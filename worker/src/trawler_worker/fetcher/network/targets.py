"""Addresses as they go out: exactly as they came in. Pure.

What people write has one strict grammar (`trawler_crds.addresses`); sites send what they like, raw
letters and spaces included. Nothing that is encoded is ever decoded or encoded again, since the
site may have signed it.
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
"""Characters of an address that a site sends: with a session's token a signed one has some 2,500.
"""
_PARTS: Final = re.compile(
    r"(?P<scheme>https?)://(?P<authority>[^/?#\\]*)(?P<rest>[^#]*)", re.IGNORECASE
)
_STANDARD: Final = {"http": 80, "https": 443}
"""Ports that no Host header names."""
_SCHEME: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:")
_STRIPPED: Final = re.compile(r"[\t\r\n]")
_UNSENDABLE: Final = re.compile(r"[^!-~]")


@dataclass(frozen=True, kw_only=True, slots=True)
class Target:
    """Where a request goes."""

    scheme: str
    host: str
    """As it is dialled: without brackets, international names in their xn-- form."""
    port: int
    authority: str
    """As the Host header says it."""
    path: str
    """The request's target, with its query."""

    @property
    def url(self) -> str:
        """The whole address, as it is sent."""
        return f"{self.scheme}://{self.authority}{self.path}"

    @property
    def origin(self) -> tuple[str, str, int]:
        """Whom a connection is to."""
        return self.scheme, self.host, self.port


def target(url: str) -> Target:
    """Take an address apart, as a site sent it or a person gave it. Raises FetchError
    (BadAddress).
    """
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
    """An international name in its xn-- form (UTS #46); anything else as it is."""
    if authority.isascii():
        return authority
    host, colon, port = authority.partition(":")
    try:
        return idna.encode(host, uts46=True).decode() + colon + port
    except idna.IDNAError:
        raise FetchError(FailureReason.BAD_ADDRESS) from None


def _escape(found: re.Match[str]) -> str:
    """One character that may not be sent, in UTF-8; a byte of another encoding as it came."""
    try:
        raw = found.group().encode(errors="surrogateescape")
    except UnicodeEncodeError:  # half a character, of somebody's JSON
        raw = b"?"
    return "".join(f"%{byte:02X}" for byte in raw)


def sent(header: str) -> str:
    """A header of bytes that were read one by one (as `http.client` does), as the text that the
    site meant.
    """
    raw = header.encode("latin-1", errors="replace")
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return header


def received(header: str) -> str:
    """The address in a header, of which no byte is lost: what is not UTF-8 is sent back as the
    bytes that came.
    """
    return header.encode("latin-1", errors="replace").decode(errors="surrogateescape")


def following(here: Target, location: str) -> Target:
    """Where a redirect leads (RFC 3986, section 5). Raises FetchError (BadAddress)."""
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
