"""Routing, watching, formats and faults: the fetcher's pure decisions."""

import errno
import http.client
import socket
import ssl
from typing import Any

import pytest

from trawler_crds.failures import FailureReason
from trawler_crds.media_job import EngineName, Limits, Media
from trawler_crds.messages import Stage
from trawler_worker.fetcher.engines.routing import looks_like_a_file, route
from trawler_worker.fetcher.error_mapping import by_status, fault_of, seconds_of
from trawler_worker.fetcher.errors import EngineDeclined, FetchError
from trawler_worker.fetcher.handover import most_telling
from trawler_worker.fetcher.network.guard import RefusedAddress
from trawler_worker.fetcher.supervision.allowance import Allowance
from trawler_worker.fetcher.supervision.watchdog import Measured, ResourceWatchdog, is_too_much
from trawler_worker.protocol import Fetch


def order(url: str = "http://a/x", **more: Any) -> Fetch:
    fields = {"media": Media(), "engines": [], "limits": Limits(), "seconds": 60.0, **more}
    return Fetch(job="u-1", url=url, **fields)


EVERY = frozenset(EngineName)
D, C, Y, G = EngineName.DIRECT, EngineName.COBALT, EngineName.YT_DLP, EngineName.GALLERY_DL


@pytest.mark.parametrize(
    ("url", "kind", "engines"),
    [
        ("http://a/b.MP4?x=1", "Auto", [D, Y, G]),
        ("http://a/watch?v=b.mp4", "Auto", [Y, G]),
        ("http://a/watch", "Audio", [Y]),
        ("http://a/watch", "Image", [D, G]),
        ("https://www.youtube.com/watch?v=x", "Auto", [C, Y, G]),
        ("https://YOUTU.BE./x", "Video", [C, Y, G]),
        ("https://notyoutube.com/x", "Video", [Y, G]),
        ("https://x.com/a/status/1", "Auto", [C, G, Y]),
        ("https://www.instagram.com/p/x", "Image", [C, G]),
        ("https://imgur.com/a/x", "Auto", [G, Y]),
        ("https://soundcloud.com/a/b", "Audio", [C, Y]),
    ],
)
def test_the_engine_that_may_know_an_address_best_comes_first(
    url: str, kind: str, engines: list[EngineName]
) -> None:
    """By its host and by how it ends; never one that does not bring what was asked for."""
    asked = order(url, media=Media.model_validate({"kind": kind}))
    assert engines == route(asked, EVERY)
    assert not looks_like_a_file("http://a/mp4")


def test_named_engines_are_tried_in_their_order_and_missing_ones_passed_over() -> None:
    """Of an install without Cobalt, say."""
    assert [Y, D] == route(order(engines=[C, Y, D]), {D, Y, G})


def test_an_engine_that_a_site_refuses_is_left_out_unless_it_was_named_or_is_the_only_one() -> None:
    url = "https://www.youtube.com/watch?v=x"
    assert [Y, G] == route(order(url, avoid=[C]), EVERY)
    assert [C, Y] == route(order(url, avoid=[C], engines=[C, Y]), EVERY)
    assert [Y] == route(order("http://a/watch", avoid=[Y, G]), {Y})


def test_an_engine_that_is_not_there_is_said_in_a_sentence() -> None:
    """Never done by half in silence."""
    with pytest.raises(FetchError) as caught:
        route(order(engines=[EngineName.COBALT]), {D, Y, G})
    assert FailureReason.NOT_SUPPORTED == caught.value.reason
    assert caught.value.message.endswith(".")


def test_subtitles_are_asked_of_who_brings_some() -> None:
    media = Media(subtitles=["en"])
    assert [Y] == route(order("https://www.youtube.com/watch?v=x", media=media), EVERY)
    assert [Y] == route(order("https://x.com/a/status/1", media=media), EVERY)
    assert [D, Y] == route(order("https://a/b.mkv", media=media), EVERY)


def test_of_several_failures_the_most_telling_one_is_read() -> None:
    """That it is private says more than that one engine could not read its page."""
    said = [
        EngineDeclined(FailureReason.NOT_SUPPORTED),
        FetchError(FailureReason.SITE_ERROR, elsewhere=True),
        FetchError(FailureReason.NEEDS_LOGIN, elsewhere=True),
        FetchError(FailureReason.INTERNAL, elsewhere=True),
    ]
    assert most_telling(said) is said[2]
    assert most_telling(said[:2]) is said[1]
    assert most_telling(said[:1]) is said[0]


@pytest.mark.parametrize(
    ("status", "retry_after", "reason"),
    [
        (404, None, "NothingFound"),
        (410, None, "NothingFound"),
        (401, None, "NeedsLogin"),
        (403, None, "NeedsLogin"),
        (429, None, "Throttled"),
        (503, "5", "Throttled"),
        (503, None, "SiteError"),
        (500, None, "SiteError"),
        (451, None, "Unavailable"),
    ],
)
def test_a_status_code_has_one_reason(status: int, retry_after: str | None, reason: str) -> None:
    """The table of the design."""
    assert reason == by_status(status, retry_after).reason


def _caused(outer: Exception, inner: BaseException) -> Exception:
    outer.__cause__ = inner
    return outer


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (_caused(http.client.HTTPException(), RefusedAddress()), "BadAddress"),
        (_caused(OSError(), socket.gaierror(socket.EAI_NONAME, "x")), "BadAddress"),
        (_caused(OSError(), socket.gaierror(socket.EAI_AGAIN, "x")), "SiteError"),
        (TimeoutError(), "TooSlow"),
        (ssl.SSLCertVerificationError("x"), "BadCertificate"),
        (OSError(errno.EFBIG, "x"), "TooLarge"),
        (OSError(errno.ENOSPC, "x"), "TooLarge"),
        (ConnectionResetError(), "SiteError"),
    ],
)
def test_the_cause_decides_wherever_it_hides(error: Exception, reason: str) -> None:
    """Libraries wrap what really happened."""
    assert reason == fault_of(error).reason


def test_a_chain_that_bites_its_tail_ends() -> None:
    """Exceptions may refer to one another."""
    first, second = ValueError(), KeyError()
    first.__cause__, second.__cause__ = second, first
    assert FailureReason.SITE_ERROR == fault_of(first).reason


def watch(**more: Any) -> ResourceWatchdog:
    limits = {"begun": 0.0, "deadline": 900.0, "max_scratch": 10**9, "max_memory": 10**9, **more}
    return ResourceWatchdog(**limits)


def seen(
    now: float, size: int = 0, *, memory: int = 0, stage: Stage = Stage.FETCHING, **more: float
) -> Measured:
    return Measured(now=now, stage=stage, scratch_bytes=size, memory_bytes=memory, **more)


def _reason(found: Any) -> str | None:
    return found.reason if found else None


def test_no_first_byte_for_ninety_seconds_is_too_slow() -> None:
    """But not a second earlier."""
    rules = watch()
    assert rules.judge(seen(89)) is None
    assert "TooSlow" == _reason(rules.judge(seen(91)))


def test_less_than_a_kibibyte_a_second_over_twenty_seconds_is_too_slow() -> None:
    """Judged over a window, so that a pause alone is no fault."""
    slow, fast = watch(), watch()
    slow_verdicts = [slow.judge(seen(t / 4, int(1 + t / 4 * 100))) for t in range(120)]
    fast_verdicts = [fast.judge(seen(t / 4, int(1 + t / 4 * 2000))) for t in range(120)]
    assert "TooSlow" == _reason(slow_verdicts[-1])
    assert slow_verdicts[75] is None
    assert [None] * 120 == fast_verdicts


def test_each_answer_may_take_ninety_seconds_to_begin() -> None:
    """A second file, another format, what is asked for again: the clock for what flows stands still
    meanwhile.
    """
    rules = watch()
    assert rules.judge(seen(10, 500_000)) is None
    waiting = [rules.judge(seen(10 + t, 500_000, awaiting=t, awaited=t)) for t in range(1, 90)]
    assert not any(waiting)
    flowing = [rules.judge(seen(100 + t, 500_000 + t * 2000, awaited=90)) for t in range(60)]
    assert not any(flowing)
    late = rules.judge(seen(260, 620_000, awaiting=91, awaited=181))
    assert "TooSlow" == _reason(late)


def test_a_slow_page_takes_nothing_from_the_time_of_the_file() -> None:
    """Each of the two takes a minute to begin."""
    rules = watch()
    page = [rules.judge(seen(t, awaiting=t, awaited=t)) for t in range(1, 60)]
    file = [rules.judge(seen(t, awaiting=t - 61, awaited=t - 1)) for t in range(62, 121)]
    assert not any(page + file)
    assert rules.judge(seen(122, 1000, awaited=120)) is None


def test_another_engine_begins_with_all_of_its_time() -> None:
    """A look saw the beginning of a page, which is no file: what came after it had twenty
    seconds.
    """
    rules = watch()
    assert rules.judge(seen(1, 2_000)) is None
    assert not any(rules.judge(seen(t)) for t in range(2, 90))
    assert "TooSlow" == _reason(rules.judge(seen(93)))


def test_a_site_that_has_every_answer_wait_is_too_slow() -> None:
    """By one redirect after another, or a byte for each; it held a job for as long as an attempt
    may take.
    """
    for size in (0, 1):
        rules = watch()
        found = [
            _reason(rules.judge(seen(t, size * (t // 90), awaiting=t % 90 or 0.1, awaited=t)))
            for t in range(1, 420)
        ]
        assert found[290] is None
        assert found[-1] == "TooSlow"


def test_answers_that_are_awaited_do_not_make_what_flows_faster() -> None:
    """Two seconds of every three are spent waiting; in the third comes next to nothing."""
    rules = watch()
    verdicts = [
        rules.judge(seen(second, 100 + second, awaited=second / 3 * 2)) for second in range(90)
    ]
    assert verdicts[55] is None
    assert "TooSlow" == _reason(verdicts[-1])


def test_bytes_that_stop_coming_are_too_slow() -> None:
    """A stalled body."""
    rules = watch()
    verdicts = [rules.judge(seen(t / 2, 500_000)) for t in range(60)]
    assert verdicts[30] is None
    assert "TooSlow" == _reason(verdicts[-1])


def test_proving_is_not_judged_by_rate() -> None:
    """No byte comes from the site then."""
    rules = watch()
    assert all(rules.judge(seen(t, 5, stage=Stage.PROVING)) is None for t in range(200))


@pytest.mark.parametrize(
    ("measured", "reason"),
    [
        (seen(900), "TooLong"),
        (seen(1, memory=2 * 10**9), "OutOfMemory"),
        (seen(1, 2 * 10**9), "TooLarge"),
    ],
)
def test_each_bound_stops_a_job(measured: Measured, reason: str) -> None:
    """Time, memory, disk."""
    assert reason == _reason(watch().judge(measured))


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        (None, None),
        ("7", 7.0),
        (" 120 ", 120.0),
        ("99999999999999999999", 604800.0),
        ("-5", None),
        ("soon", None),
        ("²", None),
        ("Fri, 31 Dec 1999 23:59:59 GMT", 0.0),
        ("Fri, 31 Dec 9999 23:59:59 GMT", 604800.0),
        ("Mon, 01 Jan 99999999999 00:00:00 GMT", None),
        ("Mon, 01 Jan 2024 00:00:00 +99999999999999999999", None),
    ],
)
def test_retry_after_is_read_as_the_standard_says_and_bounded(
    header: str | None, seconds: float | None
) -> None:
    """Seconds or a date; anything else says nothing."""
    assert seconds == seconds_of(header)


def test_a_slow_download_may_say_how_far_it_is_for_a_day() -> None:
    """Four reports a second of a hundred bytes: after three hours it ended as Internal."""
    said = Allowance(burst=4 * 2**20, per_second=16 * 1024, now=0.0)
    assert all(said.takes(100, second / 4) for second in range(4 * 24 * 3600))


def test_who_says_more_than_anybody_reads_is_not_heard_any_longer() -> None:
    """At once, or for long."""
    at_once = Allowance(burst=1000, per_second=10, now=0.0)
    assert not at_once.takes(1001, 0.0)
    for_long = Allowance(burst=1000, per_second=10, now=0.0)
    assert not all(for_long.takes(20, second) for second in range(1000))


def test_absurdly_many_files_are_too_large() -> None:
    """They were not even counted."""
    too_many = Measured(now=1.0, stage=Stage.FETCHING, scratch_bytes=None, memory_bytes=0)
    assert "TooLarge" == _reason(watch().judge(too_many))


@pytest.mark.parametrize(
    ("sizes", "kept", "goes"),
    [
        ({"a": 50, "b": 40}, 0, None),
        ({"a": 50, "b": 60}, 0, "b"),
        ({"a": 50, "b": 10}, 50, "a"),
        ({"a": None, "b": 200}, 0, "b"),
        ({}, 500, None),
    ],
)
def test_the_largest_goes_where_there_is_no_room_for_all(
    sizes: dict[str, int | None], kept: int, goes: str | None
) -> None:
    """What is done and not yet stored needs room too."""
    assert is_too_much(sizes, kept, 100) == goes
    assert is_too_much(sizes, kept, None) is None


def test_who_begins_anew_is_not_slow() -> None:
    """The connection broke after forty seconds, and the site knows no parts: all of it once
    more.
    """
    rules = watch()
    verdicts = [rules.judge(seen(t / 4, 1 + t * 250_000)) for t in range(160)]
    verdicts += [rules.judge(seen(40 + t / 4, 1 + t * 250_000)) for t in range(160)]
    assert [None] * 320 == verdicts
