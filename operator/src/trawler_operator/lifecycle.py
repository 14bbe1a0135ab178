"""The next step of one job. Pure: what is known goes in, one action or none comes out."""

import math
from typing import Any, Final

from trawler_crds.failures import FAILURES, FailureReason, Retry
from trawler_crds.media_job import (
    STORED,
    TERMINAL,
    MediaJob,
    Phase,
)
from trawler_crds.messages import Outcome, Result, Stage
from trawler_operator.actions import Action, Cancel, Order, WriteStatus
from trawler_operator.board import Board, Clock, PodPhase
from trawler_operator.wording import conditions, human, parse, stamp

FIRST_WAIT: Final = 2.0
LONGEST_WAIT: Final = 60.0
DELIVERY_GRACE: Final = 3600.0
"""Seconds that a finished job's delivery may take before its time to live begins without it."""
OVERTIME: Final = 30.0
"""Seconds past `attemptSeconds` after which the operator steps in."""


def next_step(job: MediaJob, board: Board, clock: Clock) -> Action | None:
    """What to do for one job now; None where nothing is due."""
    phase = job.status.phase
    if phase in TERMINAL:
        return None
    if job.spec.cancel:
        return end(job, Phase.CANCELLED, FailureReason.CANCELLED, None, clock.wall)
    if job.spec.suspend:
        return None if phase is Phase.SUSPENDED else suspend(job)
    match phase:
        case Phase.SUSPENDED if job.status.queued_time is not None:
            return requeue(job, clock.wall)
        case Phase.QUEUED if overdue(job, board, clock):
            return end(job, Phase.FAILED, FailureReason.BUSY, None, clock.wall)
        case Phase.RUNNING:
            return _running(job, board, clock)
    return None


def is_new(job: MediaJob) -> bool:
    """Whether it was never admitted, and may be now."""
    status = job.status
    held = job.spec.cancel or job.spec.suspend
    return not held and (
        status.phase is Phase.PENDING
        or (status.phase is Phase.SUSPENDED and status.queued_time is None)
    )


def suspend(job: MediaJob) -> WriteStatus:
    """Out of the queue, or out of its pod's hands: a pod that holds it is told to stop."""
    event = f"Suspended in attempt {job.status.attempt}." if job.status.attempt else None
    return WriteStatus(
        uid=job.uid, version=job.version, changes={"phase": Phase.SUSPENDED}, event=event
    )


def overdue(job: MediaJob, board: Board, clock: Clock) -> bool:
    """Whether it waited longer than it may. By our own monotonic clock, from when we first saw it
    wait: a wrong wall clock ends nothing early, and a new leader gives the time anew.
    """
    since = board.since.get(job.uid, clock.now)
    return clock.now - since > job.spec.max_queue_seconds and not board.handing(job)


def expired(job: MediaJob, clock: Clock) -> bool:
    """Whether a finished job was kept long enough, from its delivery or else its end."""
    status = job.status
    if status.phase not in TERMINAL or status.completion_time is None:
        return False
    discord = job.spec.delivery is not None and job.spec.delivery.discord is not None
    delivered = status.delivery.time if status.delivery is not None else None
    kept_from = parse(delivered or status.completion_time)
    grace = DELIVERY_GRACE if discord and delivered is None else 0.0
    return clock.wall >= kept_from + grace + job.spec.ttl_seconds_after_finished


def _running(job: MediaJob, board: Board, clock: Clock) -> Action | None:
    key = (job.uid, job.status.attempt)
    if key in board.reserved:
        return None  # the order is under way
    pod = board.pods.get(job.status.worker or "")
    if pod is None or pod.phase is PodPhase.ENDED or clock.silent(pod):
        return lost(job, board, clock)
    if pod.heard_at is None:
        return None  # a new leader has not heard it yet
    held = pod.held.get(key)
    if held is None:
        # written, but the pod does not have it: we died in between, or the order was lost
        return Order(uid=job.uid, pod=pod.name, attempt=job.status.attempt)
    if (
        held.age_seconds > attempt_seconds(job, board) + OVERTIME
        and held.stage is not Stage.REPORTING
    ):
        return failed(job, FailureReason.TOO_LONG, None, clock.wall)
    return None


def lost(job: MediaJob, board: Board, clock: Clock) -> WriteStatus:
    """Its pod is gone. Who shared the pod may be innocent: that costs no failure, but the next
    attempt is alone in a pod (`scheduling.alone`), so that who kills pods pays for it then.
    """
    if not _shared(job, board):
        return failed(job, FailureReason.WORKER_LOST, None, clock.wall)
    again = requeue(job, clock.wall)
    reason = {
        "reason": FailureReason.WORKER_LOST,
        "message": FAILURES[FailureReason.WORKER_LOST].sentence,
    }
    return WriteStatus(
        uid=job.uid,
        version=job.version,
        changes={**again.changes, **reason},
        event=f"The pod of attempt {job.status.attempt} went away; it is tried again, alone.",
        warning=True,
    )


def _shared(job: MediaJob, board: Board) -> bool:
    """Whether another job was in the same pod: it runs there, or was just found lost with it."""
    pod = job.status.worker
    beside = [
        *board.by_phase[Phase.RUNNING].values(),
        *(
            other
            for other in board.by_phase[Phase.QUEUED].values()
            if other.status.reason is FailureReason.WORKER_LOST
        ),
    ]
    return any(other.status.worker == pod and other.uid != job.uid for other in beside)


def attempt_seconds(job: MediaJob, board: Board) -> int:
    """The smaller of the job's and its pool's."""
    pool = board.pools.get(job.spec.pool)
    longest = pool.spec.max_attempt_seconds if pool else job.spec.attempt_seconds
    return min(job.spec.attempt_seconds, longest)


def ready_at(job: MediaJob, board: Board) -> float:
    """When (monotonic seconds) a queued job may run: after a failure it waits, longer each time,
    and never less than the site asked for.
    """
    status = job.status
    if status.failures == 0 or status.queued_time is None:
        return 0.0
    wait = min(LONGEST_WAIT, FIRST_WAIT * 2.0 ** (status.failures - 1))
    if status.not_before is not None:  # both stamps are of one clock, right or wrong
        wait = max(wait, parse(status.not_before) - parse(status.queued_time))
    return board.since.get(job.uid, 0.0) + wait


def failed(
    job: MediaJob,
    reason: FailureReason,
    message: str | None,
    wall: float,
    *,
    retry_after: float | None = None,
) -> WriteStatus:
    """After a failed attempt: another one within `backoffLimit` where the table allows, or the end."""
    failures = job.status.failures + 1
    asked = math.ceil(retry_after or 0) if reason is FailureReason.THROTTLED else 0
    if asked > job.spec.max_queue_seconds:
        message = f"The site asks us to wait {asked} s, longer than this request may."
        return end(job, Phase.FAILED, reason, message, wall, failures=failures)
    retry = FAILURES[reason].retry
    again = retry in {Retry.YES, Retry.NOT_BEFORE} or (
        retry is Retry.ONCE_ALONE and job.status.failures == 0
    )
    if not again or failures > job.spec.backoff_limit:
        return end(job, Phase.FAILED, reason, message, wall, failures=failures)
    return WriteStatus(
        uid=job.uid,
        version=job.version,
        changes={
            "phase": Phase.QUEUED,
            "failures": failures,
            "reason": reason,
            "message": message or FAILURES[reason].sentence,
            "queuedTime": stamp(wall),
            "notBefore": stamp(wall + asked) if asked else None,
        },
        event=f"Attempt {job.status.attempt} failed ({reason}); it is tried again.",
        warning=True,
    )


def requeue(job: MediaJob, wall: float) -> WriteStatus:
    """Back in the queue at no cost: the pod refused, did not answer, or handed it back."""
    return WriteStatus(
        uid=job.uid, version=job.version, changes={"phase": Phase.QUEUED, "queuedTime": stamp(wall)}
    )


def end(
    job: MediaJob,
    phase: Phase,
    reason: FailureReason,
    message: str | None,
    wall: float,
    *,
    failures: int | None = None,
) -> WriteStatus:
    """A terminal phase other than Succeeded."""
    sentence = message or FAILURES[reason].sentence
    changes: dict[str, Any] = {
        "phase": phase,
        "reason": reason,
        "message": sentence,
        "completionTime": stamp(wall),
    }
    if failures is not None:
        changes["failures"] = failures
    return WriteStatus(
        uid=job.uid,
        version=job.version,
        changes=changes,
        event=f"{phase}: {reason}. {sentence}",
        warning=True,
    )


def start(job: MediaJob, *, pod: str, attempt: int, wall: float) -> WriteStatus:
    """The write-ahead of a dispatch: whoever reads it knows which pod was given which attempt."""
    return WriteStatus(
        uid=job.uid,
        version=job.version,
        changes={
            "phase": Phase.RUNNING,
            "attempt": attempt,
            "worker": pod,
            "follows": None,
            "startTime": stamp(wall),
        },
    )


def concerns(job: MediaJob | None, *, pod: str, attempt: int) -> bool:
    """Whether a report is about the attempt that runs: the fence is (uid, attempt)."""
    return (
        job is not None
        and job.status.phase is Phase.RUNNING
        and job.status.attempt == attempt
        and job.status.worker == pod
    )


def settle(job: MediaJob, result: Result, wall: float) -> WriteStatus:
    """What a pod's result means, once the objects it names were seen."""
    if result.outcome is Outcome.HANDED_BACK:
        return requeue(job, wall)
    if result.outcome is Outcome.FAILED:
        reason = result.reason or FailureReason.INTERNAL
        return failed(job, reason, result.message, wall, retry_after=result.retry_after)
    if not within_limits(job, [file.bytes for file in result.files]):
        return failed(job, FailureReason.INTERNAL, None, wall)
    now = stamp(wall)
    total = sum(file.bytes for file in result.files)
    return WriteStatus(
        uid=job.uid,
        version=job.version,
        changes={
            "phase": Phase.SUCCEEDED,
            "reason": None,
            "message": None,
            "notBefore": None,
            "engine": result.engine,
            "source": result.source.wire() if result.source else None,
            "files": [file.wire() for file in result.files],
            "fileCount": len(result.files),
            "size": human(total),
            "completionTime": now,
            "conditions": conditions(job, STORED, "Stored", now),
        },
        event=f"Stored {len(result.files)} file(s), {human(total)}.",
    )


def within_limits(job: MediaJob, sizes: list[int]) -> bool:
    """Whether so many files of such sizes are what this job may store."""
    limits = job.spec.limits
    return 0 < len(sizes) <= limits.max_files and sum(sizes) <= limits.max_bytes


def strays(board: Board) -> list[Cancel]:
    """What pods hold and should not: level-based, so a lost cancel is simply said again. Who only
    reports any more is told *stale* when it does.
    """
    return [
        Cancel(pod=pod.name, uid=uid, attempt=attempt)
        for pod in board.pods.values()
        for (uid, attempt), held in pod.held.items()
        if held.stage is not Stage.REPORTING
        and not concerns(board.jobs.get(uid), pod=pod.name, attempt=attempt)
    ]
