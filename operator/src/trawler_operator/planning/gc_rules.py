"""Decides which objects the store may delete: those that were found unnamed twice, far enough
apart. Pure.
"""

from collections.abc import Collection, Container, Iterator
from contextlib import contextmanager
from typing import Final

from trawler_crds.media_job import Phase
from trawler_operator.state.cluster_state import ClusterState

SHARDS: Final = tuple(f"{number:02x}" for number in range(256))
"""The first two hex digits of a hash: one folder of the store, which is listed in one go."""
DEFAULT_LONGEST: Final = 3600.0
"""The longest attempt in seconds if no pool defines one."""


class Pins:
    """Objects that must be kept although no job names them yet."""

    def __init__(self) -> None:
        self._ours: dict[str, int] = {}
        """Uid → the attempt that we started. All objects promised to it are known here."""
        self._granted: dict[tuple[str, int], frozenset[str]] = {}
        self._held: list[frozenset[str]] = []
        self._going: set[str] = set()

    def begin(self, uid: str, attempt: int) -> None:
        """Record that we started an attempt."""
        self._ours[uid] = attempt

    def inherited(self, state: ClusterState) -> int:
        """The number of running attempts that an earlier leader started. We do not know which
        objects were promised to them. They seldom run longer than the longest attempt may: only if
        their end cannot be written.
        """
        running = state.by_phase[Phase.RUNNING].values()
        return sum(self._ours.get(job.uid) != job.status.attempt for job in running)

    def grant(self, uid: str, attempt: int, hashes: Collection[str]) -> None:
        """Pin objects that an attempt may store, or that it was told are stored already."""
        key = (uid, attempt)
        self._granted[key] = self._granted.get(key, frozenset()) | frozenset(hashes)

    @contextmanager
    def held(self, hashes: Collection[str]) -> Iterator[None]:
        """Pin objects while a job is about to name them."""
        mine = frozenset(hashes)
        self._held.append(mine)
        try:
            yield
        finally:
            self._held.remove(mine)

    @contextmanager
    def letting_go(self, sha256: str) -> Iterator[None]:
        """Mark an object as being deleted. Until that is done, nothing may rely on it."""
        self._going.add(sha256)
        try:
            yield
        finally:
            self._going.discard(sha256)

    def going(self, hashes: Collection[str]) -> bool:
        """Whether one of these objects is being deleted."""
        return not self._going.isdisjoint(hashes)

    def forget_ended(self, state: ClusterState) -> None:
        """Drop the grants of attempts that have ended."""
        for uid in [uid for uid in self._ours if uid not in state.jobs]:
            del self._ours[uid]
        for uid, attempt in tuple(self._granted):
            job = state.jobs.get(uid)
            if (
                job is None
                or job.status.phase is not Phase.RUNNING
                or job.status.attempt != attempt
            ):
                del self._granted[uid, attempt]

    def kept(self, state: ClusterState) -> set[str]:
        """Hashes of all pinned objects."""
        self.forget_ended(state)
        return set().union(*self._granted.values(), *self._held)


class Sweeper:
    """Remembers which objects were unnamed when they were last listed.

    The two listings are at least one longest attempt apart, and so is the first deletion from our
    election: we do not know the pins of the previous leader, but they end with its attempts
    (`Pins.inherited`).
    """

    def __init__(self, *, since: float) -> None:
        self._since = since
        self._unnamed: dict[str, dict[bytes, float]] = {}
        """Folder → hash → when (monotonic seconds) the object was first found unnamed."""

    def look(
        self,
        shard: str,
        listed: Collection[str],
        named: Container[str],
        *,
        now: float,
        apart: float,
    ) -> list[str]:
        """Record one listing of a folder of the store. Returns the hashes of the objects to delete.

        `now` and `apart` are monotonic seconds.
        """
        before = self._unnamed.get(shard, {})
        hashes = (bytes.fromhex(sha256) for sha256 in listed if sha256 not in named)
        unnamed = {sha256: before.get(sha256, now) for sha256 in hashes}
        self._unnamed[shard] = unnamed
        if now - self._since < apart:
            return []
        return sorted(sha256.hex() for sha256, seen in unnamed.items() if now - seen >= apart)


class Named(Container[str]):
    """All objects that a job names or that are pinned, as of construction. Finished jobs are read
    live.
    """

    def __init__(self, state: ClusterState, pins: Pins) -> None:
        self._finished = state.finished.named()
        self._others = pins.kept(state) | {
            each.sha256 for job in state.jobs.values() for each in job.status.objects
        }

    def __contains__(self, sha256: object) -> bool:
        return sha256 in self._others or bytes.fromhex(str(sha256)) in self._finished


def longest_attempt(state: ClusterState) -> float:
    """The longest time in seconds that an attempt may take in any pool."""
    pools = (float(pool.spec.max_attempt_seconds) for pool in state.pools.values())
    return max(pools, default=DEFAULT_LONGEST)
