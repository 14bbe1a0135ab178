"""Addresses in what people write."""

import pytest

from trawler_bot import links
from trawler_bot.links import Objection
from trawler_common.egress import AllowList

NONE = AllowList()


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("nothing here", []),
        ("see https://a.example/x.", ["https://a.example/x"]),
        ("(https://a.example/x)", ["https://a.example/x"]),
        ("https://a.example/a_(b)", ["https://a.example/a_(b)"]),
        ("<https://a.example/x> https://a.example/x", ["https://a.example/x"]),
        ("[words](https://a.example/x)!", ["https://a.example/x"]),
        ("||https://a.example/x||", ["https://a.example/x"]),
        ("HTTPS://A.example/X", []),
        ("ftp://a.example/x javascript:alert(1)", []),
        ("https://user:secret@a.example/x", []),
        (
            " ".join(f"https://a.example/{n}" for n in range(9)),
            [f"https://a.example/{n}" for n in range(5)],
        ),
    ],
)
def test_links_are_found_without_what_is_around_them(text: str, found: list[str]) -> None:
    """In their order, each once, five at most."""
    assert found == links.find(text)


@pytest.mark.parametrize(
    ("address", "objection"),
    [
        ("https://a.example/x", None),
        ("https://93.184.216.34/x", None),
        ("a.example/x", Objection.NOT_A_LINK),
        ("", Objection.NOT_A_LINK),
        ("https://a.example/with space", Objection.MALFORMED),
        ("https://a.example/\u202egpj", Objection.MALFORMED),
        ("https://user@a.example/", Objection.MALFORMED),
        ("http://127.0.0.1/", Objection.PRIVATE),
        ("http://10.0.0.1:8080/", Objection.PRIVATE),
        ("http://[::1]/", Objection.PRIVATE),
        ("http://[::ffff:10.0.0.1]/", Objection.MALFORMED),
        ("http://[::ffff:a00:1]/", Objection.PRIVATE),
        ("http://169.254.169.254/latest/meta-data", Objection.PRIVATE),
        ("http://localhost:8080/", Objection.PRIVATE),
        ("http://nas.local/", Objection.PRIVATE),
        ("http://kubernetes/", Objection.PRIVATE),
        ("http://site:8080/x", Objection.PRIVATE),
    ],
)
def test_an_address_is_judged_as_far_as_that_needs_no_network(
    address: str, objection: Objection | None
) -> None:
    """Everything else is judged when a connection is made."""
    assert links.judge(address, NONE) is objection


def test_what_the_one_list_allows_is_let_through() -> None:
    """`egress.allow`, exact host and port."""
    allowed = AllowList.parse(["site:8080"])
    assert links.judge("http://site:8080/x", allowed) is None
    assert links.judge("http://site:8081/x", allowed) is Objection.PRIVATE
