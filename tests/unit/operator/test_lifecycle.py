"""The next step of one job."""

from typing import Any

import pytest

from objects import NOON, clock, held, job, pod, pool, running, state_of
from trawler_crds.failures import FailureReason
from trawler_crds.media_job import MOST_ATTEMPTS, MOST_CONDITIONS, MediaJob, Phase
from trawler_crds.messages import Outcome, Result
from trawler_operator import formatting
from trawler_operator.planning import lifecycle
from trawler_operator.planning.actions import Cancel, Order, WriteStatus
from trawler_operator.planning.scheduling import Scheduler
from trawler_operator.state import resting
from trawler_operator.state.finished import keep_until


def _write(action: object) -> dict[str, object]:
    assert isinstance(action, WriteStatus)
    return dict(action.changes)


@pytest.mark.parametrize("phase", ["Succeeded", "Failed", "Cancelled"])
def test_a_finished_job_is_left_alone(phase: str) -> None:
    """Even where somebody cancels it late."""
    done = job(status_phase=phase, cancel=True)
    assert lifecycle.next_step(done, state_of(), clock()) is None


@pytest.mark.parametrize("found", [job(), job(status_phase="Queued"), running()])
def test_cancel_ends_a_job_in_any_phase(found: MediaJob) -> None:
    """What a pod still holds of it is cancelled as a stray."""
    cancelled = found.model_copy(update={"spec": found.spec.model_copy(update={"cancel": True})})
    assert Phase.CANCELLED == _write(lifecycle.next_step(cancelled, state_of(), clock()))["phase"]


def _deleted(found: MediaJob) -> MediaJob:
    """By somebody, while a finalizer of somebody else still holds it."""
    meta = found.metadata.model_copy(update={"deletion_timestamp": "2027-01-15T08:00:00Z"})
    return found.model_copy(update={"metadata": meta})


@pytest.mark.parametrize("found", [job(), job(status_phase="Queued"), running()])
def test_a_job_that_is_deleted_and_held_by_a_finalizer_ends(found: MediaJob) -> None:
    """It was dispatched all the same, and its pod worked for nobody."""
    gone = _deleted(found)
    assert Phase.CANCELLED == _write(lifecycle.next_step(gone, state_of(), clock()))["phase"]
    assert not lifecycle.is_new(gone)
    waiting = state_of(_deleted(job(status_phase="Queued")), pod(), pool())
    assert [] == list(Scheduler().assign(waiting, clock(), skip=set()))


def test_a_finished_job_that_a_finalizer_holds_is_not_deleted_again() -> None:
    """Ten thousand of them made three hundred deletions a second, for ever."""
    ended = job(
        status_phase="Succeeded",
        status_completionTime="2027-01-15T08:00:00Z",
        ttlSecondsAfterFinished=0,
    )
    assert 1 == len(state_of(ended).finished.due(NOON * 2, most=9))
    assert [] == state_of(_deleted(ended)).finished.due(NOON * 2, most=9)


@pytest.mark.parametrize("year", [9999, 2029])
def test_a_time_written_by_hand_keeps_no_job_for_ever(year: int) -> None:
    """It counts from the end, or from its creation where that is not to be believed either."""
    late, soon = f"{year}-01-01T00:00:00Z", "2027-01-15T08:00:00Z"
    discord = {"discord": {"channelId": "1" * 18, "requesterId": "2" * 18}}
    for delivered, ended in ((late, soon), (late, late)):
        found = job(
            status_phase="Succeeded",
            status_completionTime=ended,
            status_delivery={"messageId": "3" * 18, "time": delivered},
            delivery=discord,
            ttlSecondsAfterFinished=60,
        )
        assert formatting.parse(soon) + 60 == keep_until(found)


def test_a_figure_written_by_hand_is_not_counted_past_what_can_be_written() -> None:
    """A status that the API server refuses each time kept a job at Running for ever."""
    most = running(status_failures=MOST_ATTEMPTS, backoffLimit=0)
    assert MOST_ATTEMPTS == _write(lifecycle.next_step(most, state_of(), clock()))["failures"]
    often = job(status_phase="Queued", status_attempt=MOST_ATTEMPTS)
    written = _write(lifecycle.next_step(often, state_of(), clock()))
    assert (Phase.FAILED, FailureReason.INTERNAL) == (written["phase"], written["reason"])
    new = job(status_attempt=MOST_ATTEMPTS)
    assert not lifecycle.is_new(new)
    assert Phase.FAILED is _write(lifecycle.next_step(new, state_of(), clock()))["phase"]


def test_a_list_of_conditions_that_others_filled_makes_room_for_ours() -> None:
    """A ninth condition is refused by the schema: the job could never be admitted, stored or
    shown.
    """
    theirs = [
        {
            "type": f"Theirs{n}",
            "status": "True",
            "reason": "R",
            "lastTransitionTime": formatting.stamp(NOON),
        }
        for n in range(MOST_CONDITIONS)
    ]
    full = job(status_conditions=[{**theirs[0], "type": "Accepted"}, *theirs[1:]])
    written = [
        each["type"]
        for each in formatting.conditions(full, {"Stored": ("Stored", formatting.stamp(NOON))})
    ]
    assert ["Accepted", *(f"Theirs{n}" for n in range(2, MOST_CONDITIONS)), "Stored"] == written


def test_a_job_whose_pod_is_gone_is_lost_and_tried_again() -> None:
    """A pod that the API server does not know holds nothing."""
    written = _write(lifecycle.next_step(running(), state_of(), clock()))
    assert (Phase.QUEUED, FailureReason.WORKER_LOST, 1) == (
        written["phase"],
        written["reason"],
        written["failures"],
    )


def test_a_job_in_a_pod_that_ended_is_lost() -> None:
    """Containers of a worker pod never start again."""
    state = state_of(pod(phase="Ended", held=held()))
    assert Phase.QUEUED == _write(lifecycle.next_step(running(), state, clock()))["phase"]


def test_a_silent_pod_loses_its_jobs_only_while_we_could_have_heard_it() -> None:
    """An outage of the bus or of the operator kills no healthy attempt."""
    state = state_of(pod(heard_at=1000.0, held=held()))
    late = 1000.0 + 31
    assert lifecycle.next_step(running(), state, clock(late, since=None)) is None
    assert lifecycle.next_step(running(), state, clock(late, since=late - 5)) is None
    assert Phase.QUEUED == _write(lifecycle.next_step(running(), state, clock(late)))["phase"]


def test_an_order_that_was_written_but_not_taken_is_handed_over_again() -> None:
    """We died between the write and the order: same pod, same attempt, no failure."""
    action = lifecycle.next_step(running(), state_of(pod()), clock())
    assert Order(uid="u1", pod="p1", attempt=1) == action


def test_an_order_under_way_is_waited_for() -> None:
    """Two orders at once would only confuse."""
    state = state_of(pod())
    state.reserved["u1", 1] = "p1"
    assert lifecycle.next_step(running(), state, clock()) is None


def test_a_new_leader_waits_until_it_heard_the_pod() -> None:
    """Nothing is concluded from what was not yet said."""
    assert lifecycle.next_step(running(), state_of(pod(heard_at=None)), clock(5.0)) is None


def test_overtime_ends_only_what_the_pod_still_reports_half_a_minute_later() -> None:
    """The pod's own clock decides before that."""
    mine = running(attemptSeconds=10)
    early = state_of(pod(held=held(age_seconds=39)))
    late = state_of(pod(held=held(age_seconds=41)))
    assert lifecycle.next_step(mine, early, clock()) is None
    assert FailureReason.TOO_LONG == _write(lifecycle.next_step(mine, late, clock()))["reason"]


def test_the_pool_may_shorten_an_attempt() -> None:
    """The smaller of both holds."""
    state = state_of(pool(maxAttemptSeconds=60))
    assert 60 == lifecycle.attempt_seconds(job(attemptSeconds=900), state)
    assert 30 == lifecycle.attempt_seconds(job(attemptSeconds=30), state)


@pytest.mark.parametrize(
    ("reason", "failures", "limit", "phase"),
    [
        ("NothingFound", 0, 5, "Failed"),
        ("SiteError", 0, 0, "Failed"),
        ("SiteError", 0, 1, "Queued"),
        ("SiteError", 1, 1, "Failed"),
        ("OutOfMemory", 0, 5, "Queued"),
        ("OutOfMemory", 1, 5, "Queued"),
        ("Throttled", 1, 2, "Queued"),
    ],
)
def test_the_table_and_backoff_limit_decide_on_another_attempt(
    reason: str, failures: int, limit: int, phase: str
) -> None:
    """A permanent reason is never retried."""
    found = running(backoffLimit=limit, status_failures=failures)
    action = lifecycle.failed(found, FailureReason(reason), None, NOON)
    assert phase == action.changes["phase"]
    assert failures + 1 == action.changes["failures"]


@pytest.mark.parametrize("before", ["OutOfMemory", "WorkerLost", "SiteError"])
def test_who_takes_too_much_memory_alone_is_not_tried_again(before: str) -> None:
    """Whatever failed before: an attempt beside others proves nothing."""
    found = running(backoffLimit=5, status_failures=1, status_reason=before)
    action = lifecycle.failed(found, FailureReason.OUT_OF_MEMORY, None, NOON)
    assert ("Queued" if before == "SiteError" else "Failed") == action.changes["phase"]


@pytest.mark.parametrize(("failures", "wait"), [(0, None), (1, 2), (2, 4), (3, 8), (9, 60)])
def test_waits_double_up_to_a_minute(failures: int, wait: int | None) -> None:
    """A first attempt does not wait at all."""
    found = job(
        status_phase="Queued",
        status_failures=failures,
        status_queuedTime=formatting.stamp(NOON),
    )
    assert (wait or 0.0) == resting.wait(found, 0)


def test_a_site_that_asks_for_time_gets_it() -> None:
    """Retry-After, by our monotonic clock: a wrong wall clock shortens nothing."""
    written = lifecycle.failed(running(), FailureReason.THROTTLED, None, NOON, retry_after=89.2)
    assert formatting.stamp(NOON + 90) == written.changes["notBefore"]
    found = job(
        status_phase="Queued",
        status_failures=1,
        status_queuedTime=written.changes["queuedTime"],
        status_notBefore=written.changes["notBefore"],
    )
    assert 90.0 == resting.wait(found, 0)


def test_a_site_that_asks_for_more_time_than_the_job_has_ends_it_at_once() -> None:
    """Better now than after an hour of waiting for nothing."""
    mine = running(maxQueueSeconds=60)
    written = lifecycle.failed(mine, FailureReason.THROTTLED, None, NOON, retry_after=61)
    assert (Phase.FAILED, FailureReason.THROTTLED) == (
        written.changes["phase"],
        written.changes["reason"],
    )
    assert "61 s" in written.changes["message"]


def test_only_throttling_may_name_a_time() -> None:
    """A pod cannot park a job by inventing one."""
    written = lifecycle.failed(running(), FailureReason.SITE_ERROR, None, NOON, retry_after=9999)
    assert (Phase.QUEUED, None) == (written.changes["phase"], written.changes["notBefore"])


@pytest.mark.parametrize("found", [job(), job(status_phase="Queued"), running()])
def test_suspend_takes_a_job_out_of_any_phase(found: MediaJob) -> None:
    """What a pod still holds of it is cancelled as a stray."""
    held_up = found.model_copy(update={"spec": found.spec.model_copy(update={"suspend": True})})
    assert not lifecycle.is_new(held_up)
    written = _write(lifecycle.next_step(held_up, state_of(), clock()))
    assert {"phase": Phase.SUSPENDED} == written


def test_a_suspended_job_stays_until_it_is_let_go_and_then_waits_its_turn() -> None:
    """It costs no failure; its next attempt has a new number."""
    fields: dict[str, Any] = {"status_phase": "Suspended", "status_attempt": 1}
    was = formatting.stamp(NOON - 500)
    held_up = job(suspend=True, status_queuedTime=was, **fields)
    assert lifecycle.next_step(held_up, state_of(), clock()) is None
    free = job(status_queuedTime=was, **fields)
    assert {"phase": Phase.QUEUED, "queuedTime": formatting.stamp(NOON)} == _write(
        lifecycle.next_step(free, state_of(), clock())
    )


def test_a_job_that_was_suspended_before_it_was_admitted_is_admitted_afterwards() -> None:
    """The limits of its queue are judged when it comes in, once."""
    assert lifecycle.is_new(job(status_phase="Suspended"))
    assert not lifecycle.is_new(
        job(status_phase="Suspended", status_queuedTime=formatting.stamp(NOON))
    )


def test_who_waits_longer_than_allowed_is_told_so() -> None:
    """`maxQueueSeconds`, by the monotonic clock and from when we saw it wait."""
    found = job(maxQueueSeconds=60, status_phase="Queued")
    state = state_of(found)
    jump = clock(1060.0, wall=NOON + 6000)
    assert lifecycle.next_step(found, state, jump) is None
    written = _write(lifecycle.next_step(found, state, clock(1060.5)))
    assert (Phase.FAILED, FailureReason.BUSY) == (written["phase"], written["reason"])
    state.reserved["u1", 1] = "p1"
    assert lifecycle.next_step(found, state, clock(1060.5)) is None


@pytest.mark.parametrize(
    ("kept", "fields"),
    [
        (100, {}),
        (100 + 3600, {"delivery": {"discord": {"channelId": "1", "requesterId": "2"}}}),
        (
            150,
            {
                "delivery": {"discord": {"channelId": "1", "requesterId": "2"}},
                "status_delivery": {"time": formatting.stamp(NOON + 50)},
            },
        ),
    ],
    ids=["kubectl", "not delivered yet", "delivered"],
)
def test_a_finished_job_is_kept_for_its_time(kept: int, fields: dict[str, Any]) -> None:
    """From its delivery; where none comes, an hour is given for it."""
    done = job(
        ttlSecondsAfterFinished=100,
        status_phase="Failed",
        status_completionTime=formatting.stamp(NOON),
        **fields,
    )
    state = state_of(done)
    assert [] == state.finished.due(NOON + kept - 1, most=9)
    assert ["u1"] == [found.uid for found in state.finished.due(NOON + kept, most=9)]


def test_a_job_that_is_not_finished_never_expires() -> None:
    """However old it is."""
    assert [] == state_of(running(ttlSecondsAfterFinished=0)).finished.due(NOON * 2, most=9)


def test_neighbours_of_a_lost_pod_pay_nothing_and_go_alone() -> None:
    """Each of them, also the last one that is looked at."""
    first, second = running("u1"), running("u2")
    state = state_of(first, second)
    written = dict(lifecycle.lost(first, state, clock()).changes)
    assert (Phase.QUEUED, FailureReason.WORKER_LOST) == (written["phase"], written["reason"])
    assert "failures" not in written
    state.see_job(
        job(
            "u1",
            version=2,
            status_phase="Queued",
            status_reason="WorkerLost",
            status_worker="p1",
            status_attempt=1,
        )
    )
    assert "failures" not in lifecycle.lost(second, state, clock()).changes
    assert 1 == lifecycle.lost(running("u3", worker="p3"), state, clock()).changes["failures"]


def _stored(size: int = 5, count: int = 1) -> Result:
    file = {"name": "a.mp4", "bytes": size, "sha256": "0" * 64, "type": "video/mp4"}
    return Result.model_validate({"attempt": 1, "outcome": "Stored", "files": [file] * count})


def test_a_stored_result_succeeds_with_its_files() -> None:
    """The last write of all."""
    written = dict(lifecycle.apply_result(running(), _stored(1_234_567), NOON).changes)
    assert (Phase.SUCCEEDED, 1, "1.2 MB") == (
        written["phase"],
        written["fileCount"],
        written["size"],
    )


@pytest.mark.parametrize("result", [_stored(count=0), _stored(count=3), _stored(size=11)])
def test_a_pod_that_stored_more_than_was_allowed_is_not_believed(result: Result) -> None:
    """A compromised pod gains nothing by claiming."""
    mine = running(limits={"maxFiles": 2, "maxBytes": 10})
    assert FailureReason.INTERNAL == lifecycle.apply_result(mine, result, NOON).changes["reason"]


def test_a_handed_back_job_pays_nothing() -> None:
    """The pod is leaving; that is not the job's fault."""
    back = Result(attempt=1, outcome=Outcome.HANDED_BACK)
    written = lifecycle.apply_result(running(), back, NOON).changes
    assert Phase.QUEUED == written["phase"]
    assert "failures" not in written


@pytest.mark.parametrize(
    ("found", "attempt", "sender"),
    [
        (None, 1, "p1"),
        (running(attempt=2), 1, "p1"),
        (running(), 1, "p2"),
        (job(status_phase="Queued", status_attempt=1, status_worker="p1"), 1, "p1"),
    ],
)
def test_a_report_outside_the_fence_concerns_nobody(
    found: MediaJob | None, attempt: int, sender: str
) -> None:
    """The fence is (uid, attempt), and one pod was given it."""
    assert not lifecycle.is_current_attempt(found, pod=sender, attempt=attempt)


def test_what_a_pod_holds_without_right_is_cancelled() -> None:
    """An older attempt, a deleted job; but not the attempt that runs."""
    state = state_of(
        running("u1", attempt=2), pod(held=held("u1", 1) | held("u1", 2) | held("gone", 1))
    )
    found = {(stray.uid, stray.attempt) for stray in lifecycle.orphaned_attempts(state, clock())}
    assert {("u1", 1), ("gone", 1)} == found
    assert all(isinstance(stray, Cancel) for stray in lifecycle.orphaned_attempts(state, clock()))
    assert [] == lifecycle.orphaned_attempts(state, clock(2000.0)), "who is silent hears nothing"


@pytest.mark.parametrize(
    ("size", "text"), [(0, "0 B"), (999, "999 B"), (1000, "1.0 kB"), (5_400_000_000, "5.4 GB")]
)
def test_sizes_are_written_for_people(size: int, text: str) -> None:
    """In the SIZE column."""
    assert text == formatting.human(size)
