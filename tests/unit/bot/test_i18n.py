"""Sentences for people: complete in each language, and figures as they are read."""

import re
from string import Formatter

import pytest

from trawler_bot.presentation import i18n
from trawler_bot.presentation.i18n import CATALOGUES, ENGLISH, STAGES, Key, Language
from trawler_crds.failures import FailureReason
from trawler_crds.messages import Stage

GERMAN = Language("de")
EACH = list(CATALOGUES)
COMMAND_NAME = re.compile(r"^[-_'\w]{1,32}$")


def _fields(sentence: str) -> set[str]:
    return {name for _, name, _, _ in Formatter().parse(sentence) if name}


def _said(language: Language, key: str) -> list[str]:
    string = CATALOGUES[language].entries[key].string
    return [string] if isinstance(string, str) else list(string or ())


@pytest.mark.parametrize("language", EACH)
def test_every_sentence_is_there_in_every_language(language: Language) -> None:
    """With the same values in it, in each plural form, for each reason and each stage; and nothing
    that nobody says.
    """
    english = CATALOGUES[ENGLISH]
    assert list(english.entries) == list(CATALOGUES[language].entries)
    assert set(Key) <= set(english.entries)
    assert set(Stage) == set(STAGES)
    for key in english.entries:
        wanted = set().union(*map(_fields, _said(ENGLISH, key)))
        for sentence in _said(language, key):
            assert sentence.strip(), key
            assert _fields(sentence) <= wanted, key
            assert wanted - _fields(sentence) <= {"name_list", "name_queue"}, key


def test_every_key_of_the_catalogue_is_said_somewhere() -> None:
    """Those of commands, choices and failures are made by name."""
    made = ("name-", "describe-", "choice-", "failed-", "advice-")
    others = {key for key in CATALOGUES[ENGLISH].entries if not key.startswith(made)}
    assert set(Key) == others
    reasons = {reason.name.lower().replace("_", "-") for reason in FailureReason}
    for kind in ("failed-", "advice-"):
        keys = CATALOGUES[ENGLISH].entries
        assert reasons == {key.removeprefix(kind) for key in keys if key.startswith(kind)}


@pytest.mark.parametrize("language", EACH)
def test_names_fit_discord(language: Language) -> None:
    """Of commands and options at most 32 characters, small; descriptions at most 100; labels at
    most 80.
    """
    for key in CATALOGUES[language].entries:
        (text,) = _said(language, key)[:1]
        if key.startswith("name-") and key != "name-save":
            assert COMMAND_NAME.match(text), key
            assert text == text.lower(), key
        if key.startswith("describe-"):
            assert 1 <= len(text) <= 100, key
        if key.startswith(("button-", "choice-")) or key == "name-save":
            assert 1 <= len(text) <= 32, key
    assert len(i18n.say(language, Key.HELP, apart="10 s", per_minute=5)) <= 2000


@pytest.mark.parametrize("language", EACH)
def test_every_failure_says_what_a_person_can_do_next(language: Language) -> None:
    """One sentence why, one what."""
    for reason in FailureReason:
        said = i18n.why(language, reason)
        assert said.startswith(i18n.failed(language, reason))
        assert len(said) > len(i18n.failed(language, reason)) + 5


@pytest.mark.parametrize("language", EACH)
def test_sentences_are_whole(language: Language) -> None:
    """No straight quotation marks in German, no double spaces, nothing left to fill in."""
    for key in CATALOGUES[language].entries:
        for sentence in _said(language, key):
            assert "  " not in sentence, key
            assert "..." not in sentence, key
            assert '"' not in sentence or language == ENGLISH, key


@pytest.mark.parametrize(
    ("locale", "language"),
    [("de", "de"), ("de-AT", "de"), ("en-US", "en"), ("pt-BR", "en"), (None, "en"), ("", "en")],
)
def test_who_speaks_what_we_do_not_gets_english(locale: str | None, language: str) -> None:
    """Discord's locales."""
    assert language == i18n.language(locale)


@pytest.mark.parametrize(("count", "word"), [(0, "downloads"), (1, "download"), (2, "downloads")])
def test_one_is_one(count: int, word: str) -> None:
    """The plural forms of the catalogue."""
    assert f"{count} {word} " in i18n.say(ENGLISH, Key.QUEUE_FULL, count=count)


@pytest.mark.parametrize(
    ("count", "english", "german"),
    [
        (0, "0 B", "0 B"),
        (999, "999 B", "999 B"),
        (1000, "1 KB", "1 KB"),
        (10 * 1024 * 1024, "10 MB", "10 MB"),
        (25 * 1024 * 1024, "25 MB", "25 MB"),
        (7_449_000, "7.1 MB", "7,1 MB"),
        (123_456_789, "118 MB", "118 MB"),
        (5_000_000_000_000_000, "4547 TB", "4547 TB"),
    ],
)
def test_sizes_are_those_that_discord_tells(count: int, english: str, german: str) -> None:
    """A limit that Discord calls 10 MB is called so; three digits are enough."""
    assert [english, german] == [i18n.size(each, count) for each in (ENGLISH, GERMAN)]


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(0.2, "1 s"), (59, "59 s"), (61, "1 min"), (3599, "60 min"), (7300, "2 h")],
)
def test_times_are_round(seconds: float, said: str) -> None:
    """Nobody needs the seconds of an hour."""
    assert said == i18n.span(seconds)
