"""The next step of one job."""

import pytest

from objects import NOON, board, clock, held, job, pod, pool, running
from trawler_crds.failures import FailureReason
from trawler_crds.media_job import MediaJob, Phase
from trawler_crds.messages import Outcome, Result
from trawler_operator import lifecycle
from trawler_operator.actions import Cancel, Order, WriteStatus


def _write(action: object) -> dict[str, object]:
    assert isinstance(action, WriteStatus)
    return dict(action.changes)


def test_a_new_job_is_admitted_with_its_host() -> None:
    """The first of three writes."""
    written = _write(lifecycle.next_step(job(), board(), clock()))
    assert (Phase.QUEUED, "site:8080") == (written["phase"], written["host"])


@pytest.mark.parametrize("phase", ["Succeeded", "Failed", "Cancelled"])
def test_a_finished_job_is_left_alone(phase: str) -> None:
    """Even where somebody cancels it late."""
    done = job(status_phase=phase, cancel=True)
    assert lifecycle.next_step(done, board(), clock()) is None


@pytest.mark.parametrize("found", [job(), job(status_phase="Queued"), running()])
def test_cancel_ends_a_job_in_any_phase(found: MediaJob) -> None:
    """What a pod still holds of it is cancelled as a stray."""
    cancelled = found.model_copy(update={"spec": found.spec.model_copy(update={"cancel": True})})
    assert Phase.CANCELLED == _write(lifecycle.next_step(cancelled, board(), clock()))["phase"]


def test_a_job_whose_pod_is_gone_is_lost_and_tried_again() -> None:
    """A pod that the API server does not know holds nothing."""
    written = _write(lifecycle.next_step(running(), board(), clock()))
    assert (Phase.QUEUED, FailureReason.WORKER_LOST, 1) == (
        written["phase"],
        written["reason"],
        written["failures"],
    )


def test_a_job_in_a_pod_that_ended_is_lost() -> None:
    """Containers of a worker pod never start again."""
    state = board(pod(phase="Ended", held=held()))
    assert Phase.QUEUED == _write(lifecycle.next_step(running(), state, clock()))["phase"]


def test_a_silent_pod_loses_its_jobs_only_while_we_could_have_heard_it() -> None:
    """An outage of the bus or of the operator kills no healthy attempt."""
    state = board(pod(heard_at=1000.0, held=held()))
    late = 1000.0 + 31
    assert lifecycle.next_step(running(), state, clock(late, since=None)) is None
    assert lifecycle.next_step(running(), state, clock(late, since=late - 5)) is None
    assert Phase.QUEUED == _write(lifecycle.next_step(running(), state, clock(late)))["phase"]


def test_an_order_that_was_written_but_not_taken_is_handed_over_again() -> None:
    """We died between the write and the order: same pod, same attempt, no failure."""
    action = lifecycle.next_step(running(), board(pod()), clock())
    assert Order(uid="u1", pod="p1", attempt=1) == action


def test_an_order_under_way_is_waited_for() -> None:
    """Two orders at once would only confuse."""
    state = board(pod())
    state.reserved["u1", 1] = "p1"
    assert lifecycle.next_step(running(), state, clock()) is None


def test_a_new_leader_waits_until_it_heard_the_pod() -> None:
    """Nothing is concluded from what was not yet said."""
    assert lifecycle.next_step(running(), board(pod(heard_at=None)), clock(5.0)) is None


def test_overtime_ends_only_what_the_pod_still_reports_half_a_minute_later() -> None:
    """The pod's own clock decides before that."""
    mine = running(attemptSeconds=10)
    early = board(pod(held=held(age_seconds=39)))
    late = board(pod(held=held(age_seconds=41)))
    assert lifecycle.next_step(mine, early, clock()) is None
    assert FailureReason.TOO_LONG == _write(lifecycle.next_step(mine, late, clock()))["reason"]


def test_the_pool_may_shorten_an_attempt() -> None:
    """The smaller of both holds."""
    state = board(pool(maxAttemptSeconds=60))
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
        ("OutOfMemory", 1, 5, "Failed"),
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


@pytest.mark.parametrize(("failures", "wait"), [(0, None), (1, 2), (2, 4), (3, 8), (9, 60)])
def test_waits_double_up_to_a_minute(failures: int, wait: int | None) -> None:
    """A first attempt does not wait at all."""
    found = job(
        status_phase="Queued",
        status_failures=failures,
        status_queuedTime=lifecycle.stamp(NOON),
    )
    assert (0.0 if wait is None else NOON + wait) == lifecycle.ready_at(found)


def _stored(size: int = 5, count: int = 1) -> Result:
    file = {"name": "a.mp4", "bytes": size, "sha256": "0" * 64, "type": "video/mp4"}
    return Result.model_validate({"attempt": 1, "outcome": "Stored", "files": [file] * count})


def test_a_stored_result_succeeds_with_its_files() -> None:
    """The last of three writes."""
    written = dict(lifecycle.settle(running(), _stored(1_234_567), NOON).changes)
    assert (Phase.SUCCEEDED, 1, "1.2 MB") == (
        written["phase"],
        written["fileCount"],
        written["size"],
    )


@pytest.mark.parametrize("result", [_stored(count=0), _stored(count=3), _stored(size=11)])
def test_a_pod_that_stored_more_than_was_allowed_is_not_believed(result: Result) -> None:
    """A compromised pod gains nothing by claiming."""
    mine = running(limits={"maxFiles": 2, "maxBytes": 10})
    assert FailureReason.INTERNAL == lifecycle.settle(mine, result, NOON).changes["reason"]


def test_a_handed_back_job_pays_nothing() -> None:
    """The pod is leaving; that is not the job's fault."""
    back = Result(attempt=1, outcome=Outcome.HANDED_BACK)
    written = lifecycle.settle(running(), back, NOON).changes
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
    assert not lifecycle.concerns(found, pod=sender, attempt=attempt)


def test_what_a_pod_holds_without_right_is_cancelled() -> None:
    """An older attempt, a deleted job; but not the attempt that runs."""
    state = board(
        running("u1", attempt=2), pod(held=held("u1", 1) | held("u1", 2) | held("gone", 1))
    )
    found = {(stray.uid, stray.attempt) for stray in lifecycle.strays(state)}
    assert {("u1", 1), ("gone", 1)} == found
    assert all(isinstance(stray, Cancel) for stray in lifecycle.strays(state))


@pytest.mark.parametrize(
    ("size", "text"), [(0, "0 B"), (999, "999 B"), (1000, "1.0 kB"), (5_400_000_000, "5.4 GB")]
)
def test_sizes_are_written_for_people(size: int, text: str) -> None:
    """In the SIZE column."""
    assert text == lifecycle.human(size)
