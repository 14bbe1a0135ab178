"""Admission: checks a new job once, its address and the limits of its queue. Pure.

An admitted job waits for its turn at once. A separate status write says so only if the job is not
dispatched first; otherwise the status write of the dispatch covers both.
"""

from dataclasses import replace
from typing import Any

from trawler_crds import addresses
from trawler_crds.failures import FailureReason
from trawler_crds.media_job import ACCEPTED, MediaJob, Phase
from trawler_operator.formatting import conditions, host, human, stamp
from trawler_operator.planning.actions import WriteStatus
from trawler_operator.planning.lifecycle import end, is_new, start
from trawler_operator.state.cluster_state import Clock, ClusterState


def refuse(job: MediaJob, state: ClusterState, clock: Clock) -> WriteStatus | None:
    """Fail a job for a bad address or because its queue has no room; None if it can be admitted."""
    if (why := addresses.fault(job.spec.url)) is not None:
        sentence = f"The address {why}."
        return end(job, Phase.FAILED, FailureReason.BAD_ADDRESS, sentence, clock.wall)
    refusal = _refusal(job, state, stamp(clock.wall)[:10])
    if refusal is None:
        return None
    return end(job, Phase.FAILED, FailureReason.QUOTA_EXCEEDED, refusal, clock.wall)


def admit(job: MediaJob, state: ClusterState, wall: float) -> WriteStatus:
    """The status of a job that was admitted and waits: `Queued`."""
    ahead = state.duplicates.ahead(job, handed=state.handing)
    changes = {
        **_entry(job, state, wall),
        "phase": Phase.QUEUED,
        "follows": ahead.name if ahead is not None else None,
    }
    if state.refuses(job):
        changes |= {
            "reason": FailureReason.THROTTLED,
            "message": f"{host(job)} is refusing us at the moment. This is tried again in a while.",
        }
    return WriteStatus(uid=job.uid, version=job.version, changes=changes)


def begin(
    job: MediaJob, state: ClusterState, *, pod: str, attempt: int, wall: float
) -> WriteStatus:
    """The write-ahead of a dispatch. For a job that was only just admitted, it includes the
    admission.
    """
    started = start(job, pod=pod, attempt=attempt, wall=wall)
    if not is_new(job):
        return started
    return replace(started, changes={**_entry(job, state, wall), **started.changes})


def _entry(job: MediaJob, state: ClusterState, wall: float) -> dict[str, Any]:
    now = stamp(wall)
    return {
        "host": host(job),
        "fingerprint": state.duplicates.fingerprint(job),
        "queuedTime": now,
        "attempt": job.status.attempt,
        "failures": job.status.failures,
        "conditions": conditions(job, {ACCEPTED: ("Accepted", now)}),
    }


def _refusal(job: MediaJob, state: ClusterState, day: str) -> str | None:
    """Why the queue has no room, as a sentence; None if it has. Jobs that were admitted but whose
    status does not say so yet are counted.
    """
    queue = state.pending.queue_of(job)
    share = state.share(queue)
    if share.max_queued is not None:
        waiting = state.pending.count(queue)
        if waiting >= share.max_queued:
            return (
                f"{waiting} requests wait in this queue already, as many as may."
                " Try again when some are done."
            )
    if share.daily_bytes is not None:
        used = state.usage.used(queue, day) + state.pending.entering_bytes(queue)
        if used + job.spec.limits.max_bytes > share.daily_bytes:
            return (
                f"With the {human(job.spec.limits.max_bytes)} that this request may"
                " fetch, the queue"
                f" would pass its {human(share.daily_bytes)} for today (UTC)."
            )
    return None
