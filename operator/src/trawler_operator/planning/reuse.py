"""Answers all jobs that ask for the same with one outcome: a stored result, or the failure of the
duplicate that fetched. Pure.
"""

from typing import Any

from trawler_crds.failures import FailureReason
from trawler_crds.media_job import ACCEPTED, STORED, MediaJob, Phase
from trawler_operator.formatting import conditions, host, stamp
from trawler_operator.planning.actions import Copy, WriteStatus
from trawler_operator.planning.lifecycle import end
from trawler_operator.state.cluster_state import Clock, ClusterState
from trawler_operator.state.usage import REUSED


def answer(job: MediaJob, state: ClusterState, clock: Clock) -> Copy | WriteStatus | None:
    """The action that ends a job without an attempt of its own; None if it has to wait for its
    turn.
    """
    if (
        job.unwanted
        or job.spec.suspend
        or job.status.phase not in {Phase.PENDING, Phase.QUEUED}
        or state.handing(job)
    ):
        return None
    recent = stamp(clock.wall - state.reuse_seconds)
    since = min(recent, job.status.queued_time or recent)
    source = state.duplicates.source(job, since=since)
    if source is not None:
        return Copy(uid=job.uid, version=job.version, source=source.uid, name=source.name)
    failed = state.duplicates.failed(job)
    if failed is not None:
        reason = failed.reason or FailureReason.INTERNAL
        return end(
            job,
            Phase.FAILED,
            reason,
            failed.message,
            clock.wall,
            offered=failed.offered,
        )
    return None


def reuse(job: MediaJob, source: MediaJob, wall: float) -> WriteStatus:
    """Mark a job as Succeeded with the files of a duplicate, after their objects were found in the
    store.
    """
    now = stamp(wall)
    stored = source.status
    known = any(each.type == ACCEPTED for each in job.status.conditions or ())
    since = {STORED: (REUSED, stored.stored_time or now)}
    accepted = {} if known else {ACCEPTED: ("Accepted", now)}
    changes: dict[str, Any] = {
        "phase": Phase.SUCCEEDED,
        "reason": None,
        "message": None,
        "notBefore": None,
        "host": host(job),
        "follows": source.name,
        "engine": stored.engine,
        "source": stored.source.wire() if stored.source else None,
        "files": [file.wire() for file in stored.files or ()],
        "fileCount": stored.file_count,
        "sidecar": stored.sidecar.wire() if stored.sidecar else None,
        "size": stored.size,
        "completionTime": now,
        "conditions": conditions(job, {**accepted, **since}),
    }
    return WriteStatus(
        uid=job.uid,
        version=job.version,
        changes=changes,
    )
