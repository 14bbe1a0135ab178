"""Which addresses a download may reach."""

import pytest

from trawler_common.egress import AllowList, is_public

REFUSED = [
    *("127.0.0.1", "10.0.0.1", "172.16.0.1", "192.168.1.1", "169.254.169.254", "0.0.0.0"),
    *("100.64.0.1", "198.18.0.1", "224.0.0.1", "255.255.255.255", "192.0.0.1", "240.0.0.1"),
    *("::1", "::", "fe80::1", "fc00::1", "ff02::1", "::ffff:10.0.0.1", "::ffff:8.8.8.8"),
    *("64:ff9b::a00:1", "64:ff9b:1::1", "2002:a00:1::", "2001:0:1::1", "::8.8.8.8"),
    *("fe80::1%eth0", "2130706433", "127.1", "nonsense", ""),
]


@pytest.mark.parametrize("address", REFUSED)
def test_what_is_not_plainly_public_is_refused(address: str) -> None:
    """Also where an IPv4 address hides inside an IPv6 one."""
    assert not is_public(address)


@pytest.mark.parametrize("address", ["8.8.8.8", "93.184.216.34", "2606:4700::1111"])
def test_a_public_address_passes(address: str) -> None:
    """Else nothing could be fetched."""
    assert is_public(address)


def test_the_allow_list_holds_exact_entries() -> None:
    """Host and port, as configured."""
    allow = AllowList.parse(["site:8080", "10.1.2.3:80"])
    assert allow.names("SITE", 8080)
    assert allow.names("10.1.2.3", 80)
    assert not allow.names("site", 80)
    assert not allow.names("evil-site", 8080)


@pytest.mark.parametrize("entry", ["site", ":80", "site:", "site:http"])
def test_an_entry_that_is_not_host_and_port_is_named(entry: str) -> None:
    """A typo must not open more than was meant."""
    with pytest.raises(ValueError, match="not host:port"):
        AllowList.parse([entry])
