"""Finished MediaJobs, each kept in a fraction of its size, since there may be a hundred thousand.
Pure.
"""

import heapq
import math
import sys
from collections import Counter
from collections.abc import Iterator, KeysView, Mapping
from dataclasses import dataclass
from typing import Any, Final

from trawler_crds.failures import FailureReason
from trawler_crds.media_job import MediaJob, MediaJobStatus, Phase
from trawler_operator.formatting import parse

DELIVERY_GRACE: Final = 3600.0
"""Seconds that a finished job's delivery may take before its time to live begins without it."""
LONGEST_LIFE: Final = 366 * 86400.0
"""Seconds after its creation within which a job ends and is delivered. A later time was written by
hand.
"""
SPARE: Final = 200
"""Outdated heap entries that may accumulate before the heap is rebuilt."""
OFFER_AGAIN: Final = 30.0
"""Seconds after which a job that was offered for deletion, but still exists, is offered again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FinishedJob:
    """The fields of an ended job that are still used. All else is read again when it is needed."""

    uid: str
    name: str
    version: int
    phase: Phase
    reason: FailureReason | None
    message: str | None
    offered: Mapping[str, Any] | None
    """What is available instead of what the job asked for, as fields of its status; None if the
    status does not say.
    """
    failures: int
    patience: int | None
    """The job's `maxQueueSeconds`, if it ended before its retries were used up because the site
    asked for a longer wait than that; otherwise None.
    """
    completed: str
    """RFC 3339, UTC; empty if the status does not say."""
    stored: str
    """When its files were stored, in the format of `completed`. The files of a duplicate were
    stored before the job ended.
    """
    keep_until: float
    """Unix seconds after which the job is deleted."""
    hashes: tuple[bytes, ...]
    """SHA-256 of its files and of the sidecar that describes them."""
    fingerprint: str | None
    """The job's fingerprint; None if it answers no other job."""


def condense(job: MediaJob, fingerprint: str | None) -> FinishedJob:
    """Condense a job that has ended."""
    status = job.status
    return FinishedJob(
        uid=job.uid,
        name=job.name,
        version=int(job.version or 0),
        phase=status.phase,
        reason=status.reason,
        message=sys.intern(status.message) if status.message else None,
        offered=_offered(status),
        failures=status.failures,
        patience=_patience(job),
        completed=sys.intern(status.completion_time or ""),
        stored=sys.intern(status.stored_time),
        keep_until=keep_until(job),
        hashes=tuple(bytes.fromhex(each.sha256) for each in status.objects),
        fingerprint=fingerprint,
    )


def _offered(status: MediaJobStatus) -> dict[str, Any] | None:
    """What is available instead, without the playlist, which would be most of what is kept: no
    duplicate answers with one.
    """
    names = {"offered_height", "offered_subtitles"}
    return status.model_dump(mode="json", by_alias=True, exclude_none=True, include=names) or None


def _patience(job: MediaJob) -> int | None:
    status = job.status
    early = 0 < status.failures <= job.spec.backoff_limit
    throttled = status.reason is FailureReason.THROTTLED
    return job.spec.max_queue_seconds if early and throttled else None


def keep_until(job: MediaJob) -> float:
    """When (Unix seconds) a finished job's time to live is over. It counts from the delivery or
    else from the job's end. Others may write the status: if its times cannot be read or believed,
    it counts from the creation. Infinity if the job is deleted already and only a finalizer still
    holds it.
    """
    if job.metadata.deletion_timestamp is not None:
        return math.inf
    status = job.status
    discord = job.spec.delivery is not None and job.spec.delivery.discord is not None
    delivered = status.delivery.time if status.delivery is not None else None
    grace = DELIVERY_GRACE if discord and delivered is None else 0.0
    kept_from = first_believed(job.metadata.creation_timestamp, delivered, status.completion_time)
    return kept_from + grace + job.spec.ttl_seconds_after_finished


def first_believed(created: object, *said: object) -> float:
    """The first of some times (RFC 3339) that can be read and believed, as Unix seconds; otherwise
    the time of creation. No value raises an exception.
    """
    begun = _seconds(created)
    latest = math.inf if begun is None else begun + LONGEST_LIFE
    times = (_seconds(time) for time in said)
    return next((at for at in times if at is not None and at < latest), begun or 0.0)


def _seconds(time: object) -> float | None:
    try:
        return parse(str(time))
    except (ValueError, OverflowError):
        return None


class FinishedJobs:
    """All finished jobs by uid. Finds which objects they name, and which jobs have expired, without
    a scan.
    """

    def __init__(self) -> None:
        self._jobs: dict[str, FinishedJob] = {}
        self._named: dict[bytes, int] = {}
        """Hash → number of jobs that name the object."""
        self._ends: list[tuple[float, str]] = []
        """Expiry times as a heap. Entries of jobs that are gone or kept longer are skipped."""
        self.count: Counter[Phase] = Counter()

    def __contains__(self, uid: object) -> bool:
        return uid in self._jobs

    def __len__(self) -> int:
        return len(self._jobs)

    def __iter__(self) -> Iterator[FinishedJob]:
        return iter(self._jobs.values())

    def get(self, uid: str) -> FinishedJob | None:
        return self._jobs.get(uid)

    def put(self, job: FinishedJob) -> None:
        """Add a job, or a newer version of one."""
        known = self._jobs.get(job.uid)
        if known is not None:
            self._forget(known)
        self._jobs[job.uid] = job
        self.count[job.phase] += 1
        for sha256 in job.hashes:
            self._named[sha256] = self._named.get(sha256, 0) + 1
        if job.keep_until < math.inf and (known is None or known.keep_until != job.keep_until):
            heapq.heappush(self._ends, (job.keep_until, job.uid))
        if len(self._ends) > 5 * len(self._jobs) // 4 + SPARE:
            self._ends = [
                (each.keep_until, each.uid) for each in self if each.keep_until < math.inf
            ]
            heapq.heapify(self._ends)

    def drop(self, uid: str) -> FinishedJob | None:
        """Remove a deleted job. Returns what was known of it."""
        known = self._jobs.pop(uid, None)
        if known is not None:
            self._forget(known)
        return known

    def _forget(self, job: FinishedJob) -> None:
        self.count[job.phase] -= 1
        for sha256 in job.hashes:
            left = self._named[sha256] - 1
            if left:
                self._named[sha256] = left
            else:
                del self._named[sha256]

    def named(self) -> KeysView[bytes]:
        """Hashes of all objects that finished jobs name."""
        return self._named.keys()

    def due(self, wall: float, *, most: int) -> list[FinishedJob]:
        """Up to `most` jobs whose time to live is over, the longest overdue first. Each is offered
        once, and again some time later if it still exists.
        """
        found: list[FinishedJob] = []
        while self._ends and self._ends[0][0] <= wall and len(found) < most:
            _, uid = heapq.heappop(self._ends)
            job = self._jobs.get(uid)
            if job is not None and job.keep_until <= wall:
                found.append(job)
                heapq.heappush(self._ends, (wall + OFFER_AGAIN, uid))
        return found
