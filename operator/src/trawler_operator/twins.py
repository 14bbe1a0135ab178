"""Jobs that want the very same: one fetches, the others take what it brought. Pure.

Who fetches is not written anywhere: of twins that wait, none goes while another runs. So a leader
that is cancelled, deleted or suspended needs no successor to be named; the next in turn goes.
"""

import hashlib
import json
from collections.abc import Callable
from typing import Final
from urllib.parse import urlsplit, urlunsplit

from trawler_crds.failures import FAILURES, FailureReason, Retry
from trawler_crds.media_job import TERMINAL, MediaJob, Phase, Reuse

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
        FailureReason.THROTTLED,
    }
)
"""What a site did to one it would do to all who ask for the same; the rest is one job's own bad luck."""

REMEMBERED: Final = 8
"""Finished jobs per fingerprint: the newest are the ones that answer."""
_PORTS: Final = {"http": "80", "https": "443"}


def canonical(url: str) -> str:
    """One spelling for what every client takes for the same address, and no more than that."""
    parts = urlsplit(url)
    host = parts.netloc.lower().removesuffix(f":{_PORTS.get(parts.scheme.lower(), '')}")
    return urlunsplit((parts.scheme.lower(), host, parts.path or "/", parts.query, parts.fragment))


def fingerprint(job: MediaJob, scope: str = "") -> str:
    """What a job wants, as a hash; always from its spec. `scope`: whose credentials it would use."""
    spec = job.spec
    wish = {
        "url": canonical(spec.url),
        "media": spec.media.wire(),
        "engines": list(spec.engines),
        "limits": spec.limits.wire(),
        "scope": scope,
    }
    return hashlib.sha256(json.dumps(wish, sort_keys=True).encode()).hexdigest()


class Twins:
    """All jobs by what they want."""

    def __init__(self) -> None:
        self._marks: dict[str, str] = {}
        self._active: dict[str, dict[str, MediaJob]] = {}
        self._ended: dict[str, dict[str, MediaJob]] = {}
        self._without_bytes: set[str] = set()

    def mark(self, job: MediaJob) -> str:
        """A job's fingerprint, made once."""
        known = self._marks.get(job.uid)
        if known is None:
            known = self._marks[job.uid] = fingerprint(job)
        return known

    def see(self, job: MediaJob) -> None:
        """One job as it is now. A job with `reuse: Never` leads nobody and answers nobody."""
        if job.spec.reuse is Reuse.NEVER:
            return
        mark = self.mark(job)
        if job.status.phase not in TERMINAL:
            self._active.setdefault(mark, {})[job.uid] = job
            return
        _drop(self._active, mark, job.uid)
        ended = self._ended.setdefault(mark, {})
        ended[job.uid] = job
        if len(ended) > REMEMBERED:
            oldest = min(ended.values(), key=lambda twin: twin.status.completion_time or "")
            del ended[oldest.uid]

    def forget(self, uid: str) -> None:
        """A job was deleted."""
        mark = self._marks.pop(uid, None)
        if mark is not None:
            _drop(self._active, mark, uid)
            _drop(self._ended, mark, uid)
        self._without_bytes.discard(uid)

    def disbelieve(self, uid: str) -> None:
        """A finished job's objects are not there any more: it answers nobody."""
        self._without_bytes.add(uid)

    def waiting(self, job: MediaJob) -> list[str]:
        """Uids of twins that wait, and may take what this job brought."""
        active = self._active.get(self.mark(job), {})
        return [uid for uid, t in active.items() if t.status.phase in {Phase.PENDING, Phase.QUEUED}]

    def ahead(self, job: MediaJob, *, handed: Callable[[MediaJob], bool]) -> MediaJob | None:
        """A twin that runs (or is just `handed` to a pod) or waits already, for a job that is let in
        only now.
        """
        if job.spec.reuse is Reuse.NEVER:
            return None
        twins = [t for uid, t in self._active.get(self.mark(job), {}).items() if uid != job.uid]
        running = (twin for twin in twins if twin.status.phase is Phase.RUNNING or handed(twin))
        queued = (twin for twin in twins if twin.status.phase is Phase.QUEUED)
        return next(running, None) or next(queued, None)

    def source(self, job: MediaJob, *, since: str) -> MediaJob | None:
        """The twin that was stored last, at or after a time (RFC 3339, UTC), if it may answer."""
        found = [
            twin
            for twin in self._finished(job, since)
            if twin.status.phase is Phase.SUCCEEDED
            and twin.status.files
            and twin.uid not in self._without_bytes
        ]
        return max(found, key=lambda twin: twin.status.completion_time or "", default=None)

    def failed(self, job: MediaJob) -> MediaJob | None:
        """A twin that failed while this one waited for it, and would have failed for this one too."""
        since = job.status.queued_time
        if since is None or job.status.follows is None or job.status.attempt > 0:
            return None
        return next((t for t in self._finished(job, since) if _same_end(t, job)), None)

    def _finished(self, job: MediaJob, since: str) -> list[MediaJob]:
        if job.spec.reuse is Reuse.NEVER:
            return []
        return [
            twin
            for uid, twin in self._ended.get(self.mark(job), {}).items()
            if uid != job.uid and (twin.status.completion_time or "") >= since
        ]


def _same_end(twin: MediaJob, job: MediaJob) -> bool:
    """What the site did to one it would do to the other, who would not have tried more often."""
    reason = twin.status.reason
    if twin.status.phase is not Phase.FAILED or reason not in SAME_FOR_ALL:
        return False
    final = FAILURES[reason].retry is Retry.NEVER
    return final or twin.status.failures > job.spec.backoff_limit


def _drop(table: dict[str, dict[str, MediaJob]], mark: str, uid: str) -> None:
    jobs = table.get(mark)
    if jobs is not None:
        jobs.pop(uid, None)
        if not jobs:
            del table[mark]
