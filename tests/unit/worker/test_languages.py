"""Languages as people ask for them, as sites and containers call them."""

import pytest

from trawler_worker.fetcher import languages


@pytest.mark.parametrize(
    ("code", "tag"),
    [
        *[("ger", "de"), ("deu", "de"), ("eng", "en"), ("fre", "fr"), ("chi", "zh"), ("de", "de")],
        *[("pt-BR", "pt-BR"), ("pt_BR", "pt-BR"), ("zh-Hans", "zh-Hans"), ("gsw", "gsw")],
        *[(None, "und"), ("", "und"), ("live_chat!", "und"), ("a" * 40, "und"), ("../x", "und")],
    ],
)
def test_a_language_is_called_as_people_write_it(code: str | None, tag: str) -> None:
    assert tag == languages.tag(code)


@pytest.mark.parametrize(
    ("wanted", "offered", "found"),
    [
        ("en", ["de", "en"], "en"),
        ("EN", ["de", "en"], "en"),
        ("en", ["en-GB", "en-US"], "en-GB"),
        ("en", ["en-GB", "en"], "en"),
        ("en-GB", ["en-US", "en"], "en"),
        ("en-GB", ["en-US"], "en-US"),
        ("de", ["ger", "eng"], "ger"),
        ("ger", ["de"], "de"),
        ("e", ["en"], None),
        ("en", ["eng-orig"], "eng-orig"),
        ("fr", ["frp"], None),
        ("no", ["nb"], "nb"),
        ("nb", ["no", "sv"], "no"),
        ("en", ["en_US"], "en_US"),
        ("fr", [], None),
    ],
)
def test_the_language_that_is_meant_is_found(
    wanted: str, offered: list[str], found: str | None
) -> None:
    assert found == languages.best(wanted, offered)
