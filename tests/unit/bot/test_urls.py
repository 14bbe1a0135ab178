"""Links as people write them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trawler_bot.interactions import urls
from trawler_bot.interactions.urls import BadLink, Objection
from trawler_common.egress import AllowList
from trawler_crds import addresses

NONE = AllowList()


def found(text: str) -> list[str]:
    return [link.url for link in urls.find(text)]


def objection(text: str, allowed: AllowList = NONE) -> Objection | None:
    try:
        urls.require_public(urls.normalise(text), allowed)
    except BadLink as error:
        return error.objection
    return None


@pytest.mark.parametrize(
    ("text", "links"),
    [
        ("nothing here", []),
        ("see https://a.example/x.", ["https://a.example/x"]),
        ("(https://a.example/x)", ["https://a.example/x"]),
        ("https://a.example/a_(b)", ["https://a.example/a_(b)"]),
        ("<https://a.example/x> https://a.example/x", ["https://a.example/x"]),
        ("[words](https://a.example/x)!", ["https://a.example/x"]),
        ("||https://a.example/x||", ["https://a.example/x"]),
        ("HTTPS://A.example/X", ["https://A.example/X"]),
        ("Http://a.example/x", ["http://a.example/x"]),
        (
            "https://münchen.example/видео.mp4",
            ["https://xn--mnchen-3ya.example/%D0%B2%D0%B8%D0%B4%D0%B5%D0%BE.mp4"],
        ),
        ("«https://a.example/x»", ["https://a.example/x"]),
        ("\u300chttps://a.example/x\u300d\u3002", ["https://a.example/x"]),
        ("ftp://a.example/x javascript:alert(1)", []),
        ("https://user:secret@a.example/x", []),
        (
            " ".join(f"https://a.example/{n}" for n in range(9)),
            [f"https://a.example/{n}" for n in range(5)],
        ),
    ],
)
def test_links_are_found_without_what_is_around_them(text: str, links: list[str]) -> None:
    """In their order, each once, five at most."""
    assert links == found(text)


@pytest.mark.parametrize(
    ("typed", "url"),
    [
        ("https://a.example/x", "https://a.example/x"),
        (" <https://a.example/x>\n", "https://a.example/x"),
        ("HTTPS://a.example/X", "https://a.example/X"),
        ("a.example/x", "https://a.example/x"),
        ("www.a.example", "https://www.a.example"),
        ("a.example:8080/x", "https://a.example:8080/x"),
        ("//a.example/x", "https://a.example/x"),
        ("93.184.216.34/x", "https://93.184.216.34/x"),
        ("https:/a.example/x", "https://a.example/x"),
        ("https:\\\\a.example\\x", "https://a.example/x"),
        ("https://a.example:/x", "https://a.example/x"),
        ("https://a.example:0080/x", "https://a.example:80/x"),
        ("https://a.example:0000080/x", "https://a.example:80/x"),
        ("https://a.example/plain.mp4,", "https://a.example/plain.mp4"),
        ("https://a.example/my file.mp4", "https://a.example/my%20file.mp4"),
        (
            "https://a.example/100%25%zz?a=%D0#frag/ment",
            "https://a.example/100%25%zz?a=%D0#frag/ment",
        ),
        ("https://a.example/?utm_source=x&list=y", "https://a.example/?utm_source=x&list=y"),
        ("https://a.example/x?q=\\", "https://a.example/x?q=%5C"),
        (
            "https://münchen.example/ä?ö=ü#ß",
            "https://xn--mnchen-3ya.example/%C3%A4?%C3%B6=%C3%BC#%C3%9F",
        ),
        ("münchen.example/x", "https://xn--mnchen-3ya.example/x"),
        ("https://straße.example/", "https://xn--strae-oqa.example/"),
        ("https://BÜCHER.example/", "https://xn--bcher-kva.example/"),
        ("https://例え.テスト/", "https://xn--r8jz45g.xn--zckzah/"),
        ("https://a\u3002example/x", "https://a.example/x"),
        ("https://i\u2764.ws/", "https://xn--i-7iq.ws/"),
        ("https://a_b.example/", "https://a_b.example/"),
        ("https://a.example/\u202egpj", "https://a.example/%E2%80%AEgpj"),
        ("look: https://a.example/x", "https://a.example/x"),
    ],
)
def test_what_an_address_bar_takes_is_taken(typed: str, url: str) -> None:
    """One spelling, which the one grammar takes; what was printable ASCII stays as it was."""
    assert url == urls.normalise(typed).url
    assert url == urls.normalise(url).url


@pytest.mark.parametrize(
    ("typed", "written"),
    [
        ("https://münchen.example/видео.mp4", "https://münchen.example/видео.mp4"),
        ("a.example/x", "https://a.example/x"),
        ("https://a.example/my file.mp4", "https://a.example/my%20file.mp4"),
        ("https://a.example/\u202egpj", "https://a.example/%E2%80%AEgpj"),
        ("https://a.example/e\u0301", "https://a.example/e%CC%81"),
        ("https://a.example/>@everyone", "https://a.example/%3E@everyone"),
    ],
)
def test_a_link_is_shown_as_it_was_written(typed: str, written: str) -> None:
    """Whole between the brackets that keep a preview away, and with nothing that turns text
    around.
    """
    assert written == urls.normalise(typed).written


@pytest.mark.parametrize(
    ("typed", "why"),
    [
        ("", Objection.NOT_A_LINK),
        ("cats", Objection.NOT_A_LINK),
        ("video.mp4", Objection.NOT_A_LINK),
        ("javascript:alert(1)", Objection.NOT_A_LINK),
        ("ftp://a.example/x", Objection.NOT_A_LINK),
        ("magnet:?xt=urn:btih:1", Objection.NOT_A_LINK),
        ("https://a.example/x https://a.example/y", Objection.NOT_A_LINK),
        ("https://", Objection.MALFORMED),
        ("https://a.example:99999/", Objection.MALFORMED),
        ("https://a..example/", Objection.MALFORMED),
        ("http://0x7f.1/", Objection.MALFORMED),
        ("https://evil.example%2F.a.example/x", Objection.MALFORMED),
        ("https://evil.example\uff0f.a.example/x", Objection.MALFORMED),
        ("https://evil.example%3F.a.example/x", Objection.MALFORMED),
        ("https://evil.example%3A8080.a.example/", Objection.MALFORMED),
        ("http://[::ffff:10.0.0.1]/", Objection.MALFORMED),
        ("https://user:pw@a.example/", Objection.WITH_PASSWORD),
        ("https://user@a.example/", Objection.WITH_PASSWORD),
        ("https://a.example/" + "x" * 2100, Objection.TOO_LONG),
        ("https://a.example/" + "ж" * 700, Objection.TOO_LONG),
        ("x" * 100_000, Objection.TOO_LONG),
        ("http://127.0.0.1/", Objection.PRIVATE),
        ("http://\uff11\uff12\uff17.0.0.1/", Objection.PRIVATE),
        ("http://10.0.0.1:8080/", Objection.PRIVATE),
        ("http://[::1]/", Objection.PRIVATE),
        ("http://[::ffff:a00:1]/", Objection.PRIVATE),
        ("http://169.254.169.254/latest/meta-data", Objection.PRIVATE),
        ("http://localhost:8080/", Objection.PRIVATE),
        ("http://nas.local/", Objection.PRIVATE),
        ("http://kubernetes/", Objection.PRIVATE),
        ("http://site:8080/x", Objection.PRIVATE),
    ],
)
def test_what_is_refused_is_refused_for_what_it_is(typed: str, why: Objection) -> None:
    """Everything else is judged when a connection is made."""
    assert why is objection(typed)


def test_what_the_one_list_allows_is_let_through() -> None:
    """`egress.allow`, exact host and port."""
    allowed = AllowList.parse(["site:8080"])
    assert objection("http://site:8080/x", allowed) is None
    assert objection("http://site:8081/x", allowed) is Objection.PRIVATE


@given(st.one_of(st.text(max_size=60), st.text(max_size=40).map("https://a.example/{}".format)))
def test_any_text_is_a_link_of_ours_or_refused(text: str) -> None:
    """Nothing else is ever raised, and nothing harmful is shown."""
    try:
        link = urls.normalise(text)
    except BadLink:
        return
    assert addresses.fault(link.url) is None
    assert not set(" <>\n") & set(link.written)
    if link.url.rstrip(".,;'\")]}") == link.url:  # what ends a sentence is no part of a link
        assert link.url == urls.normalise(link.url).url == urls.normalise(link.written).url
