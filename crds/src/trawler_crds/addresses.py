"""What counts as an address: one strict grammar and one parser for bot, API server, operator and
worker.

Refuse instead of normalise: clients disagree about odd spellings, so none is let in. The rules
are regular expressions in the common subset of RE2 (CEL) and Python, written once here. The API
server asks only them, at every write; what they cannot say cheaply (a port up to 65535, a real IPv6
address) `parse` checks on top, so whatever the API server accepts is either parsed here or refused
with a sentence.
"""

import ipaddress
import re
from dataclasses import dataclass
from typing import Final

_LABEL: Final = "[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?"
_LAST: Final = "[A-Za-z]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_OCTET: Final = "(25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9][0-9]|[0-9])"
_HOST: Final = rf"(({_LABEL}[.])*{_LAST}[.]?|{_OCTET}([.]{_OCTET}){{3}}|\[[0-9A-Fa-f:]{{2,39}}\])"
_PORT: Final = "(:[1-9][0-9]{0,4})?"

MAX_URL: Final = 2048
MAX_PORT: Final = 65535

URL_RULES: Final[tuple[tuple[str, bool, str], ...]] = (
    ("^https?://", True, "must begin with http:// or https://"),
    (
        "^[!-~]+$",
        True,
        "may hold printable ASCII only: no spaces; write other letters as %XX, and"
        " international host names in their xn-- form",
    ),
    ("^https?://[^/?#]*@", False, "must not carry a user name or password"),
    (r"[\\]", False, "must not contain a backslash"),
    ("__youtubedl_smuggle", False, "must not carry smuggled options"),
    (
        f"^https?://{_HOST}{_PORT}([/?#]|$)",
        True,
        "must name a host in plain form: a DNS name, four decimal numbers, or an IPv6 address"
        " in brackets, with an optional port",
    ),
)
"""(pattern, must it be found, what to tell the person)."""

_COMPILED: Final = tuple((re.compile(rule), wanted, why) for rule, wanted, why in URL_RULES)


_PARTS: Final = re.compile(
    rf"(?P<scheme>https?)://(?P<host>{_HOST})(:(?P<port>[0-9]+))?"
    r"(?P<path>/[^?#]*)?(\?(?P<query>[^#]*))?(#(?P<fragment>.*))?",
    re.DOTALL,
)
_STANDARD_PORTS: Final = {"http": 80, "https": 443}


class BadAddress(ValueError):
    """The text is not an address of ours; the message completes "The address …"."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Address:
    """An http or https address in its parts, each as it was written."""

    scheme: str
    host: str
    """With the brackets of an IPv6 address, and with the final dot if there is one."""
    given_port: int | None
    path: str
    query: str | None
    fragment: str | None

    @property
    def port(self) -> int:
        """The port a client connects to."""
        return self.given_port or _STANDARD_PORTS[self.scheme]

    @property
    def authority(self) -> str:
        """Host and port as they were written."""
        return self.host if self.given_port is None else f"{self.host}:{self.given_port}"

    @property
    def hostname(self) -> str:
        """The host in lower case, without brackets and without a final dot."""
        return self.host.strip("[]").rstrip(".").lower()

    def canonical(self) -> str:
        """One spelling for what every client takes for the same address, and no more than that."""
        standard = self.given_port == _STANDARD_PORTS[self.scheme]
        authority = self.host if standard else self.authority
        query = f"?{self.query}" if self.query else ""
        fragment = f"#{self.fragment}" if self.fragment else ""
        return f"{self.scheme}://{authority.lower()}{self.path or '/'}{query}{fragment}"


def parse(url: str) -> Address:
    """Take an address apart. Raises BadAddress, and nothing else, for any other text.

    Says nothing about where it leads: that is judged when a connection is made.
    """
    if len(url) > MAX_URL:
        raise BadAddress(f"must be at most {MAX_URL} characters")
    if "\n" in url:  # `$` of Python matches before a final newline; RE2's does not
        raise BadAddress(URL_RULES[1][2])
    for pattern, wanted, why in _COMPILED:
        if bool(pattern.search(url)) is not wanted:
            raise BadAddress(why)
    parts = _PARTS.fullmatch(url)
    assert parts is not None, "the rules let nothing else through"
    host, port = parts["host"], int(parts["port"] or 0)
    if port > MAX_PORT:
        raise BadAddress(f"must name a port up to {MAX_PORT}")
    if host.startswith("[") and not _is_ipv6(host[1:-1]):
        raise BadAddress("must hold a valid IPv6 address between its brackets")
    return Address(
        scheme=parts["scheme"],
        host=host,
        given_port=port or None,
        path=parts["path"] or "",
        query=parts["query"],
        fragment=parts["fragment"],
    )


def _is_ipv6(text: str) -> bool:
    try:
        ipaddress.IPv6Address(text)
    except ValueError:
        return False
    return True


def fault(url: str) -> str | None:
    """Say what is wrong with an address, or None where it is well formed."""
    try:
        parse(url)
    except BadAddress as error:
        return str(error)
    return None


def cel_rules() -> tuple[tuple[str, str], ...]:
    """The same rules for the API server."""
    return tuple(
        (
            ("" if wanted else "!") + f"self.matches(r'{pattern}')",
            f"url {why}",
        )
        for pattern, wanted, why in URL_RULES
    )
