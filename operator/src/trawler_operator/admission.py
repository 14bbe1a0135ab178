"""Whether a job is let in: the limits of its queue, judged once. Pure."""

from typing import Any

from trawler_crds.failures import FailureReason
from trawler_crds.media_job import ACCEPTED, MediaJob, Phase
from trawler_operator.actions import WriteStatus
from trawler_operator.board import Board, Clock
from trawler_operator.lifecycle import end
from trawler_operator.wording import conditions, host, human, stamp


def admit(job: MediaJob, board: Board, clock: Clock) -> WriteStatus:
    """Queued, or Failed for want of room in its queue."""
    refusal = _refusal(job, board, stamp(clock.wall)[:10])
    if refusal is not None:
        return end(job, Phase.FAILED, FailureReason.QUOTA_EXCEEDED, refusal, clock.wall)
    now = stamp(clock.wall)
    ahead = board.twins.ahead(job)
    changes: dict[str, Any] = {
        "phase": Phase.QUEUED,
        "host": host(job),
        "fingerprint": board.twins.mark(job),
        "follows": ahead.name if ahead is not None else None,
        "queuedTime": now,
        "attempt": job.status.attempt,
        "failures": job.status.failures,
        "conditions": conditions(job, ACCEPTED, "Accepted", now),
    }
    return WriteStatus(uid=job.uid, version=job.version, changes=changes)


def _refusal(job: MediaJob, board: Board, day: str) -> str | None:
    """Why there is no room, as a sentence; jobs that are being let in count already."""
    queue = board.waiting.queue_of(job)
    share = board.share(queue)
    coming = [other for other in board.waiting.entering(queue) if other.uid != job.uid]
    if share.max_queued is not None:
        waiting = board.waiting.count(queue) + len(coming)
        if waiting >= share.max_queued:
            return (
                f"{waiting} requests wait in this queue already, as many as may."
                " Try again when some are done."
            )
    if share.daily_bytes is not None:
        used = board.day_bytes(queue, day) + sum(other.spec.limits.max_bytes for other in coming)
        if used + job.spec.limits.max_bytes > share.daily_bytes:
            return (
                f"With the {human(job.spec.limits.max_bytes)} that this request may fetch, the queue"
                f" would pass its {human(share.daily_bytes)} for today (UTC)."
            )
    return None
