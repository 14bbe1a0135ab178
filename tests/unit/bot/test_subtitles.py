"""Languages of subtitles, as people type them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trawler_bot.interactions import subtitles
from trawler_bot.interactions.subtitles import BadLanguage
from trawler_bot.presentation.i18n import Language
from trawler_crds.media_job import Media


@pytest.mark.parametrize(
    ("text", "tags"),
    [
        *[("en", ["en"]), ("EN", ["en"]), ("pt-BR", ["pt-BR"]), ("en, de", ["en", "de"])],
        *[("German", ["de"]), ("deutsch", ["de"]), ("Englisch;French", ["en", "fr"])],
        *[
            ("日本語", ["ja"]),
            ("English and German", ["en", "de"]),
            ("norsk", ["nb"]),
            ("en en de", ["en", "de"]),
            ("gsw", ["gsw"]),
        ],
    ],
)
def test_they_are_read_as_people_write_them(text: str, tags: list[str]) -> None:
    assert tags == subtitles.parse(text)


@pytest.mark.parametrize(
    "text", ["", " ", ",", "klingon", "the qqx", "e", "../x", "en/../../x", "a b c d e f g h i"]
)
def test_what_is_no_language_is_refused(text: str) -> None:
    with pytest.raises(BadLanguage):
        subtitles.parse(text)


def test_ones_own_language_is_offered_first_and_what_is_typed_narrows_it() -> None:
    german = Language("de")
    assert ("Deutsch", "de") == subtitles.offered("", "de", german)[0]
    assert ("Französisch", "fr") in subtitles.offered("fra", "de", german)
    assert ("Englisch, Japanisch", "en,ja") == subtitles.offered("en ja", "de", german)[0]
    assert [] == subtitles.offered("qqqqq", "de", german)
    assert ("English", "en") == subtitles.offered("", "xx-unknown", Language("en"))[0]


@given(st.text(max_size=60))
def test_any_text_is_languages_or_refused(text: str) -> None:
    """What comes of it a MediaJob takes."""
    try:
        found = subtitles.parse(text)
    except BadLanguage:
        return
    Media(subtitles=found)
