"""One strict grammar for addresses."""

import pytest

from trawler_crds import addresses

GOOD = [
    "http://example.com",
    "https://example.com/",
    "http://site:8080/page/1",
    "https://xn--bcher-kva.example/a?b=c#d",
    "http://93.184.216.34/x",
    "http://[2606:2800:220:1:248:1893:25c8:1946]:443/x",
    "https://a.b-c.d_e.example./%20?q=@x",
    "https://example.com?x=http://10.0.0.1/",
]
BAD = [
    ("ftp://example.com/", "must begin with"),
    ("javascript:alert(1)", "must begin with"),
    ("HTTP://example.com/", "must begin with"),
    ("http://me@example.com/", "user name"),
    ("http://example.com:80@10.0.0.1/", "user name"),
    ("http://2130706433/", "plain form"),
    ("http://0x7f.1/", "plain form"),
    ("http://127.1/", "plain form"),
    ("http://0177.0.0.1/", "plain form"),
    ("http://256.0.0.1/", "plain form"),
    ("http://[fe80::1%25eth0]/", "plain form"),
    ("http://exa%6dple.com/", "plain form"),
    ("http://example.com:0/", "plain form"),
    ("http:///path", "plain form"),
    ("http://example.com/\n", "printable"),
    ("http://example.com/\u202e", "printable"),
    ("http://1\u30022\u30023\u30024/", "printable"),
    ("http://example.com\\.evil.example/", "backslash"),
    ("http://example.com/#__youtubedl_smuggle=x", "smuggled"),
    ("http://example.com/" + "a" * 2048, "at most"),
]


@pytest.mark.parametrize("url", GOOD)
def test_a_well_formed_address_is_let_in(url: str) -> None:
    """Honest input must work, or the guard gets switched off."""
    assert addresses.fault(url) is None


@pytest.mark.parametrize(("url", "why"), BAD)
def test_an_odd_spelling_is_refused_with_a_reason(url: str, why: str) -> None:
    """Parsers disagree about each of these."""
    assert why in (addresses.fault(url) or "")
