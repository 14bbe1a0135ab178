"""Index of jobs that ask for the same: one fetches, the others get its result. Pure.

No field says which job fetches: while one duplicate runs, no waiting duplicate starts. So if the
job that fetches is cancelled, deleted or suspended, no successor has to be named; the next job in
turn runs.
"""

import hashlib
import json
from collections.abc import Callable
from typing import Final

from trawler_crds import addresses
from trawler_crds.failures import FAILURES, FailureReason, Retry
from trawler_crds.media_job import MediaJob, Phase, Reuse
from trawler_operator.state.finished import FinishedJob

SAME_FOR_ALL: Final = frozenset(
    {
        FailureReason.BAD_ADDRESS,
        FailureReason.NOT_SUPPORTED,
        FailureReason.NOTHING_FOUND,
        FailureReason.NEEDS_LOGIN,
        FailureReason.UNAVAILABLE,
        FailureReason.TOO_LARGE,
        FailureReason.TOO_SLOW,
        FailureReason.SITE_ERROR,
        FailureReason.BAD_CERTIFICATE,
        FailureReason.THROTTLED,
    }
)
"""Failures that a site would give to all jobs that ask for the same. Any other failure is one job's
own bad luck.
"""

REMEMBERED: Final = 8
"""Finished jobs kept per fingerprint: the newest, since they are the ones that answer."""


def fingerprint(job: MediaJob, scope: str = "") -> str:
    """A hash of what a job asks for, always computed from its spec. `scope`: whose credentials it
    would use.
    """
    spec = job.spec
    try:
        url = addresses.parse(spec.url).canonical()
    except addresses.BadAddress:
        url = spec.url  # it will be refused, and so will every other job that asks for it
    wish = {
        "url": url,
        "media": spec.media.wire(),
        "engines": list(spec.engines),
        "limits": spec.limits.wire(),
        "scope": scope,
    }
    return hashlib.sha256(json.dumps(wish, sort_keys=True).encode()).hexdigest()


class DuplicateIndex:
    """All jobs by what they ask for."""

    def __init__(self) -> None:
        self._fingerprints: dict[str, str] = {}
        """Uid → fingerprint of each job that has not ended."""
        self._active: dict[str, dict[str, MediaJob]] = {}
        self._ended: dict[str, tuple[FinishedJob, ...]] = {}
        """Fingerprint → the newest jobs that ended, in order of completion."""
        self._without_bytes: set[str] = set()

    def fingerprint(self, job: MediaJob) -> str:
        """The fingerprint of a job, computed once."""
        known = self._fingerprints.get(job.uid)
        if known is None:
            known = self._fingerprints[job.uid] = fingerprint(job)
        return known

    def known(self, uid: str) -> str | None:
        """The fingerprint of a job that has not ended; None if it was never computed."""
        return self._fingerprints.get(uid)

    def see(self, job: MediaJob) -> None:
        """Add or update a job that has not ended. With `reuse: Never` no other job waits for it."""
        if job.spec.reuse is not Reuse.NEVER:
            self._active.setdefault(self.fingerprint(job), {})[job.uid] = job

    def leave(self, uid: str) -> None:
        """Remove a job that has ended, or that was deleted before that."""
        fingerprint = self._fingerprints.pop(uid, None)
        if fingerprint is not None:
            jobs = self._active.get(fingerprint, {})
            jobs.pop(uid, None)
            if not jobs:
                self._active.pop(fingerprint, None)

    def finish(self, job: FinishedJob) -> None:
        """Add or update a job that has ended."""
        if job.fingerprint is None:
            return
        others = [
            duplicate
            for duplicate in self._ended.get(job.fingerprint, ())
            if duplicate.uid != job.uid
        ]
        newest = sorted([*others, job], key=lambda duplicate: duplicate.completed)[-REMEMBERED:]
        self._ended[job.fingerprint] = tuple(newest)

    def forget(self, job: FinishedJob) -> None:
        """Remove a job that had ended and was deleted."""
        self._without_bytes.discard(job.uid)
        if job.fingerprint is None:
            return
        left = tuple(
            duplicate
            for duplicate in self._ended.get(job.fingerprint, ())
            if duplicate.uid != job.uid
        )
        if left:
            self._ended[job.fingerprint] = left
        else:
            self._ended.pop(job.fingerprint, None)

    def disbelieve(self, uid: str) -> None:
        """Record that a finished job's objects are gone: it no longer answers other jobs."""
        self._without_bytes.add(uid)

    def waiting(self, fingerprint: str) -> list[str]:
        """Uids of the waiting jobs that ask for the same and may get the result of another."""
        active = self._active.get(fingerprint, {})
        return [uid for uid, t in active.items() if t.status.phase in {Phase.PENDING, Phase.QUEUED}]

    def ahead(self, job: MediaJob, *, handed: Callable[[MediaJob], bool]) -> MediaJob | None:
        """A duplicate that runs (or is being `handed` to a pod) or waits already, for a job that is
        being admitted; None if there is none.
        """
        if job.spec.reuse is Reuse.NEVER:
            return None
        duplicates = [
            t for uid, t in self._active.get(self.fingerprint(job), {}).items() if uid != job.uid
        ]
        running = (
            duplicate
            for duplicate in duplicates
            if duplicate.status.phase is Phase.RUNNING or handed(duplicate)
        )
        queued = (duplicate for duplicate in duplicates if duplicate.status.phase is Phase.QUEUED)
        return next(running, None) or next(queued, None)

    def source(self, job: MediaJob, *, since: str) -> FinishedJob | None:
        """The duplicate whose files were stored last, at or after a time (RFC 3339, UTC), if it may
        answer. The files of a duplicate that was itself answered by another are older than its end.
        """
        found = [
            duplicate
            for duplicate in self._finished(job, since)
            if duplicate.phase is Phase.SUCCEEDED
            and duplicate.stored >= since
            and duplicate.hashes
            and duplicate.uid not in self._without_bytes
        ]
        return max(found, key=lambda duplicate: duplicate.stored, default=None)

    def failed(self, job: MediaJob) -> FinishedJob | None:
        """A duplicate that failed while this job waited for it, with a failure that this job would
        have had too.
        """
        since = job.status.queued_time
        if since is None or job.status.follows is None or job.status.attempt > 0:
            return None
        return next((t for t in self._finished(job, since) if _same_end(t, job)), None)

    def _finished(self, job: MediaJob, since: str) -> list[FinishedJob]:
        if job.spec.reuse is Reuse.NEVER:
            return []
        ended = self._ended.get(self.fingerprint(job), ())
        return [
            duplicate
            for duplicate in ended
            if duplicate.uid != job.uid and duplicate.completed >= since
        ]


def _same_end(duplicate: FinishedJob, job: MediaJob) -> bool:
    """Whether the job would have ended like its duplicate: the site would have treated it alike,
    and it would not have tried more often.
    """
    if duplicate.phase is not Phase.FAILED or duplicate.reason not in SAME_FOR_ALL:
        return False
    if duplicate.patience is not None and job.spec.max_queue_seconds <= duplicate.patience:
        return True
    final = FAILURES[duplicate.reason].retry is Retry.NEVER
    return final or duplicate.failures > job.spec.backoff_limit
