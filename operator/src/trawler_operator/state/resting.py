"""Queued jobs that came back before: each is left alone for a while until it is tried again.
Pure.
"""

import heapq
from collections import Counter
from typing import Final

from trawler_common.pauses import grown
from trawler_crds.media_job import MediaJob
from trawler_operator.formatting import parse

FIRST_WAIT: Final = 2.0
LONGEST_WAIT: Final = 60.0
"""Bounds of the wait after a failure."""
FIRST_REST: Final = 0.5
LONGEST_REST: Final = 60.0
"""Bounds of the pause after a pod, or a job, came back from an order that was not taken."""
AT_ONCE: Final = 500
"""Jobs that one turn wakes at most: each finds its place among all who wait."""


def wait(job: MediaJob, returned: int) -> float:
    """Seconds for which a queued job waits before it is tried: after a failure, or after it
    `returned` at no cost so many times in a row, longer each time, and never less than the site
    asked for.
    """
    seconds = grown(FIRST_REST, LONGEST_REST, returned - 1) if returned else 0.0
    failures = job.status.failures
    if failures:
        seconds = max(seconds, grown(FIRST_WAIT, LONGEST_WAIT, failures - 1), not_before(job))
    return seconds


def not_before(job: MediaJob) -> float:
    """Seconds after it was queued that the site asked to wait. Raises ValueError for a time that is
    none.
    """
    status = job.status
    if status.not_before is None or status.queued_time is None:
        return 0.0
    return parse(status.not_before) - parse(status.queued_time)  # of one clock, right or wrong


class Resting:
    """Uids of those whose time has not come, by that time; and what they will fetch for others
    too.
    """

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
        """It rests until a time (monotonic seconds). `fingerprint`: the fingerprint of what it
        shares.
        """
        self.drop(uid)
        self._until[uid] = until
        heapq.heappush(self._times, (until, uid))
        if fingerprint is not None:
            self._fingerprints[uid] = fingerprint
            self._shared[fingerprint] += 1

    def drop(self, uid: str) -> None:
        """It rests no more."""
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
        """Those whose time has come, the first first; they rest no more."""
        woken: list[str] = []
        while len(woken) < AT_ONCE and (at := self.next_at()) is not None and at <= now:
            _, uid = heapq.heappop(self._times)
            self.drop(uid)
            woken.append(uid)
        return woken

    def next_at(self) -> float | None:
        """When (monotonic seconds) the next one wakes; None where nobody rests."""
        while self._times and self._until.get(self._times[0][1]) != self._times[0][0]:
            heapq.heappop(self._times)
        return self._times[0][0] if self._times else None

    def shares(self, fingerprint: str) -> bool:
        """Whether one of them will fetch this for others too: it has not given up, and if every
        duplicate went in its place, all of them would try the broken site at once.
        """
        return fingerprint in self._shared
