"""Which addresses a download may reach. Pure: judges what was already resolved.

Refused is everything that is not plainly public, also where an IPv4 address hides inside an IPv6
one (RFC 6052 NAT64, RFC 3056 6to4, RFC 4380 Teredo, RFC 4291 mapped and compatible).
"""

import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

_EMBEDDING: Final = tuple(
    map(
        ipaddress.IPv6Network,
        ("::/96", "::ffff:0:0/96", "64:ff9b::/96", "64:ff9b:1::/48", "2002::/16", "2001::/32"),
    )
)
_NEVER_V4: Final = tuple(map(ipaddress.IPv4Network, ("100.64.0.0/10", "198.18.0.0/15")))


def is_public(address: str) -> bool:
    """Whether a literal IP address belongs to the public internet. False for nonsense."""
    try:
        ip = ipaddress.ip_address(address)
    except ValueError:
        return False
    if ip.is_multicast or not ip.is_global:
        return False
    if isinstance(ip, ipaddress.IPv6Address):
        return ip.scope_id is None and not any(ip in network for network in _EMBEDDING)
    return not any(ip in network for network in _NEVER_V4)


@dataclass(frozen=True)
class AllowList:
    """`egress.allow`: exact host:port entries that may lie on a private network."""

    entries: frozenset[tuple[str, int]] = frozenset()

    @classmethod
    def parse(cls, entries: Iterable[str]) -> "AllowList":
        """From `host:port` words. Raises ValueError naming the entry that is not one."""
        found = set()
        for entry in entries:
            host, colon, port = entry.strip().rpartition(":")
            if not colon or not host or not port.isdigit():
                raise ValueError(f"egress.allow: {entry!r} is not host:port")
            found.add((host.lower(), int(port)))
        return cls(frozenset(found))

    def names(self, host: str, port: int) -> bool:
        """Whether this very host and port, as configured, are allowed."""
        return (host.lower(), port) in self.entries
