"""Pauses between tries, and the breaker that spares them."""

import pytest

from trawler_common.backoff import Backoff
from trawler_common.breaker import Breaker


class Away(Exception):
    """A dependency did not answer."""


def call(breaker: Breaker, *, fails: bool) -> str:
    """What became of one call: tried or not, and with what end."""
    tried = False
    try:
        with breaker.guarding(Away):
            tried = True
            if fails:
                raise Away("it hangs")
    except Away:
        return "failed" if tried else "spared"
    return "worked"


def test_pauses_double_up_to_a_bound_and_begin_anew_after_a_success() -> None:
    """Half of each is chance, so that many who failed together do not come back together."""
    longest, shortest = (
        Backoff(longest=10, jitter=lambda: 1.0),
        Backoff(longest=10, jitter=lambda: 0.0),
    )
    assert [1, 2, 4, 8, 10, 10] == [longest.next() for _ in range(6)]
    assert [0.5, 1, 2, 4, 5, 5] == [shortest.next() for _ in range(6)]
    longest.reset()
    assert 1 == longest.next()


def test_whoever_asks_for_patience_gets_it() -> None:
    """Retry-After is the least."""
    assert 7 == Backoff(jitter=lambda: 0.0).next(at_least=7)


def test_a_dependency_that_hangs_is_tried_by_one_and_spared_by_the_others() -> None:
    """Each of two hundred copies waited ten seconds for it."""
    now = 0.0
    breaker = Breaker(Away, after=3, now=lambda: now)
    assert ["failed"] * 3 == [call(breaker, fails=True) for _ in range(3)]
    assert breaker.open
    assert ["spared"] * 5 == [call(breaker, fails=True) for _ in range(5)]
    now = 2.0
    assert "failed" == call(breaker, fails=True)
    assert "spared" == call(breaker, fails=False)
    now = 20.0
    assert "worked" == call(breaker, fails=False)
    assert not breaker.open
    assert "worked" == call(breaker, fails=False)


def test_an_answer_that_something_is_missing_is_an_answer() -> None:
    """Objects that are not there say nothing of the store."""
    breaker = Breaker(Away, after=2)
    for _ in range(5):
        assert "failed" == call(breaker, fails=True)
        with pytest.raises(FileNotFoundError), breaker.guarding(Away):
            raise FileNotFoundError
    assert not breaker.open
