"""Whether a job is let in: the limits of its queue, judged once. Pure.

Who is let in waits for its turn at once. Its status says so by a write of its own only where the
turn does not come first: then the write of the dispatch says both.
"""

from dataclasses import replace
from typing import Any

from trawler_crds import addresses
from trawler_crds.failures import FailureReason
from trawler_crds.media_job import ACCEPTED, MediaJob, Phase
from trawler_operator.planning.actions import WriteStatus
from trawler_operator.planning.lifecycle import end, is_new, start
from trawler_operator.state.board import Board, Clock
from trawler_operator.wording import conditions, host, human, stamp


def refuse(job: MediaJob, board: Board, clock: Clock) -> WriteStatus | None:
    """Failed for its address or for want of room in its queue; None where it may come in."""
    if (why := addresses.fault(job.spec.url)) is not None:
        sentence = f"The address {why}."
        return end(job, Phase.FAILED, FailureReason.BAD_ADDRESS, sentence, clock.wall)
    refusal = _refusal(job, board, stamp(clock.wall)[:10])
    if refusal is None:
        return None
    return end(job, Phase.FAILED, FailureReason.QUOTA_EXCEEDED, refusal, clock.wall)


def admit(job: MediaJob, board: Board, wall: float) -> WriteStatus:
    """Queued: it was let in and waits."""
    ahead = board.twins.ahead(job, handed=board.handing)
    changes = {
        **_entry(job, board, wall),
        "phase": Phase.QUEUED,
        "follows": ahead.name if ahead is not None else None,
    }
    if board.refuses(job):
        changes |= {
            "reason": FailureReason.THROTTLED,
            "message": f"{host(job)} is refusing us at the moment. This is tried again in a while.",
        }
    return WriteStatus(uid=job.uid, version=job.version, changes=changes)


def begin(job: MediaJob, board: Board, *, pod: str, attempt: int, wall: float) -> WriteStatus:
    """The write-ahead of a dispatch; for who was let in only just now, both in one."""
    started = start(job, pod=pod, attempt=attempt, wall=wall)
    if not is_new(job):
        return started
    return replace(started, changes={**_entry(job, board, wall), **started.changes})


def _entry(job: MediaJob, board: Board, wall: float) -> dict[str, Any]:
    now = stamp(wall)
    return {
        "host": host(job),
        "fingerprint": board.twins.mark(job),
        "queuedTime": now,
        "attempt": job.status.attempt,
        "failures": job.status.failures,
        "conditions": conditions(job, {ACCEPTED: ("Accepted", now)}),
    }


def _refusal(job: MediaJob, board: Board, day: str) -> str | None:
    """Why there is no room, as a sentence; who was let in but not written yet counts already."""
    queue = board.waiting.queue_of(job)
    share = board.share(queue)
    if share.max_queued is not None:
        waiting = board.waiting.count(queue)
        if waiting >= share.max_queued:
            return (
                f"{waiting} requests wait in this queue already, as many as may."
                " Try again when some are done."
            )
    if share.daily_bytes is not None:
        used = board.ledger.used(queue, day) + board.waiting.entering_bytes(queue)
        if used + job.spec.limits.max_bytes > share.daily_bytes:
            return (
                f"With the {human(job.spec.limits.max_bytes)} that this request may fetch, the queue"
                f" would pass its {human(share.daily_bytes)} for today (UTC)."
            )
    return None
