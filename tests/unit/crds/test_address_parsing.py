"""Whatever the API server's grammar lets in, our parser takes apart or refuses with a sentence."""

import re
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trawler_bot.interactions import urls
from trawler_crds import addresses
from trawler_crds.failures import FailureReason
from trawler_crds.media_job import EngineName, Limits, Media
from trawler_worker.fetcher.engines import routing
from trawler_worker.fetcher.errors import FetchError
from trawler_worker.protocol import Fetch

ACCEPTED = [re.compile(pattern) for pattern, wanted, _ in addresses.URL_RULES if wanted]
REFUSED = [re.compile(pattern) for pattern, wanted, _ in addresses.URL_RULES if not wanted]


def api_server_accepts(url: str) -> bool:
    """What the CEL rules say; RE2 and `re` agree on these patterns."""
    return (
        0 < len(url) <= addresses.MAX_URL
        and "\n" not in url
        and all(rule.search(url) for rule in ACCEPTED)
        and not any(rule.search(url) for rule in REFUSED)
    )


def order(url: str) -> Fetch:
    return Fetch(job="j", url=url, media=Media(), engines=[], limits=Limits(), seconds=1)


URLS = st.from_regex(
    re.compile(
        f"https?://{addresses._HOST}{addresses._PORT}([/?#][!-\\[\\]-~]{{0,40}})?",
        re.ASCII,
    ),
    fullmatch=True,
)


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("http://[1:2]/x", "valid IPv6"),
        ("http://[::::]/a.mp4", "valid IPv6"),
        ("http://[1:2:3:4:5:6:7:8:9]/", "valid IPv6"),
        ("http://host:99999/x.mp4", "port up to 65535"),
    ],
)
def test_what_the_api_server_lets_in_and_no_client_can_dial_is_refused_with_a_sentence(
    url: str, why: str
) -> None:
    """Each of these once ended the operator."""
    assert api_server_accepts(url)
    assert why in (addresses.fault(url) or "")


@settings(deadline=None)
@given(URLS)
def test_every_address_that_the_api_server_accepts_is_parsed_or_refused(url: str) -> None:
    """No exception but BadAddress, in operator, worker and bot."""
    assert api_server_accepts(url)
    try:
        address = addresses.parse(url)
    except addresses.BadAddress:
        with pytest.raises(urls.BadLink):
            urls.normalise(url)
        with pytest.raises(FetchError) as refusal:
            routing.route(order(url), frozenset(EngineName))
        assert refusal.value.reason is FailureReason.BAD_ADDRESS
        return
    assert 1 <= address.port <= addresses.MAX_PORT
    assert addresses.parse(address.canonical()).canonical() == address.canonical()
    with suppress(urls.BadLink):  # a link that ends in punctuation means another
        urls.normalise(url)
    routing.route(order(url), frozenset(EngineName))


@settings(deadline=None)
@given(st.text(max_size=60))
def test_any_text_at_all_is_parsed_or_refused(text: str) -> None:
    """Also behind a beginning that looks right."""
    for url in (text, f"http://{text}", f"https://[{text}]/", f"http://a.example:{text}"):
        addresses.fault(url)
        with suppress(urls.BadLink):
            urls.normalise(url)
        urls.find(url)


def test_the_parts_of_an_address_are_what_was_written() -> None:
    """Nothing is decoded, and nothing is lost."""
    found = addresses.parse("https://A.example.:8443/a%27b;c?x=%2B&y#part?")
    assert ("A.example.", 8443, "/a%27b;c", "x=%2B&y", "part?") == (
        found.host,
        found.port,
        found.path,
        found.query,
        found.fragment,
    )
    assert ("a.example", "A.example.:8443") == (found.hostname, found.authority)
    assert "::1" == addresses.parse("http://[::1]/").hostname
