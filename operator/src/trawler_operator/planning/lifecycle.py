"""Decides the next step of one job. Pure: facts go in, one action or none comes out."""

import math
from collections.abc import Mapping
from dataclasses import replace
from itertools import chain
from typing import Any, Final

from trawler_crds.failures import FAILURES, FailureReason, Retry
from trawler_crds.media_job import (
    MOST_ATTEMPTS,
    MOST_ENGINE_ATTEMPTS,
    STORED,
    TERMINAL,
    EngineAttempt,
    MediaJob,
    Phase,
)
from trawler_crds.messages import Outcome, Result, Stage
from trawler_operator.formatting import conditions, human, stamp
from trawler_operator.planning.actions import Action, Cancel, Order, WriteStatus
from trawler_operator.state.cluster_state import Clock, ClusterState, PodPhase
from trawler_operator.state.pending import alone

OVERTIME: Final = 30.0
"""Seconds past `attemptSeconds` after which the operator steps in."""


def next_step(job: MediaJob, state: ClusterState, clock: Clock) -> Action | None:
    """The action that one job needs now; None if it needs none."""
    phase = job.status.phase
    if phase in TERMINAL:
        return None
    if job.unwanted:
        return end(job, Phase.CANCELLED, FailureReason.CANCELLED, None, clock.wall)
    if _spent(job) and phase is not Phase.RUNNING:
        message = "Its status says that it was dispatched a million times."
        return end(job, Phase.FAILED, FailureReason.INTERNAL, message, clock.wall)
    if job.spec.suspend:
        return None if phase is Phase.SUSPENDED else suspend(job)
    match phase:
        case Phase.SUSPENDED if job.status.queued_time is not None:
            return requeue(job, clock.wall)
        case Phase.QUEUED if overdue(job, state, clock):
            return end(job, Phase.FAILED, FailureReason.BUSY, None, clock.wall)
        case Phase.RUNNING:
            return _running(job, state, clock)
    return None


def is_new(job: MediaJob) -> bool:
    """Whether a job was never admitted and can be admitted now."""
    status = job.status
    held = job.unwanted or job.spec.suspend or _spent(job)
    return not held and (
        status.phase is Phase.PENDING
        or (status.phase is Phase.SUSPENDED and status.queued_time is None)
    )


def _spent(job: MediaJob) -> bool:
    """Whether the attempt number has reached its maximum. Others can write the status, too."""
    return job.status.attempt >= MOST_ATTEMPTS


def suspend(job: MediaJob) -> WriteStatus:
    """Take a job out of its queue or away from its pod; the pod is then told to stop."""
    event = f"Suspended in attempt {job.status.attempt}." if job.status.attempt else None
    return WriteStatus(
        uid=job.uid, version=job.version, changes={"phase": Phase.SUSPENDED}, event=event
    )


def overdue(job: MediaJob, state: ClusterState, clock: Clock) -> bool:
    """Whether a job has waited longer than `maxQueueSeconds`, including earlier waits that ended
    without a failure. The time counts on our monotonic clock from when we first saw the job wait:
    a wrong wall clock ends no job early, and a new leader starts counting again.
    """
    return clock.now > queue_deadline(job, state) and not state.handing(job)


def queue_deadline(job: MediaJob, state: ClusterState) -> float:
    """When (monotonic seconds) a job becomes overdue; infinity for a job that we have not seen."""
    since = state.since.get(job.uid, math.inf)
    return since + job.spec.max_queue_seconds - state.waited.get(job.uid, 0.0)


def _running(job: MediaJob, state: ClusterState, clock: Clock) -> Action | None:
    key = (job.uid, job.status.attempt)
    if key in state.reserved:
        return None  # the order is under way
    pod = state.pods.get(job.status.worker or "")
    if pod is None or pod.phase is PodPhase.ENDED or clock.silent(pod):
        return lost(job, state, clock)
    if pod.heard_at is None:
        return None  # a new leader has not heard from the pod yet
    held = pod.held.get(key)
    if held is None:
        if pod.mute:
            return None  # we will know more when the pod is heard again
        # the status says so, but the pod does not: we died in between, or the order was lost
        return Order(uid=job.uid, pod=pod.name, attempt=job.status.attempt)
    if (
        held.age_seconds > attempt_seconds(job, state) + OVERTIME
        and held.stage is not Stage.REPORTING
    ):
        return failed(job, FailureReason.TOO_LONG, None, clock.wall)
    return None


def lost(job: MediaJob, state: ClusterState, clock: Clock) -> WriteStatus:
    """The pod of a running job is gone. If other jobs ran in that pod, this one may not be to
    blame: it costs no failure, but the next attempt runs alone in a pod (`pending.alone`), so that
    a job that kills pods is found out.
    """
    if not _shared(job, state):
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


def _shared(job: MediaJob, state: ClusterState) -> bool:
    """Whether another job runs in the same pod, or was lost together with it."""
    pod = job.status.worker or ""
    beside = chain(state.by_worker.get(pod, ()), state.lost_with.get(pod, ()))
    return any(uid != job.uid for uid in beside)


def attempt_seconds(job: MediaJob, state: ClusterState) -> int:
    """How long an attempt may take: the smaller of the job's limit and its pool's."""
    pool = state.pools.get(job.spec.pool)
    longest = pool.spec.max_attempt_seconds if pool else job.spec.attempt_seconds
    return min(job.spec.attempt_seconds, longest)


def failed(
    job: MediaJob,
    reason: FailureReason,
    message: str | None,
    wall: float,
    *,
    retry_after: float | None = None,
    offered: Mapping[str, Any] | None = None,
) -> WriteStatus:
    """After a failed attempt, retry within `backoffLimit` if the table of reasons allows it, else
    end the job.
    """
    failures = min(job.status.failures + 1, MOST_ATTEMPTS)
    asked = math.ceil(retry_after or 0) if reason is FailureReason.THROTTLED else 0
    if asked > job.spec.max_queue_seconds:
        message = f"The site asks us to wait {asked} s, longer than this request may."
        return end(job, Phase.FAILED, reason, message, wall, failures=failures)
    retry = FAILURES[reason].retry
    again = retry in {Retry.YES, Retry.NOT_BEFORE} or (retry is Retry.ONCE_ALONE and not alone(job))
    if not again or failures > job.spec.backoff_limit:
        return end(
            job,
            Phase.FAILED,
            reason,
            message,
            wall,
            failures=failures,
            offered=offered,
        )
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
    """Put a job back into its queue without counting a failure."""
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
    offered: Mapping[str, Any] | None = None,
) -> WriteStatus:
    """End a job in a terminal phase other than Succeeded. `offered`: status fields that say what
    could be had instead.
    """
    sentence = message or FAILURES[reason].sentence
    changes: dict[str, Any] = {
        "phase": phase,
        "reason": reason,
        "message": sentence,
        "completionTime": stamp(wall),
    }
    if failures is not None:
        changes["failures"] = failures
    changes |= offered or {}
    return WriteStatus(
        uid=job.uid,
        version=job.version,
        changes=changes,
        event=f"{phase}: {reason}. {sentence}",
        warning=True,
    )


def start(job: MediaJob, *, pod: str, attempt: int, wall: float) -> WriteStatus:
    """The write-ahead of a dispatch: it says which pod gets which attempt."""
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


def is_current_attempt(job: MediaJob | None, *, pod: str, attempt: int) -> bool:
    """Whether a report is about the running attempt. The fence is (uid, attempt)."""
    return (
        job is not None
        and job.status.phase is Phase.RUNNING
        and job.status.attempt == attempt
        and job.status.worker == pod
    )


def apply_result(job: MediaJob, result: Result, wall: float) -> WriteStatus:
    """The status that follows from a pod's result, after its objects were found in the store."""
    decided = _decide(job, result, wall)
    if not result.attempts:
        return decided
    told = {"attempts": _attempts(job, result.attempts)}
    return replace(decided, changes={**decided.changes, **told})


def _attempts(job: MediaJob, new: list[EngineAttempt]) -> list[dict[str, Any]]:
    """The newest engine attempts, of this attempt and earlier ones."""
    mine = [each.model_copy(update={"attempt": job.status.attempt}) for each in new]
    return [each.wire() for each in [*(job.status.attempts or ()), *mine][-MOST_ENGINE_ATTEMPTS:]]


def _decide(job: MediaJob, result: Result, wall: float) -> WriteStatus:
    if result.outcome is Outcome.HANDED_BACK:
        return requeue(job, wall)
    if result.outcome is Outcome.FAILED:
        reason = result.reason or FailureReason.INTERNAL
        return failed(
            job,
            reason,
            result.message,
            wall,
            retry_after=result.retry_after,
            offered=result.offered(),
        )
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
            "sidecar": result.sidecar.wire() if result.sidecar else None,
            "size": human(total),
            "completionTime": now,
            "conditions": conditions(job, {STORED: ("Stored", now)}),
        },
    )


def within_limits(job: MediaJob, sizes: list[int]) -> bool:
    """Whether the job's limits allow this many files of these sizes."""
    limits = job.spec.limits
    return 0 < len(sizes) <= limits.max_files and sum(sizes) <= limits.max_bytes


def orphaned_attempts(state: ClusterState, clock: Clock) -> list[Cancel]:
    """Attempts that pods hold and should not. Level-based, so a lost cancel is sent again. Three
    kinds are left out: an attempt that is only reporting gets the answer *stale*; a pod that is
    ending takes its attempts with it; a pod that has been silent for a whole lease is told when it
    is heard again.
    """
    return [
        Cancel(pod=pod.name, uid=uid, attempt=attempt)
        for pod in state.pods.values()
        if pod.phase is not PodPhase.ENDED and not clock.silent(pod)
        for (uid, attempt), held in pod.held.items()
        if held.stage is not Stage.REPORTING
        and not is_current_attempt(state.jobs.get(uid), pod=pod.name, attempt=attempt)
    ]
