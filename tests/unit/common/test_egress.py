"""Which addresses a download may reach."""

import hashlib

import pytest

import publicity
from trawler_common.egress import AllowList, is_public, may_reach

REFUSED = [
    *("127.0.0.1", "10.0.0.1", "172.16.0.1", "192.168.1.1", "169.254.169.254", "0.0.0.0"),
    *("100.64.0.1", "198.18.0.1", "224.0.0.1", "255.255.255.255", "192.0.0.1", "240.0.0.1"),
    *("::1", "::", "fe80::1", "fc00::1", "ff02::1", "::ffff:10.0.0.1", "::ffff:8.8.8.8"),
    *("64:ff9b::a00:1", "64:ff9b:1::1", "2002:a00:1::", "2001:0:1::1", "::8.8.8.8"),
    *("168.63.129.16", "fec0::1", "::ffff:0:8.8.8.8", "3fff::1", "5f00::1", "100::1"),
    *("192.88.99.1", "192.0.2.1", "203.0.113.9", "2001:db8::1", "fd00:ec2::254", "100.100.100.200"),
    *("fe80::1%eth0", "2606:4700::1111%1", "2130706433", "127.1", "010.0.0.1", "nonsense", ""),
]


@pytest.mark.parametrize("address", REFUSED)
def test_what_is_not_plainly_public_is_refused(address: str) -> None:
    """Also where an IPv4 address hides inside an IPv6 one, or a cloud hides its own services."""
    assert not is_public(address)


@pytest.mark.parametrize(
    "address",
    ["8.8.8.8", "93.184.216.34", "168.63.129.15", "2606:4700::1111", "2a00:1450:4001::200e"],
)
def test_a_public_address_passes(address: str) -> None:
    """Else nothing could be fetched."""
    assert is_public(address)


def test_every_python_gives_one_verdict() -> None:
    """The cluster's workers run another Python than we do (`test_jobs.py` asks there)."""
    found = publicity.verdicts(is_public)
    assert len(found) == 5000
    assert 500 < found.count("1") < 4500
    assert hashlib.sha256(found.encode()).hexdigest() == publicity.KNOWN


@pytest.mark.parametrize("port", [0, 22, 25, 587, 6667, 65536])
def test_where_something_else_than_a_site_listens_nobody_is_sent(port: int) -> None:
    """A mail server obeys the lines of an HTTP request that it understands."""
    assert not may_reach("8.8.8.8", port)


@pytest.mark.parametrize("port", [80, 443, 8080, 8443, 65535])
def test_sites_may_listen_elsewhere(port: int) -> None:
    """Many do."""
    assert may_reach("8.8.8.8", port)
    assert not may_reach("10.0.0.1", port)


def test_the_allow_list_holds_exact_entries() -> None:
    """Host and port, as configured."""
    allow = AllowList.parse(["site:8080", "10.1.2.3:80"])
    assert allow.names("SITE", 8080)
    assert allow.names("10.1.2.3", 80)
    assert not allow.names("site", 80)
    assert not allow.names("evil-site", 8080)


@pytest.mark.parametrize("host", ["::1", "[::1]", "0:0:0:0:0:0:0:1"])
def test_an_allowed_address_of_six_is_known_in_every_spelling(host: str) -> None:
    """In an address it stands in brackets, in a socket it does not."""
    allow = AllowList.parse(["[::1]:8080"])
    assert allow.names(host, 8080)
    assert not allow.names(host, 80)


@pytest.mark.parametrize(
    "entry", ["site", ":80", "site:", "site:http", "site:0", "site:65536", "::1:80", "[site]:80"]
)
def test_an_entry_that_is_not_host_and_port_is_named(entry: str) -> None:
    """A typo must not open more than was meant."""
    with pytest.raises(ValueError, match="not host:port"):
        AllowList.parse([entry])
