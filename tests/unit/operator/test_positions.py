"""What people who wait are told."""

from objects import clock, held, job, pod, queue, running, state_of
from trawler_crds.media_job import MediaJob
from trawler_crds.messages import Positions
from trawler_operator.planning.positions import positions
from trawler_operator.planning.scheduling import Scheduler
from trawler_operator.state.cluster_state import ClusterState


def told(state: ClusterState) -> list[Positions]:
    return [found for found in positions(state, clock(), Scheduler()) if found is not None]


def queued(uid: str, name: str) -> MediaJob:
    return job(uid, queue=name, status_phase="Queued")


def test_each_queue_hears_its_own_places() -> None:
    """By turn; nobody learns of another queue's jobs."""
    state = state_of(
        queued("a1", "a"), queued("a2", "a"), queued("b1", "b"), queue("a"), queue("b")
    )
    found = {p.queue: [(x.uid, x.place) for x in p.places] for p in told(state)}
    assert {"a": [("a1", 1), ("a2", 2)], "b": [("b1", 1)]} == found


def test_no_estimate_before_anything_was_finished() -> None:
    """Rather nothing than an invention."""
    state = state_of(queued("a1", "a"), pod())
    assert [None] == [p.seconds for p in told(state)[0].places]


def test_the_estimate_follows_from_how_long_jobs_took_and_who_goes_before() -> None:
    """Two slots, ten seconds each: a slot becomes free every five seconds, in turn for a and b."""
    state = state_of(
        queued("a1", "a"),
        queued("a2", "a"),
        queued("b1", "b"),
        queue("a"),
        queue("b"),
        pod(free=0, taken=2, held=held()),
    )
    state.seconds_per_job["default"] = 10.0
    found = {x.uid: x.seconds for p in told(state) for x in p.places}
    assert {"a1": 5, "b1": 10, "a2": 15} == found


def test_how_long_jobs_take_is_learnt_from_those_that_ended() -> None:
    """By our own clock."""
    now = 1000.0
    state = state_of()
    state._now = lambda: now
    state.see_job(running("u1"))
    now = 1012.0
    state.see_job(job("u1", version=2, status_phase="Failed"))
    assert {"default": 12.0} == state.seconds_per_job


def test_a_paused_queue_has_places_but_no_estimate() -> None:
    """Nobody knows when it goes on."""
    state = state_of(queued("a1", "a"), queue("a", paused=True), pod())
    state.seconds_per_job["default"] = 10.0
    assert [(1, None)] == [(p.place, p.seconds) for p in told(state)[0].places]


def test_a_queue_that_may_run_nothing_has_no_estimate_either() -> None:
    """Its jobs were told that it would take seconds, and stood in the way of others' estimates."""
    state = state_of(pod(free=1), queue("none", maxRunning=0), queue("some"))
    state.seconds_per_job["default"] = 10.0
    for uid, name in (("a", "none"), ("b", "some")):
        state.see_job(queued(uid, name))
    seconds = {each.queue: each.places[0].seconds for each in told(state)}
    assert {"none": None, "some": 10} == seconds


def test_a_queue_that_may_run_one_is_told_how_long_that_takes() -> None:
    """The second of two, behind one that runs, was promised a slot that it may not have."""
    state = state_of(
        running("r", queue="a"),
        queued("a1", "a"),
        queued("a2", "a"),
        queue("a", maxRunning=1),
        pod(free=9, taken=1, held=held("r")),
    )
    state.seconds_per_job["default"] = 10.0
    assert [10, 20] == [place.seconds for place in told(state)[0].places]


def test_a_place_counts_those_who_wait_for_the_same_pods() -> None:
    """The first in its own pool was told that a hundred go before."""
    others = [job(f"u{n}", queue="a", pool="p", status_phase="Queued") for n in range(9)]
    state = state_of(*others, queued("mine", "a"), queue("a"))
    (found,) = told(state)
    assert 10 == found.waiting
    assert [1] == [place.place for place in found.places if place.uid == "mine"]
