"""Sentences for people: complete in each language, and figures as they are read."""

from string import Formatter

import pytest

from trawler_bot import texts
from trawler_bot.texts import Key, Language
from trawler_crds.failures import FailureReason
from trawler_crds.messages import Stage


def _fields(sentence: str) -> set[str]:
    return {name for _, name, _, _ in Formatter().parse(sentence) if name}


@pytest.mark.parametrize("language", Language)
def test_every_sentence_is_there_in_every_language(language: Language) -> None:
    """With the same values in it, for each reason and each stage."""
    assert set(Key) == set(texts.SENTENCES[language])
    assert set(FailureReason) == set(texts.FAILED[language]) == set(texts.ADVICE[language])
    assert set(Stage) == set(texts.STAGES)
    english = texts.SENTENCES[Language.ENGLISH]
    for key, sentence in texts.SENTENCES[language].items():
        assert _fields(sentence) == _fields(english[key]), key


@pytest.mark.parametrize("language", Language)
def test_every_failure_says_what_a_person_can_do_next(language: Language) -> None:
    """One sentence why, one what."""
    for reason in FailureReason:
        said = texts.why(language, reason)
        assert said.startswith(texts.FAILED[language][reason])
        assert len(said) > len(texts.FAILED[language][reason]) + 5


@pytest.mark.parametrize(
    ("locale", "language"),
    [("de", "de"), ("de-AT", "de"), ("en-US", "en"), ("pt-BR", "en"), (None, "en"), ("", "en")],
)
def test_who_speaks_what_we_do_not_gets_english(locale: str | None, language: str) -> None:
    """Discord's locales."""
    assert language == texts.language(locale)


@pytest.mark.parametrize(
    ("count", "english", "german"),
    [
        (0, "0 B", "0 B"),
        (999, "999 B", "999 B"),
        (1000, "1.0 kB", "1,0 kB"),
        (7_449_000, "7.4 MB", "7,4 MB"),
        (999_999, "1.0 MB", "1,0 MB"),
        (123_456_789, "123 MB", "123 MB"),
        (5_000_000_000_000_000, "5000 TB", "5000 TB"),
    ],
)
def test_sizes_are_short(count: int, english: str, german: str) -> None:
    """Three digits are enough."""
    found = [texts.size(each, count) for each in (Language.ENGLISH, Language.GERMAN)]
    assert [english, german] == found


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(0.2, "1 s"), (59, "59 s"), (61, "1 min"), (3599, "60 min"), (7300, "2 h")],
)
def test_times_are_round(seconds: float, said: str) -> None:
    """Nobody needs the seconds of an hour."""
    assert said == texts.span(seconds)
