"""Whose turn it is, and which pod takes it."""

from objects import NOON, board, clock, held, job, pod
from trawler_crds.media_job import MediaJob
from trawler_operator import lifecycle, scheduling
from trawler_operator.actions import Dispatch


def queued(uid: str, created: str = "2027-01-15T08:00:00Z", **more: object) -> MediaJob:
    return job(uid, created=created, status_phase="Queued", **more)


def test_first_come_first_served() -> None:
    """Age, then name."""
    state = board(
        queued("b", "2027-01-15T08:00:01Z"), queued("a", "2027-01-15T08:00:02Z"), pod(free=1)
    )
    assert [Dispatch(uid="b", pod="p1", attempt=1)] == scheduling.assign(state, clock(), skip=set())


def test_the_emptiest_pod_takes_the_job() -> None:
    """Load spreads."""
    state = board(queued("a"), pod("p1", free=1), pod("p2", free=2))
    assert ["p2"] == [found.pod for found in scheduling.assign(state, clock(), skip=set())]


def test_no_more_jobs_than_free_slots() -> None:
    """Nothing waits anywhere but in the MediaJobs."""
    state = board(*(queued(f"u{n}") for n in range(5)), pod("p1", free=1), pod("p2", free=2))
    assert 3 == len(scheduling.assign(state, clock(), skip=set()))


def test_an_order_under_way_takes_a_slot() -> None:
    """The pod did not count it yet."""
    state = board(queued("a"), pod(free=1))
    state.reserved["other", 1] = "p1"
    assert [] == scheduling.assign(state, clock(), skip=set())


def test_an_order_that_the_pod_counts_already_takes_no_second_slot() -> None:
    """Else a slot would idle."""
    state = board(queued("a"), pod(free=1, held=held("other", 1)))
    state.reserved["other", 1] = "p1"
    assert 1 == len(scheduling.assign(state, clock(), skip=set()))


def test_pods_that_cannot_take_it_are_passed_over() -> None:
    """Leaving, draining, silent, unheard, ended, or of another pool."""
    state = board(
        queued("a"),
        pod("p1", leaving=True),
        pod("p2", draining=True),
        pod("p3", heard_at=900.0),
        pod("p4", heard_at=None),
        pod("p5", phase="Ended"),
        pod("p6", pool="other"),
    )
    assert [] == scheduling.assign(state, clock(), skip=set())


def test_a_failed_job_waits_its_time_and_does_not_hold_up_others() -> None:
    """Backoff belongs to the job, not to the queue."""
    state = board(
        queued("a", status_failures=1, status_queuedTime=lifecycle.stamp(NOON)),
        queued("b", "2027-01-15T09:00:00Z"),
        pod(),
    )
    early, late = clock(wall=NOON + 1), clock(wall=NOON + 2)
    assert ["b"] == [found.uid for found in scheduling.assign(state, early, skip=set())]
    assert ["a", "b"] == [found.uid for found in scheduling.assign(state, late, skip=set())]
    assert 1.0 == scheduling.next_wake(state, early)


def test_jobs_that_are_being_worked_on_are_skipped() -> None:
    """One step of a job at a time."""
    assert [] == scheduling.assign(board(queued("a"), pod()), clock(), skip={"a"})
