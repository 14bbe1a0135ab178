"""A site that refuses is left alone for a while, then asked by one; others are not kept waiting by
it.
"""

from hypothesis import given
from hypothesis import strategies as st

from trawler_crds.failures import FailureReason
from trawler_crds.media_job import EngineAttempt, EngineName
from trawler_operator.state.breakers import (
    FAILURES,
    FIRST_PAUSE,
    LONGEST_PAUSE,
    MOST,
    PROBE_WITHIN,
    Breakers,
)

Y, C, G = EngineName.YT_DLP, EngineName.COBALT, EngineName.GALLERY_DL
SITE = "a.example"


def tried(*turns: tuple[EngineName, FailureReason | None]) -> list[EngineAttempt]:
    return [EngineAttempt(engine=engine, reason=reason) for engine, reason in turns]


BAD = tried((Y, FailureReason.SITE_ERROR))
GOOD = tried((Y, None))


def opened(now: float = 0.0) -> Breakers:
    found = Breakers()
    for number in range(FAILURES):
        assert found.closed_until(SITE, now) <= now
        found.record(SITE, f"u{number}", BAD, now)
    return found


def test_it_opens_after_failures_of_different_jobs_in_a_row() -> None:
    """One bad link that is tried again and again says nothing of its site."""
    found = opened()
    assert FIRST_PAUSE == found.closed_until(SITE, 0.0)
    assert found.closed_until("b.example", 0.0) <= 0.0
    (refusing,) = found.refusing(0.0)
    assert (SITE, Y, FIRST_PAUSE) == (refusing.site, refusing.engine, refusing.seconds)
    one = Breakers()
    for _ in range(20):
        one.record(SITE, "u", BAD, 0.0)
    assert one.closed_until(SITE, 0.0) <= 0.0


def test_what_a_site_says_is_an_answer_and_what_an_engine_says_of_itself_is_none() -> None:
    """That something is private closes it; that an engine does not take such links changes
    nothing.
    """
    for reason, shut in ((FailureReason.UNAVAILABLE, False), (FailureReason.NOT_SUPPORTED, True)):
        found = Breakers()
        for number in range(2 * FAILURES):
            turn = BAD if number % FAILURES != FAILURES - 1 else tried((Y, reason))
            found.record(SITE, f"u{number}", turn, 0.0)
        assert shut is (found.closed_until(SITE, 0.0) > 0.0), reason


def test_an_engine_that_never_takes_a_sites_links_keeps_nobody_from_resting() -> None:
    """It stood for one that has luck there, and all that was asked for went to it, in vain and for
    good.
    """
    found = Breakers()
    for number in range(FAILURES):
        turns = tried((Y, FailureReason.THROTTLED), (G, FailureReason.NOT_SUPPORTED))
        found.record(SITE, f"u{number}", turns, 0.0)
    assert found.closed_until(SITE, 0.0) > 0.0
    assert [] == found.avoid(SITE, 0.0, "u")


def test_broken_media_are_no_refusal() -> None:
    """Five links to broken files would shut a whole host."""
    found = Breakers()
    broken = [EngineAttempt(engine=Y, reason=FailureReason.SITE_ERROR, proof=True)]
    for number in range(20):
        found.record(SITE, f"u{number}", broken, 0.0)
    assert not found


def test_the_probe_asks_the_engine_that_it_is_to_try() -> None:
    """It was told to avoid it, and so was every one after it, for ever."""
    found = Breakers()
    for number in range(FAILURES):
        found.record(SITE, f"u{number}", tried((C, FailureReason.THROTTLED), (Y, None)), 0.0)
    assert [C] == found.avoid(SITE, 0.0, "v")
    found.probe(SITE, "v", FIRST_PAUSE)
    assert [] == found.avoid(SITE, FIRST_PAUSE, "v")
    found.probe(SITE, "w", FIRST_PAUSE)
    assert [C] == found.avoid(SITE, FIRST_PAUSE, "w"), "one is enough"
    found.record(SITE, "v", tried((C, None)), FIRST_PAUSE + 1)
    assert [] == found.avoid(SITE, FIRST_PAUSE + 1, "x")


def test_who_names_other_engines_does_not_wait() -> None:
    found = opened()
    assert found.closed_until(SITE, 0.0, [Y]) > 0.0
    assert found.closed_until(SITE, 0.0, [G]) <= 0.0
    assert found.closed_until(SITE, 0.0, [Y, G]) <= 0.0


def test_one_job_tries_it_and_closes_it_or_keeps_it_open_for_longer() -> None:
    """Half-open: while the probe is out, nobody else goes."""
    found = opened()
    at = FIRST_PAUSE
    assert found.closed_until(SITE, at) <= at
    found.probe(SITE, "probe", at)
    assert at + PROBE_WITHIN == found.closed_until(SITE, at)
    assert not found.record(SITE, "probe", BAD, at + 1)
    assert at + 1 + 2 * FIRST_PAUSE == found.closed_until(SITE, at + 1)
    later = at + 1 + 2 * FIRST_PAUSE
    found.probe(SITE, "probe2", later)
    assert found.record(SITE, "probe2", GOOD, later + 1), "who waits may go on"
    assert found.closed_until(SITE, later + 1) <= later
    assert not found


def test_a_probe_of_which_nothing_is_heard_is_followed_by_another() -> None:
    """Its pod may be gone."""
    found = opened()
    found.probe(SITE, "probe", FIRST_PAUSE)
    assert found.closed_until(SITE, FIRST_PAUSE + PROBE_WITHIN) <= FIRST_PAUSE + PROBE_WITHIN


def test_what_the_site_asked_for_is_kept_to_once_more_than_one_was_refused() -> None:
    """A lone Retry-After is about one link: it makes that job wait, not all others."""
    found = Breakers()
    refused = tried((Y, FailureReason.THROTTLED))
    found.record(SITE, "u", refused, 100.0, retry_after=300.0)
    assert not found
    for number in range(FAILURES):
        found.record(SITE, f"u{number}", refused, 100.0, retry_after=300.0)
    assert 400.0 == found.closed_until(SITE, 100.0)


def test_as_long_as_one_engine_has_luck_the_site_is_asked_by_that_one() -> None:
    """The others are avoided meanwhile."""
    found = Breakers()
    for number in range(FAILURES):
        turns = tried((C, FailureReason.THROTTLED), (Y, None))
        found.record(SITE, f"u{number}", turns, 0.0)
    assert found.closed_until(SITE, 0.0) <= 0.0
    assert [C] == found.avoid(SITE, 0.0, "u")
    for number in range(FAILURES):
        found.record(SITE, f"v{number}", BAD, 0.0)
    assert found.closed_until(SITE, 0.0) > 0.0
    assert [] == found.avoid(SITE, 0.0, "u"), "then there is none to be asked instead"


def test_who_waits_is_released_once() -> None:
    found = opened()
    for uid in ("a", "b", "c"):
        found.hold(SITE, uid)
    found.hold("b.example", "d")
    found.forget("b")
    assert ["a", "c"] == found.release(SITE)
    assert [] == found.release(SITE)


@given(st.lists(st.tuples(st.integers(0, 5), st.booleans(), st.floats(0, 100)), max_size=60))
def test_a_pause_ends_whatever_comes(steps: list[tuple[int, bool, float]]) -> None:
    """No order of events keeps a site shut for longer than the longest pause."""
    found, now = Breakers(), 0.0
    for number, (uid, good, later) in enumerate(steps):
        now += later
        if number % 3 == 0:
            found.probe(SITE, f"u{uid}", now)
        found.record(SITE, f"u{uid}", GOOD if good else BAD, now)
        assert found.closed_until(SITE, now) <= now + LONGEST_PAUSE


def test_what_is_remembered_is_bounded() -> None:
    found = Breakers()
    for number in range(MOST + 500):
        found.record(f"s{number}.example", "u", BAD, 0.0)
    assert MOST == len(found._pairs) == len(found._sites)
