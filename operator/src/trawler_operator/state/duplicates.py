"""Jobs that want the very same: one fetches, the others take what it brought. Pure.

Who fetches is not written anywhere: of duplicates that wait, none goes while another runs. So a
leader that is cancelled, deleted or suspended needs no successor to be named; the next in turn
goes.
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
"""What a site did to one it would do to all who ask for the same; the rest is one job's own bad
luck.
"""

REMEMBERED: Final = 8
"""Finished jobs per fingerprint: the newest are the ones that answer."""


def fingerprint(job: MediaJob, scope: str = "") -> str:
    """What a job wants, as a hash; always from its spec. `scope`: whose credentials it would
    use.
    """
    spec = job.spec
    try:
        url = addresses.parse(spec.url).canonical()
    except addresses.BadAddress:
        url = spec.url  # it will be refused, alike for all who ask for it
    wish = {
        "url": url,
        "media": spec.media.wire(),
        "engines": list(spec.engines),
        "limits": spec.limits.wire(),
        "scope": scope,
    }
    return hashlib.sha256(json.dumps(wish, sort_keys=True).encode()).hexdigest()


class DuplicateIndex:
    """All jobs by what they want."""

    def __init__(self) -> None:
        self._fingerprints: dict[str, str] = {}
        """Uid → fingerprint of each that has not ended."""
        self._active: dict[str, dict[str, MediaJob]] = {}
        self._ended: dict[str, tuple[FinishedJob, ...]] = {}
        """Fingerprint → the newest that ended, the last one last."""
        self._without_bytes: set[str] = set()

    def fingerprint(self, job: MediaJob) -> str:
        """A job's fingerprint, made once."""
        known = self._fingerprints.get(job.uid)
        if known is None:
            known = self._fingerprints[job.uid] = fingerprint(job)
        return known

    def known(self, uid: str) -> str | None:
        """The fingerprint of one that has not ended, if it was ever asked for."""
        return self._fingerprints.get(uid)

    def see(self, job: MediaJob) -> None:
        """One that has not ended, as it is now. With `reuse: Never` it leads nobody."""
        if job.spec.reuse is not Reuse.NEVER:
            self._active.setdefault(self.fingerprint(job), {})[job.uid] = job

    def leave(self, uid: str) -> None:
        """It has ended, or was deleted before that."""
        fingerprint = self._fingerprints.pop(uid, None)
        if fingerprint is not None:
            jobs = self._active.get(fingerprint, {})
            jobs.pop(uid, None)
            if not jobs:
                self._active.pop(fingerprint, None)

    def finish(self, job: FinishedJob) -> None:
        """One that has ended, as it is now."""
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
        """One that had ended was deleted."""
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
        """A finished job's objects are not there any more: it answers nobody."""
        self._without_bytes.add(uid)

    def waiting(self, fingerprint: str) -> list[str]:
        """Uids of those that wait for the same, and may take what another one brought."""
        active = self._active.get(fingerprint, {})
        return [uid for uid, t in active.items() if t.status.phase in {Phase.PENDING, Phase.QUEUED}]

    def ahead(self, job: MediaJob, *, handed: Callable[[MediaJob], bool]) -> MediaJob | None:
        """A duplicate that runs (or is just `handed` to a pod) or waits already, for a job that is
        let in only now.
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
        answer. One that was answered itself has files that are older than its end.
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
        """A duplicate that failed while this one waited for it, and would have failed for this one
        too.
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
    """What the site did to one it would do to the other, who would not have tried more often."""
    if duplicate.phase is not Phase.FAILED or duplicate.reason not in SAME_FOR_ALL:
        return False
    if duplicate.patience is not None and job.spec.max_queue_seconds <= duplicate.patience:
        return True
    final = FAILURES[duplicate.reason].retry is Retry.NEVER
    return final or duplicate.failures > job.spec.backoff_limit
