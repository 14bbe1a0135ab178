"""Parses links as people write them: finds them in texts, normalises them to the one grammar of
`trawler_crds.addresses`, and checks them as far as that needs no network. Pure.

The model is a browser's address bar (WHATWG URL, basic URL parser): international host names become
their xn-- form (UTS 46), other letters become %XX, a missing scheme becomes https. Printable ASCII
stays as it was.
"""

import ipaddress
import re
import unicodedata
from dataclasses import dataclass
from enum import StrEnum
from typing import Final
from urllib.parse import quote, unquote

import idna

from trawler_common.egress import AllowList, is_public
from trawler_common.text import sanitize
from trawler_crds.addresses import MAX_URL, BadAddress, parse

MOST: Final = 5
"""Maximum number of links of one message that are offered."""
LONGEST: Final = 8000
"""Maximum characters that are searched: far more than Discord allows in one place."""
_FOUND: Final = re.compile(r"https?://[^\s<>]+", re.IGNORECASE)
_SCHEME: Final = re.compile(r"(https?):[/\\]*", re.IGNORECASE)
_OTHER_SCHEME: Final = re.compile(r"[a-z][a-z0-9+.-]*:(?!\d)", re.IGNORECASE)
_BARE: Final = re.compile(
    r"(//)?([^\s/\\?#@:.]+\.)+([^\W\d_]{2,}|xn--[a-z0-9-]+|\d{1,3})\.?(:\d*)?([/\\?#]|$)",
    re.IGNORECASE,
)
_PARTS: Final = re.compile(r"([^/\\?#]*)([^?#]*)(.*)", re.DOTALL)
_PORT: Final = re.compile(r":(\d*)$")
_FORBIDDEN: Final = re.compile(r"[\x00-\x20\x7f#/:<>?@\[\\\]^|%]")
"""What a decoded host must not contain (WHATWG URL, forbidden domain code points): the host would
end there.
"""
_CLOSING: Final = {
    ")": "(",
    "]": "[",
    "}": "{",
    "\uff09": "\uff08",
    "\u300d": "\u300c",
    "\u3011": "\u3010",
}
"""Closing brackets → opening brackets, also Chinese and Japanese ones."""
_SENTENCE: Final = ".,;:!?'\"*_~|`"
"""Characters that a sentence or markdown puts after a link."""
_TYPED: Final = ".,;'\""
"""Characters that do not belong to a link even if somebody types only a link."""
_PUNCTUATION: Final = frozenset({"Po", "Pf", "Pe"})
"""Unicode categories of the characters that other scripts put there."""
_INSIDE: Final = frozenset({"localhost", "localhost.localdomain"})
_INSIDE_ENDS: Final = (".localhost", ".local", ".internal", ".lan", ".home.arpa")


class Objection(StrEnum):
    """Why a link is refused before anything else happens."""

    NOT_A_LINK = "not-a-link"
    MALFORMED = "malformed"
    TOO_LONG = "link-too-long"
    WITH_PASSWORD = "link-with-password"  # noqa: S105 - not one, but the word for it
    PRIVATE = "private-address"


class BadLink(ValueError):
    """The text is not a link that may be requested."""

    def __init__(self, objection: Objection, *, length: int = 0) -> None:
        super().__init__(objection.value)
        self.objection = objection
        self.length = length
        """Number of characters if the link is too long."""


@dataclass(frozen=True)
class Link:
    """One link in two spellings."""

    url: str
    """The form that a client requests; `addresses.parse` accepts it."""
    written: str
    """The form that the person wrote, complete and safe between `<` and `>`."""


def find(text: str) -> list[Link]:
    """The distinct links of a text in order, without the characters that the sentence or markdown
    puts around them.
    """
    found: dict[str, Link] = {}
    for match in _FOUND.finditer(text[:LONGEST]):
        try:
            link = normalise(_trimmed(match.group(), _SENTENCE))
        except BadLink:
            continue
        found.setdefault(link.url, link)
    return list(found.values())[:MOST]


def normalise(text: str) -> Link:
    """The link that a person meant with the typed text. Raises BadLink."""
    if len(text) > LONGEST:
        raise BadLink(Objection.TOO_LONG, length=len(text))
    meant = _trimmed(_unwrapped(text.strip()), _TYPED)
    scheme = _SCHEME.match(meant)
    if scheme is not None and (" " not in meant or meant.count("://") == 1):
        return _built(scheme[1].lower(), meant[scheme.end() :])
    if scheme is None and _BARE.match(meant):
        return _built("https", meant.lstrip("/"))
    return _within(meant)


def _within(text: str) -> Link:
    """The only link in a longer text. Raises BadLink."""
    found = find(text)
    if len(found) != 1 or (_OTHER_SCHEME.match(text) and " " not in text):
        raise BadLink(Objection.NOT_A_LINK)
    return found[0]


def _built(scheme: str, rest: str) -> Link:
    parts = _PARTS.match(rest)
    assert parts is not None, "every text has these parts"
    authority, path, more = parts.groups()
    if "@" in authority:
        raise BadLink(Objection.WITH_PASSWORD)
    port = _PORT.search(authority)
    host = authority[: port.start()] if port else authority
    number = f":{port[1].lstrip('0')[:6] or '0'}" if port and port[1] else ""
    path = path.replace("\\", "/")
    url = f"{scheme}://{_ascii_host(host)}{number}{_encoded(path)}{_encoded(more)}"
    if len(url) > MAX_URL:
        raise BadLink(Objection.TOO_LONG, length=len(url))
    try:
        parse(url)
    except BadAddress as error:
        raise BadLink(Objection.MALFORMED) from error
    return Link(url, _written(f"{scheme}://{host}{number}{path}{more}", url))


def _written(text: str, url: str) -> str:
    """The form that the person wrote, complete and safe. If it would lead elsewhere, the form that
    a client requests.
    """
    shown, asked = _bracketed(sanitize(text, limit=4 * MAX_URL)), _bracketed(url)
    parts = _PARTS.match(shown.partition("://")[2])
    assert parts is not None, "every text has these parts"
    same = asked.endswith(_encoded(parts[2]) + _encoded(parts[3])) and len(shown) <= MAX_URL
    return shown if same else asked


def _bracketed(text: str) -> str:
    """Encode what must not stand between `<` and `>`."""
    return text.replace(" ", "%20").replace("<", "%3C").replace(">", "%3E")


def _ascii_host(host: str) -> str:
    """Convert an international name to its xn-- form, as browsers do. Raises BadLink."""
    if host.isascii() and "%" not in host:
        return host
    try:
        mapped = idna.uts46_remap(unquote(host, errors="strict"), std3_rules=False)
        if _FORBIDDEN.search(mapped):
            raise BadLink(Objection.MALFORMED)
        return ".".join(map(_ascii_label, mapped.split(".")))
    except (idna.IDNAError, UnicodeError) as error:
        raise BadLink(Objection.MALFORMED) from error


def _ascii_label(label: str) -> str:
    if label.isascii():
        return label
    try:
        return idna.alabel(label).decode()
    except (
        idna.InvalidCodepoint
    ):  # a heart, for example: IDNA 2008 has no such names, registries and browsers do
        if not any(unicodedata.category(each) == "So" for each in label):
            raise
        return f"xn--{label.encode('punycode').decode()}"


def _encoded(text: str) -> str:
    """Encode everything but printable ASCII as %XX, once: encoded text stays. Of ASCII, also encode
    what a browser encodes in a query and what would end an address in Discord.
    """
    kept = (c for c in text if c not in "\t\r\n")
    return "".join(c if "!" <= c <= "~" and c not in "\\<>" else quote(c, safe="") for c in kept)


def _unwrapped(text: str) -> str:
    """Remove the brackets that keep Discord from showing a preview."""
    return text[1:-1].strip() if text.startswith("<") and text.endswith(">") else text


def _trimmed(link: str, ends: str) -> str:
    """Remove a full stop or a bracket that belongs to the sentence; `…/a_(b)` keeps its own."""
    while link:
        last = link[-1]
        opening = _CLOSING.get(last)
        if opening is not None:
            if link.count(opening) >= link.count(last):
                break
        elif last not in ends and (
            last.isascii() or unicodedata.category(last) not in _PUNCTUATION
        ):
            break
        link = link[:-1]
    return link


def require_public(link: Link, allowed: AllowList) -> None:
    """Raises BadLink for an address whose name alone shows that it is not public. The address that
    it resolves to is checked when a connection is made.
    """
    address = parse(link.url)
    if not allowed.names(address.hostname, address.port) and _is_inside(address.hostname):
        raise BadLink(Objection.PRIVATE)


def _is_inside(host: str) -> bool:
    if host in _INSIDE or host.endswith(_INSIDE_ENDS):
        return True
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return "." not in host
    return not is_public(host)
