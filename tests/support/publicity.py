"""Five thousand addresses, the same ones everywhere, and what is known of them. Needs nothing but
Python: it runs inside a worker pod too.
"""

import ipaddress
import random
from collections.abc import Callable, Iterator

COUNT = 5000
KNOWN = "483563d753acc4fe38445022a01da79d83209bc948416d1f4bb3c864b5c403df"
"""SHA-256 of the verdicts."""
_EDGES = [
    *("0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12"),
    *("192.0.0.0/24", "192.0.0.8/29", "192.0.2.0/24", "192.31.196.0/24", "192.52.193.0/24"),
    *("192.88.99.0/24", "192.168.0.0/16", "192.175.48.0/24", "198.18.0.0/15", "198.51.100.0/24"),
    *("203.0.113.0/24", "224.0.0.0/4", "240.0.0.0/4", "168.63.129.16/32", "255.255.255.255/32"),
    *("::/128", "::1/128", "::/96", "::ffff:0:0/96", "::ffff:0:0:0/96", "64:ff9b::/96"),
    *("64:ff9b:1::/48", "100::/64", "2001::/23", "2001::/32", "2001:1::1/128", "2001:2::/48"),
    *("2001:3::/32", "2001:4:112::/48", "2001:10::/28", "2001:20::/28", "2001:30::/28"),
    *("2001:db8::/32", "2002::/16", "2620:4f:8000::/48", "2000::/3", "3fff::/20", "5f00::/16"),
    *("fc00::/7", "fe80::/10", "fec0::/10", "ff00::/8"),
]


def addresses() -> Iterator[str]:
    """Both edges of each block that is special somewhere and their neighbours; then any."""
    chance = random.Random(2026)
    count = 0
    for text in _EDGES:
        network = ipaddress.ip_network(text)
        first, last = int(network.network_address), int(network.broadcast_address)
        kind = type(network.network_address)
        inside = [first + chance.getrandbits(128) % (last - first + 1) for _ in range(8)]
        for number in (first - 1, first, first + 1, last - 1, last, last + 1, *inside):
            if 0 <= number < 1 << network.max_prefixlen:
                count += 1
                yield str(kind(number))
    while count < COUNT:
        count += 1
        four = chance.getrandbits(1)
        bits = chance.getrandbits(32 if four else 128)
        if not four and chance.getrandbits(1):
            bits = bits & ((1 << 125) - 1) | 1 << 125  # what was given to the public
        yield str(ipaddress.IPv4Address(bits) if four else ipaddress.IPv6Address(bits))


def verdicts(is_public: Callable[[str], bool]) -> str:
    """One digit for each."""
    return "".join("01"[is_public(address)] for address in addresses())
