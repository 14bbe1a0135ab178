"""Which addresses a download may reach. Pure: judges what was already resolved.

The tables are our own, from the registries of IANA (special-purpose addresses, IPv4 and IPv6, as of
2026-10) and the list of blocked ports of the Fetch standard: `ipaddress.is_global` changed its mind
between releases of Python, and lets pass what leads inside in the clouds.
"""

import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

_NEVER_V4: Final = tuple(
    map(
        ipaddress.IPv4Network,
        (
            *("0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16"),
            *("172.16.0.0/12", "192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24", "192.168.0.0/16"),
            *("198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/4", "240.0.0.0/4"),
            "168.63.129.16/32",  # Azure's own services, from within any virtual machine there
        ),
    )
)
_UNICAST_V6: Final = ipaddress.IPv6Network("2000::/3")
"""All that was ever given to the public (RFC 4291, section 2.4): mapped, compatible, translated
(RFC 6052), site-local, unique local, link-local and multicast addresses lie outside.
"""
_NEVER_V6: Final = tuple(
    map(
        ipaddress.IPv6Network,
        # protocols with Teredo (RFC 4380), documentation, 6to4 (RFC 3056): an IPv4 address may hide
        # inside
        ("2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20"),
    )
)

BLOCKED_PORTS: Final = frozenset(
    [
        *(1, 7, 9, 11, 13, 15, 17, 19, 20, 21, 22, 23, 25, 37, 42, 43, 53, 69, 77, 79, 87, 95),
        *(101, 102, 103, 104, 109, 110, 111, 113, 115, 117, 119, 123, 135, 137, 139, 143, 161),
        *(179, 389, 427, 465, 512, 513, 514, 515, 526, 530, 531, 532, 540, 548, 554, 556, 563),
        *(587, 601, 636, 989, 990, 993, 995, 1719, 1720, 1723, 2049, 3659, 4045, 4190, 5060),
        *(5061, 6000, 6566, 6665, 6666, 6667, 6668, 6669, 6679, 6697, 10080),
    ]
)
"""Where no browser sends HTTP, because something else listens that may obey it (Fetch standard,
section 2.9, "bad port")."""


def is_public(address: str) -> bool:
    """Whether a literal IP address belongs to the public internet. False for nonsense."""
    try:
        ip = ipaddress.ip_address(address)
    except ValueError:
        return False
    if isinstance(ip, ipaddress.IPv4Address):
        return not any(ip in network for network in _NEVER_V4)
    if ip.scope_id is not None or ip not in _UNICAST_V6:
        return False
    return not any(ip in network for network in _NEVER_V6)


def may_reach(address: str, port: int) -> bool:
    """Whether anybody may have us connect there: a public address, and a port where sites are."""
    return 0 < port < 65536 and port not in BLOCKED_PORTS and is_public(address)


@dataclass(frozen=True)
class AllowList:
    """`egress.allow`: exact host:port entries that may lie on a private network."""

    entries: frozenset[tuple[str, int]] = frozenset()

    @classmethod
    def parse(cls, entries: Iterable[str]) -> "AllowList":
        """From `host:port` words; an IPv6 address stands in brackets. Raises ValueError naming the
        entry that is not one.
        """
        found = set()
        for entry in entries:
            host, colon, port = entry.strip().rpartition(":")
            bare = host.removeprefix("[").removesuffix("]")
            bracketed = host.startswith("[") and host.endswith("]")
            if not (colon and bare and _is_port(port)) or (":" in bare) is not bracketed:
                raise ValueError(
                    f"egress.allow: {entry!r} is not host:port (an IPv6 address in brackets)"
                )
            found.add((_one_spelling(bare), int(port)))
        return cls(frozenset(found))

    def names(self, host: str, port: int) -> bool:
        """Whether this very host and port, as configured, are allowed."""
        return (_one_spelling(host), port) in self.entries


def _is_port(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= 5 and 0 < int(text) < 65536


def _one_spelling(host: str) -> str:
    """`::1` for `0:0:0:0:0:0:0:1` and `[::1]`; names in lower case, without a final dot."""
    name = host.removeprefix("[").removesuffix("]").rstrip(".").lower()
    if ":" not in name:
        return name
    try:
        return str(ipaddress.IPv6Address(name))
    except ValueError:
        return name
