"""Queued jobs that came back: each rests for a while before it is tried again. Pure."""

import heapq
from collections import Counter
from typing import Final

from trawler_common.pauses import grown
from trawler_crds.media_job import MediaJob
from trawler_operator.formatting import parse

FIRST_WAIT: Final = 2.0
LONGEST_WAIT: Final = 60.0
"""Bounds in seconds of the wait after a failure."""
FIRST_REST: Final = 0.5
LONGEST_REST: Final = 60.0
"""Bounds in seconds of the pause of a pod after it declined an order, and of a job after it came
back without a failure.
"""
AT_ONCE: Final = 500
"""Maximum number of jobs that one turn wakes: each has to be sorted among all that wait."""


def wait(job: MediaJob, returned: int) -> float:
    """Seconds for which a queued job rests before it is tried: after a failure, or after it
    `returned` without a failure so many times in a row. The wait grows each time, and after a
    failure it is never shorter than the site asked for.
    """
    seconds = grown(FIRST_REST, LONGEST_REST, returned - 1) if returned else 0.0
    failures = job.status.failures
    if failures:
        seconds = max(seconds, grown(FIRST_WAIT, LONGEST_WAIT, failures - 1), not_before(job))
    return seconds


def not_before(job: MediaJob) -> float:
    """Seconds after `queuedTime` that the site asked to wait. Raises ValueError if a time is
    invalid.
    """
    status = job.status
    if status.not_before is None or status.queued_time is None:
        return 0.0
    return parse(status.not_before) - parse(status.queued_time)  # one clock, right or wrong


class Resting:
    """Resting jobs by wake-up time, and what they will fetch for their duplicates too."""

    def __init__(self) -> None:
        self._until: dict[str, float] = {}
        self._times: list[tuple[float, str]] = []
        """A heap; an entry that `_until` does not confirm is outdated."""
        self._fingerprints: dict[str, str] = {}
        self._shared: Counter[str] = Counter()

    def __contains__(self, uid: object) -> bool:
        return uid in self._until

    def __len__(self) -> int:
        return len(self._until)

    def put(self, uid: str, until: float, fingerprint: str | None) -> None:
        """Let a job rest until a time (monotonic seconds). `fingerprint`: what it fetches for its
        duplicates too.
        """
        self.drop(uid)
        self._until[uid] = until
        heapq.heappush(self._times, (until, uid))
        if fingerprint is not None:
            self._fingerprints[uid] = fingerprint
            self._shared[fingerprint] += 1

    def drop(self, uid: str) -> None:
        """End the rest of a job."""
        if self._until.pop(uid, None) is None:
            return
        fingerprint = self._fingerprints.pop(uid, None)
        if fingerprint is not None:
            self._shared[fingerprint] -= 1
            if not self._shared[fingerprint]:
                del self._shared[fingerprint]
        if len(self._times) > 2 * len(self._until) + AT_ONCE:
            self._times = [(at, each) for each, at in self._until.items()]
            heapq.heapify(self._times)

    def wake(self, now: float) -> list[str]:
        """Uids of the jobs whose time has come, the earliest first. They no longer rest."""
        woken: list[str] = []
        while len(woken) < AT_ONCE and (at := self.next_at()) is not None and at <= now:
            _, uid = heapq.heappop(self._times)
            self.drop(uid)
            woken.append(uid)
        return woken

    def next_at(self) -> float | None:
        """When (monotonic seconds) the next job wakes; None if no job rests."""
        while self._times and self._until.get(self._times[0][1]) != self._times[0][0]:
            heapq.heappop(self._times)
        return self._times[0][0] if self._times else None

    def shares(self, fingerprint: str) -> bool:
        """Whether a resting job will fetch this for its duplicates too. It has not given up, and if
        its duplicates ran in its place, all of them would try the broken site at once.
        """
        return fingerprint in self._shared
