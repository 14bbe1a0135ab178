"""Whose turn it is, and which pod takes it."""

from collections import Counter
from typing import Any

import pytest

from objects import NOON, clock, held, job, pod, queue, running, state_of
from trawler_crds.failures import FailureReason
from trawler_crds.media_job import EngineAttempt, EngineName, MediaJob
from trawler_crds.messages import Presence
from trawler_operator import formatting
from trawler_operator.planning import scheduling
from trawler_operator.planning.actions import Dispatch
from trawler_operator.planning.fair_queue import DeficitRoundRobin
from trawler_operator.planning.scheduling import Scheduler
from trawler_operator.state import breakers
from trawler_operator.state.cluster_state import Clock, ClusterState


def queued(uid: str, created: str = "2027-01-15T08:00:00Z", **more: object) -> MediaJob:
    return job(uid, created=created, status_phase="Queued", **more)


def assign(
    state: ClusterState, at: Clock | None = None, *, skip: set[str] | None = None
) -> list[Dispatch]:
    return Scheduler().assign(state, at or clock(), skip=skip or set())


def test_first_come_first_served() -> None:
    """Age, then name."""
    state = state_of(
        queued("b", "2027-01-15T08:00:01Z"), queued("a", "2027-01-15T08:00:02Z"), pod(free=1)
    )
    assert [Dispatch(uid="b", pod="p1", attempt=1)] == assign(state)


def test_the_emptiest_pod_takes_the_job() -> None:
    """Load spreads."""
    state = state_of(queued("a"), pod("p1", free=1), pod("p2", free=2))
    assert ["p2"] == [found.pod for found in assign(state)]


def test_no_more_jobs_than_free_slots() -> None:
    """Nothing waits anywhere but in the MediaJobs."""
    state = state_of(*(queued(f"u{n}") for n in range(5)), pod("p1", free=1), pod("p2", free=2))
    assert 3 == len(assign(state))


def test_an_order_under_way_takes_a_slot() -> None:
    """The pod did not count it yet."""
    state = state_of(queued("a"), pod(free=1))
    state.reserved["other", 1] = "p1"
    assert [] == assign(state)


def test_an_order_that_the_pod_counts_already_takes_no_second_slot() -> None:
    """Else a slot would idle."""
    state = state_of(queued("a"), pod(free=1, held=held("other", 1)))
    state.reserved["other", 1] = "p1"
    assert 1 == len(assign(state))


def test_pods_that_cannot_take_it_are_passed_over() -> None:
    """Leaving, draining, silent, unheard, ended, or of another pool."""
    state = state_of(
        queued("a"),
        pod("p1", leaving=True),
        pod("p2", draining=True),
        pod("p3", heard_at=900.0),
        pod("p4", heard_at=None),
        pod("p5", phase="Ended"),
        pod("p6", pool="other"),
    )
    assert [] == assign(state)


def test_a_failed_job_waits_its_time_and_does_not_hold_up_others() -> None:
    """Backoff belongs to the job, not to the queue."""
    state = state_of(
        queued("a", status_failures=1, status_queuedTime=formatting.stamp(NOON)),
        queued("b", "2027-01-15T09:00:00Z"),
        pod(),
    )
    early, late = clock(1001.0), clock(1002.0)
    assert ["b"] == [found.uid for found in assign(state, early)]
    assert 1.0 == scheduling.next_wake(state, early)
    assert ["a", "b"] == [found.uid for found in assign(state, late)]
    assert scheduling.next_wake(state, late) is None


def test_jobs_that_are_being_worked_on_are_skipped() -> None:
    """One step of a job at a time."""
    assert [] == assign(state_of(queued("a"), pod()), skip={"a"})


def dispatched(state: ClusterState, scheduler: Scheduler, turns: int) -> list[str]:
    """The queues served with one slot at a time; who was served is gone."""
    served = []
    for _ in range(turns):
        for found in scheduler.assign(state, clock(), skip=set()):
            served.append(state.jobs[found.uid].spec.queue)
            state.see_job(state.jobs[found.uid], gone=True)
    return served


def crowd(name: str, count: int) -> list[MediaJob]:
    return [queued(f"{name}{n:03}", queue=name) for n in range(count)]


def test_queues_share_by_weight() -> None:
    """4:2:1:1, and close to it at every moment, not only in the end."""
    weights = {"a": 4, "b": 2, "c": 1, "d": 1}
    jobs = [found for name in weights for found in crowd(name, 60)]
    state = state_of(*jobs, *(queue(n, weight=w) for n, w in weights.items()), pod(free=1))
    served = dispatched(state, Scheduler(), 80)
    for taken in (16, 40, 80):
        counts = Counter(served[:taken])
        for name, weight in weights.items():
            assert abs(counts[name] - taken * weight / 8) <= 1


def test_a_queue_saves_nothing_up_while_it_is_empty_paused_or_capped() -> None:
    """Who comes back takes its share, and not what it missed."""
    for away in ({"paused": True}, {"maxRunning": 0}, None):
        jobs = crowd("a", 100) + (crowd("b", 40) if away else [])
        state = state_of(*jobs, queue("a"), queue("b", **(away or {})), pod(free=1))
        scheduler = Scheduler()
        assert {"a"} == set(dispatched(state, scheduler, 40))
        back = queue("b").model_copy(
            update={"metadata": queue("b").metadata.model_copy(update={"resource_version": "2"})}
        )
        state.see_queue(back)
        for found in crowd("b", 40):
            state.see_job(found)
        assert 10 == Counter(dispatched(state, scheduler, 20))["b"]


def test_invented_queue_names_win_one_share_together() -> None:
    """Else everybody would invent one."""
    invented = [queued(f"i{n:03}", queue=f"made-up-{n}") for n in range(100)]
    state = state_of(*crowd("real", 50), *invented, queue("real"), pod(free=1))
    assert 20 == Counter(dispatched(state, Scheduler(), 40))["real"]


def test_a_cap_counts_what_runs_and_what_is_being_handed_over() -> None:
    """`maxRunning`."""
    state = state_of(
        *crowd("q", 5), running("r1", queue="q"), queue("q", maxRunning=3), pod("p2", free=9)
    )
    state.reserved["q000", 1] = "p2"
    assert ["q001"] == [f.uid for f in assign(state, skip={"q000"})]


@pytest.mark.parametrize(
    ("minutes", "first"), [(2, "important"), (4, "patient")], ids=["not yet", "aged enough"]
)
def test_priority_goes_first_until_others_have_waited_long_enough(minutes: int, first: str) -> None:
    """One step of priority for each minute waited."""
    came = formatting.stamp(formatting.parse("2027-01-15T08:00:00Z") + 60 * minutes)
    state = state_of(
        queued("patient", priority=5), queued("important", came, priority=8), pod(free=1)
    )
    assert [first] == [found.uid for found in assign(state)]


def test_a_changed_priority_counts_at_once() -> None:
    """It is one of the three fields that may change."""
    state = state_of(queued("a"), queued("b"), pod(free=1))
    state.see_job(queued("b", priority=9, version=2))
    assert ["b"] == [found.uid for found in assign(state)]


def test_a_job_that_ran_out_of_memory_goes_alone() -> None:
    """Into an empty pod, which then takes no second one; a busy pod is kept free for it."""
    greedy = queued("a", status_reason="OutOfMemory", status_failures=1)
    late = clock(1100.0)
    empty = state_of(greedy, queued("b", "2027-01-15T09:00:00Z"), pod(heard_at=1100.0))
    assert ["a"] == [found.uid for found in assign(empty, late)]
    busy = state_of(
        greedy,
        queued("b", "2027-01-15T09:00:00Z"),
        pod(heard_at=1100.0, taken=1, free=1, held=held("x")),
    )
    assert [] == assign(busy, late)
    beside = state_of(
        running("a", worker="p1", status_reason="OutOfMemory"), queued("b"), pod(heard_at=1100.0)
    )
    assert [] == assign(beside, late)


def test_a_pod_that_did_not_answer_gets_nothing_until_it_is_heard_again() -> None:
    """It was offered one job thirteen times in half a second while it died."""
    state = state_of(queued("a"), pod())
    state.declined("p1", answered=False)
    assert [] == assign(state, clock(1002.0))
    state.hear("p1", Presence(pool="default", sequence=1, free=2, taken=0), 1001.0)
    assert ["a"] == [found.uid for found in assign(state, clock(1002.0))]


def _alone_among_many(**spec: Any) -> tuple[ClusterState, Scheduler]:
    """One pod of two slots, one of them busy; a job that must be alone, and others without end."""
    state = state_of(
        pod(free=1, taken=1, held=held("r")),
        running("r"),
        queued("l", queue="q2", status_reason="WorkerLost", status_attempt=1, **spec),
        *(queued(f"a{n}", queue="q1") for n in range(9)),
        queue("q1"),
        queue("q2"),
    )
    scheduler = Scheduler()
    scheduler._shares["default"] = DeficitRoundRobin(last="q1")  # it is the turn of q2
    return state, scheduler


def _empties(state: ClusterState) -> None:
    """The pod has done what it had."""
    state.see_job(running("r"), gone=True)
    state.pods["p1"].hear(Presence(pool="default", sequence=1, free=2, taken=0), 1000.5)


def _names(found: list[Dispatch]) -> list[str]:
    return [dispatch.uid for dispatch in found]


def test_a_pod_is_kept_free_for_who_must_be_alone_until_it_is_empty() -> None:
    """Beside busy queues no pod would ever be empty by itself."""
    state, scheduler = _alone_among_many()
    for _ in range(3):
        assert [] == scheduler.assign(state, clock(), skip=set())
    _empties(state)
    assert ["l"] == _names(scheduler.assign(state, clock(), skip=set()))


@pytest.mark.parametrize("change", ["suspended", "deleted", "queue paused", "pod gone", "running"])
def test_a_pod_is_kept_for_nobody_who_cannot_go(change: str) -> None:
    """Else its slots would idle for ever."""
    state, scheduler = _alone_among_many()
    assert [] == scheduler.assign(state, clock(), skip=set())
    lonely: dict[str, Any] = {"queue": "q2", "status_reason": "WorkerLost", "version": 2}
    match change:
        case "suspended":
            state.see_job(queued("l", suspend=True, **lonely))
        case "deleted":
            state.see_job(queued("l", **lonely), gone=True)
        case "running":
            state.see_job(running("l", worker="elsewhere", **{**lonely, "attempt": 2}))
        case "queue paused":
            state.see_queue(queue("q2", paused=True))
        case "pod gone":
            state.see_pod(state.pods["p1"], gone=True)
            state.see_pod(pod("p2", free=1, taken=1, held=held("s")))
    assert ["a0"] == _names(scheduler.assign(state, clock(), skip=set()))


def test_who_else_must_be_alone_waits_until_the_first_has_its_pod() -> None:
    """One pod is kept at a time: two would keep a small pool from all others."""
    state, scheduler = _alone_among_many()
    assert [] == scheduler.assign(state, clock(), skip=set())
    state.see_job(queued("m", queue="q3", status_reason="OutOfMemory", status_attempt=1))
    state.see_pod(pod("p2", free=1, taken=1, held=held("s")))
    assert ["a0"] == _names(scheduler.assign(state, clock(), skip=set()))


def test_who_must_be_alone_takes_another_pod_that_is_empty_sooner() -> None:
    """It stayed with a busy one, beside a pod that was made for it, and so did all others like
    it.
    """
    state, scheduler = _alone_among_many()
    assert [] == scheduler.assign(state, clock(), skip=set())
    state.see_job(queued("m", queue="q3", status_reason="OutOfMemory", status_attempt=1))
    state.see_pod(pod("p2", free=2))
    found = {each.uid: each.pod for each in scheduler.assign(state, clock(), skip=set())}
    assert {"l": "p2", "a0": "p1"} == found
    assert {} == scheduler._kept


@pytest.mark.parametrize("first", ["n", "l"])
def test_who_must_be_alone_has_no_neighbour_who_goes_at_the_same_moment(first: str) -> None:
    """A pod was empty as long as nobody in it was promised: two who went together met there."""
    at = {name: f"2027-01-15T0{7 if name == first else 8}:00:00Z" for name in ("n", "l")}
    state = state_of(
        queued("n", at["n"]), queued("l", at["l"], status_reason="WorkerLost"), pod("p1", free=2)
    )
    assert [first] == _names(assign(state))


def test_the_cap_of_a_queue_counts_who_goes_to_the_pod_that_was_kept() -> None:
    """One of the same queue went beside, to another pod."""
    state, scheduler = _alone_among_many()
    assert [] == scheduler.assign(state, clock(), skip=set())
    state.see_queue(queue("q2", maxRunning=1))
    state.see_job(queued("n", queue="q2"))
    for name in ("a0", "a1", "a2"):
        state.see_job(queued(name), gone=True)
    _empties(state)
    state.see_pod(pod("p2"))
    found = _names(scheduler.assign(state, clock(), skip=set()))
    assert 1 == sum(state.jobs[uid].spec.queue == "q2" for uid in found)


def test_a_pod_is_not_kept_for_whom_it_was_given_once() -> None:
    """Where the order fails, as by a policy, again and again, all others go meanwhile."""
    state, scheduler = _alone_among_many()
    assert [] == scheduler.assign(state, clock(), skip=set())
    _empties(state)
    assert ["l"] == _names(scheduler.assign(state, clock(), skip=set()))
    assert ["a0", "a1"] == _names(scheduler.assign(state, clock(), skip={"l"}))


def test_the_cap_of_a_queue_holds_over_all_pools_together() -> None:
    """Two pools that each had a slot for it let one more run than may."""
    state = state_of(
        queued("a", queue="q"),
        queued("b", queue="q", pool="other"),
        queue("q", maxRunning=1),
        pod(),
        pod("p2", pool="other"),
    )
    assert 1 == len(assign(state))


def test_of_twins_in_two_pools_one_goes() -> None:
    """The other takes what it brings, wherever it was fetched."""
    same: dict[str, Any] = {"url": "http://site:8080/same.mp4"}
    state = state_of(
        queued("a", **same), queued("b", pool="other", **same), pod(), pod("p2", pool="other")
    )
    assert 1 == len(assign(state))


def test_a_twin_that_something_holds_back_keeps_none_behind_it_from_going() -> None:
    """Its status cannot be written, say: that is about this one object."""
    same: dict[str, Any] = {"url": "http://site:8080/same.mp4"}
    first, second = queued("a", **same), queued("b", "2027-01-15T09:00:00Z", **same)
    state = state_of(first, second, pod())
    assert ["a"] == [found.uid for found in assign(state)]
    assert ["b"] == [found.uid for found in Scheduler().assign(state, clock(), skip={"a"})]
    suspended = queued("a", suspend=True, version=2, **same)
    state.see_job(suspended)
    assert ["b"] == [found.uid for found in assign(state)]


def test_those_that_rest_or_follow_a_twin_are_not_looked_at_one_by_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A turn took a fifth of a second for thirty thousand of them."""
    same: dict[str, Any] = {"url": "http://site:8080/same.mp4"}
    state = state_of(
        *(queued(f"r{n}", status_failures=3) for n in range(300)),
        *(queued(f"t{n}", **same) for n in range(300)),
        running("leader", **same),
        pod(held=held("leader"), taken=1),
    )
    looked: list[str] = []
    shared = ClusterState.shared

    def counting(self: ClusterState, known: MediaJob) -> str | None:
        looked.append(known.uid)
        return shared(self, known)

    monkeypatch.setattr(ClusterState, "shared", counting)
    assert [] == assign(state)
    assert 0 == scheduling.wanted_slots(
        state, "default", scheduling.InHand(state), per_pod=1, most=9
    )
    assert len(looked) < 10


def test_a_site_that_refuses_keeps_nobody_elses_slot() -> None:
    """Its jobs rest, also those that come later; of another site they go. Then one tries it, and
    the rest follow.
    """
    here = {"now": 1001.0}
    state = ClusterState(now=lambda: here["now"])
    refused = [queued(f"r{n}") for n in range(3)]
    other = queued("o", "2027-01-15T09:00:00Z", url="http://other.example/a.mp4")
    for each in (*refused, other):
        state.see_job(each)
    state.see_pod(pod(free=9))
    bad = [EngineAttempt(engine=EngineName.YT_DLP, reason=FailureReason.SITE_ERROR)]
    for number in range(breakers.FAILURES):
        state.heard_of_site(job(f"x{number}"), bad, None)
    scheduler = Scheduler()
    assert ["o"] == [found.uid for found in scheduler.assign(state, clock(1001.0), skip=set())]
    assert {"r0", "r1", "r2"} == {each.uid for each in refused if each.uid in state.resting}
    assert state.refuses(refused[0])
    here["now"] = 1001.0 + breakers.FIRST_PAUSE
    tries = scheduler.assign(state, clock(here["now"]), skip={"o"})
    assert 1 == len(tries), "one tries it, whatever room there is"
    left = [each for each in refused if each.uid != tries[0].uid]
    assert all(each.uid in state.resting for each in left)
    state.heard_of_site(state.jobs[tries[0].uid], [EngineAttempt(engine=EngineName.YT_DLP)], None)
    assert not any(each.uid in state.resting for each in left)
