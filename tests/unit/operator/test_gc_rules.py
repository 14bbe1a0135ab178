"""What the store may forget, and when."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any, cast
from unittest.mock import AsyncMock

import pytest

from objects import job, pool, running, state_of
from trawler_crds import subjects
from trawler_crds.media_job import MediaJob
from trawler_crds.messages import Recorded, Result
from trawler_operator.bus.results import ResultHandler
from trawler_operator.control.metrics import Metrics
from trawler_operator.planning.gc_rules import Named, Pins, Sweeper, longest_attempt
from trawler_operator.state.cluster_state import ClusterState

A, B = "aa" + "0" * 62, "aa" + "1" * 62
FILE = {"name": "a.mp4", "bytes": 1, "sha256": A, "type": "video/mp4"}


def named(state: ClusterState, pins: Pins) -> set[str]:
    found = Named(state, pins)
    return {sha256 for sha256 in (A, B) if sha256 in found}


def look(sweeper: Sweeper, now: float, *names: str) -> list[str]:
    return sweeper.look("aa", [A, B], names, now=now, apart=100.0)


def test_an_object_goes_when_nothing_named_it_in_two_listings_far_enough_apart() -> None:
    """One listing may have been made while somebody was about to name it."""
    sweeper = Sweeper(since=0.0)
    assert [] == look(sweeper, 200.0, A)
    assert [] == look(sweeper, 299.9, A)
    assert [B] == look(sweeper, 300.0, A)


def test_an_object_that_was_named_in_between_begins_anew() -> None:
    """It was in use: its time is counted from the first listing without a name."""
    sweeper = Sweeper(since=0.0)
    for now, names, may_go in (
        (200.0, (A,), []),
        (250.0, (A, B), []),
        (300.0, (A,), []),
        (400.0, (A,), [B]),
    ):
        assert may_go == look(sweeper, now, *names)


def test_a_new_leader_deletes_nothing_for_the_time_of_a_longest_attempt() -> None:
    """It knows nothing of the grants of the one before."""
    sweeper = Sweeper(since=1000.0)
    assert [] == sweeper.look("aa", [A], (), now=1000.0, apart=10.0)
    assert [] == sweeper.look("aa", [A], (), now=1050.0, apart=100.0)
    assert [A] == sweeper.look("aa", [A], (), now=1100.0, apart=100.0)


def test_an_object_that_another_hand_removed_is_forgotten() -> None:
    """Else what is stored again under the same hash would go at once."""
    sweeper = Sweeper(since=0.0)
    look(sweeper, 200.0)
    sweeper.look("aa", [], (), now=250.0, apart=100.0)
    assert [] == look(sweeper, 300.0)


def test_a_finished_job_names_its_files() -> None:
    """For as long as it is there."""
    done = job("a", status_phase="Succeeded", status_files=[FILE])
    state = state_of(done)
    assert {A} == named(state, Pins())
    state.see_job(done, gone=True)
    assert set() == named(state, Pins())


@pytest.mark.parametrize(
    ("now", "kept"),
    [
        (running("a"), {A, B}),
        (running("a", attempt=2), set()),
        (job("a", status_phase="Queued", status_attempt=1), set()),
    ],
)
def test_a_grant_pins_its_objects_for_as_long_as_its_attempt_runs(
    now: MediaJob, kept: set[str]
) -> None:
    """Stored, but not yet reported."""
    pins = Pins()
    pins.grant("a", 1, [A])
    pins.grant("a", 1, [B])
    assert kept == named(state_of(now), pins)


def test_while_an_attempt_of_the_leader_before_runs_nothing_may_go() -> None:
    """What it was promised nobody knows: where its end could not be written for longer than an
    attempt lasts, its object went, and then it reported that it was stored.
    """
    pins, state = Pins(), state_of(running("a", attempt=2), running("b", attempt=1))
    pins.begin("a", 1)
    pins.begin("b", 1)
    assert 1 == pins.inherited(state), "the second attempt of a is not ours"
    pins.begin("a", 2)
    assert 0 == pins.inherited(state)
    state.see_job(running("b", attempt=1), gone=True)
    pins.forget_ended(state)
    assert {"a": 2} == pins._ours


def test_what_a_job_is_about_to_name_is_pinned_until_it_does() -> None:
    """A reuse looks at the objects first, and writes then."""
    pins = Pins()
    with pins.held([A]), pins.held([A]):
        assert {A} == named(state_of(), pins)
    assert set() == named(state_of(), pins)


def test_nobody_counts_on_what_is_just_being_deleted() -> None:
    """It would be told that it is there, and then it would not be."""
    pins = Pins()
    with pins.letting_go(A):
        assert pins.going([B, A])
        assert not pins.going([B])
    assert not pins.going([A])


def test_the_longest_attempt_is_that_of_the_slowest_pool() -> None:
    """An hour where no pool is known."""
    pools = [pool("a", maxAttemptSeconds=5), pool("b", maxAttemptSeconds=50)]
    assert (3600.0, 50.0) == (longest_attempt(state_of()), longest_attempt(state_of(*pools)))


def test_grants_of_attempts_that_are_over_are_forgotten() -> None:
    """Also where nothing is swept: twenty thousand of them stayed."""
    pins = Pins()
    pins.grant("gone", 1, ["a" * 64])
    pins.grant("u1", 1, ["b" * 64])
    pins.forget_ended(state_of(running("u1")))
    assert [("u1", 1)] == list(pins._granted)


async def test_a_result_whose_object_is_just_being_deleted_is_said_again() -> None:
    """It would be called stored, and then it would not be there; meanwhile nobody deletes what it
    names.
    """
    pins, state = Pins(), state_of(running("u1", worker="p1"))
    file = {"name": "a.mp4", "bytes": 1, "sha256": "a" * 64, "type": "video/mp4"}
    result = Result.model_validate({"attempt": 1, "outcome": "Stored", "files": [file]})
    kept: list[set[str]] = []

    async def write(_: object) -> None:
        kept.append(pins.kept(state))

    @asynccontextmanager
    async def alone_with(_: str) -> AsyncIterator[None]:
        yield

    desk = ResultHandler(
        state=state,
        client=cast("Any", None),
        store=cast("Any", SimpleNamespace(has=AsyncMock(return_value=True))),
        leader=cast("Any", SimpleNamespace(valid=lambda: True)),
        executor=cast("Any", SimpleNamespace(write=write)),
        reconciler=cast("Any", SimpleNamespace(alone_with=alone_with)),
        pins=pins,
        metrics=Metrics(state_of()),
    )
    subject = subjects.results("i", "p1", "u1")
    with pins.letting_go("a" * 64):
        assert await desk.record(subject, result) is None
    assert [] == kept
    assert Recorded() == await desk.record(subject, result)
    assert [{"a" * 64}] == kept
