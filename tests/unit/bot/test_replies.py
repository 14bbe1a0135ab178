"""What the one message of a job says, whatever strangers put into it."""

from typing import Any

import pytest

from objects import job
from trawler_bot import replies
from trawler_bot.replies import Act
from trawler_bot.texts import Language
from trawler_crds.failures import FailureReason
from trawler_crds.media_job import MediaFile, MediaJob
from trawler_crds.messages import Place, Progress, Stage

EN, DE = Language.ENGLISH, Language.GERMAN


def titled(title: str, **more: Any) -> MediaJob:
    return job(status_source={"title": title}, **more)


def file(size: int = 5, kind: str = "video/mp4", name: str = "a.mp4") -> MediaFile:
    return MediaFile(name=name, bytes=size, sha256="0" * 64, type=kind)


def acts(reply: replies.Reply) -> list[str]:
    return [button.custom_id.split(":")[1] for button in reply.buttons]


def test_who_waits_is_told_where_and_for_how_long() -> None:
    """As far as that is known."""
    mine = job()
    assert "Waiting for its turn." in replies.waiting(mine, EN).content
    assert "place 3" in replies.waiting(mine, EN, Place(uid="u1", place=3)).content
    told = replies.waiting(mine, EN, Place(uid="u1", place=3, seconds=90)).content
    assert "place 3 in line, about 2 min" in told
    assert ["cancel"] == acts(replies.waiting(mine, EN))


def test_progress_is_words_and_numbers() -> None:
    """Percent, size, speed, time left; in the language of who reads."""
    mine = job(status_phase="Running", status_attempt=1)
    said = Progress(
        uid="u1", attempt=1, stage=Stage.FETCHING, bytes=3_100_000, total=7_400_000, rate=2_000_000
    )
    assert "Fetching · 41 % · 3.1 MB of 7.4 MB · 2.0 MB/s · 2 s left" in (
        replies.running(mine, EN, said).content
    )
    assert "Wird geholt · 41 % · 3,1 MB von 7,4 MB · 2,0 MB/s · noch 2 s" in (
        replies.running(mine, DE, said).content
    )
    unknown = Progress(uid="u1", attempt=1, stage=Stage.FETCHING, bytes=3_100_000)
    assert replies.running(mine, EN, unknown).content.endswith("Fetching · 3.1 MB")


def test_progress_of_an_earlier_attempt_says_nothing() -> None:
    """It may come late."""
    mine = job(status_phase="Running", status_attempt=2)
    old = Progress(uid="u1", attempt=1, stage=Stage.FETCHING, bytes=5, total=5)
    assert "Starting" in replies.running(mine, EN, old).content


@pytest.mark.parametrize(
    "title",
    [
        "@everyone look",
        "@here",
        "<@123456789012345678> <@&42> <#7> <t:0:R> </download:1>",
        "**bold** __under__ ~~gone~~ `code` ||secret|| > quote # head [x](https://evil.example)",
        "line\nline\r\nline\u2028line",
        "\u202egpj.exe\u202c",
        "a\u200bb\u0007c",
        "x" * 256,
        "💥" * 256,
    ],
)
def test_a_hostile_title_is_only_words(title: str) -> None:
    """No ping, no markup, one line, cut, nothing turned around."""
    said = replies.waiting(titled(title), EN).content
    assert len(said) <= 2000
    head, _, rest = said.partition("\n")
    assert rest == "Waiting for its turn."
    inside = head.removeprefix("**").partition("** <")[0]
    assert "@everyone" not in inside
    assert "@here" not in inside
    assert not any(mark in inside for mark in ("<@", "<#", "<t:", "</"))
    for mark in "*_~`|>#[]()":
        assert all(inside[at - 1] == "\\" for at, c in enumerate(inside) if c == mark), inside
    assert not any(unseen in inside for unseen in "\u202e\u202c\u0007\u2028")


def test_a_megabyte_of_words_is_cut() -> None:
    """Wherever it comes from."""
    assert len(replies.harmless("x" * 1_000_000)) == replies.TITLE


def test_the_source_is_linked_without_a_preview_and_never_fills_the_message() -> None:
    """An address of two thousand characters is mostly a token."""
    assert "<http://site:8080/video/u1.mp4>" in replies.waiting(job(), EN).content
    long = job(url="https://a.example/" + "x" * 2000)
    assert "https://" not in replies.waiting(long, EN).content
    assert "a\\.example" in replies.waiting(long, EN).content


def test_an_end_with_files_offers_what_makes_sense() -> None:
    """Smaller and Audio only of a video."""
    done = job(status_phase="Succeeded", status_files=[file().wire()])
    assert ["retry", "smaller", "audio", "remove"] == acts(
        replies.ended(done, EN, too_large=[], links={}, limit=10)
    )
    sound = job(status_phase="Succeeded", status_files=[file(kind="audio/mpeg").wire()])
    assert ["retry", "remove"] == acts(replies.ended(sound, EN, too_large=[], links={}, limit=10))


def test_what_does_not_fit_is_named_with_its_size_and_a_way_out() -> None:
    """And its name is a stranger's too."""
    done = job(status_phase="Succeeded", status_files=[file().wire()])
    large = file(52_000_000, name="a`b @everyone.mp4")
    said = replies.ended(done, EN, too_large=[large], links={}, limit=10_485_760).content
    assert "`a'b @everyone.mp4` has 52.0 MB; here a file may have 10.5 MB" in said
    assert "Smaller" in said


@pytest.mark.parametrize("reason", FailureReason)
def test_every_failure_is_said_with_a_way_on(reason: FailureReason) -> None:
    """In both languages, with Retry and Remove."""
    over = job(status_phase="Failed", status_reason=reason, status_message="secret detail")
    for language in Language:
        said = replies.ended(over, language, too_large=[], links={}, limit=10)
        assert "secret detail" not in said.content
        assert {"retry", "remove"} <= set(acts(said))


def test_a_press_is_told_by_its_custom_id_alone() -> None:
    """What is not ours is nothing."""
    assert (Act.CANCEL, "d-123-2") == replies.parse(replies.custom_id(Act.CANCEL, "d-123-2"))
    for other in ("", "trawler", "trawler:explode:d-1", "other:cancel:d-1"):
        assert replies.parse(other) is None
    assert len(replies.custom_id(Act.SMALLER, "d-" + "9" * 20 + "-4")) <= 100


def test_a_fault_of_ours_names_what_to_ask_by() -> None:
    """The advice is to tell the reference: so there is one."""
    over = job(status_phase="Failed", status_reason=FailureReason.INTERNAL)
    for language in Language:
        assert "`job-u1`" in replies.failed(over, language).content
