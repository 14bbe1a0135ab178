"""What the store may forget: objects that nothing names, seen so twice and far enough apart.
Pure.
"""

from collections.abc import Collection, Container, Iterator
from contextlib import contextmanager
from typing import Final

from trawler_crds.media_job import Phase
from trawler_operator.state.cluster_state import ClusterState

SHARDS: Final = tuple(f"{number:02x}" for number in range(256))
"""The first two digits of a hash: one folder of the store, listed at once."""
DEFAULT_LONGEST: Final = 3600.0
"""Seconds of the longest attempt where no pool says so."""


class Pins:
    """Objects that somebody counts on although no job names them yet."""

    def __init__(self) -> None:
        self._ours: dict[str, int] = {}
        """Uid → the attempt that we began: all that was promised to it is known here."""
        self._granted: dict[tuple[str, int], frozenset[str]] = {}
        self._held: list[frozenset[str]] = []
        self._going: set[str] = set()

    def begin(self, uid: str, attempt: int) -> None:
        """An attempt is begun by us."""
        self._ours[uid] = attempt

    def inherited(self, state: ClusterState) -> int:
        """Attempts that run and that a leader before us began: what they were promised nobody
        knows. They seldom outlive the time of a longest attempt; only where their end cannot be
        written.
        """
        running = state.by_phase[Phase.RUNNING].values()
        return sum(self._ours.get(job.uid) != job.status.attempt for job in running)

    def grant(self, uid: str, attempt: int, hashes: Collection[str]) -> None:
        """An attempt may store these, or was told that they are there already."""
        key = (uid, attempt)
        self._granted[key] = self._granted.get(key, frozenset()) | frozenset(hashes)

    @contextmanager
    def held(self, hashes: Collection[str]) -> Iterator[None]:
        """A job is about to name these."""
        mine = frozenset(hashes)
        self._held.append(mine)
        try:
            yield
        finally:
            self._held.remove(mine)

    @contextmanager
    def letting_go(self, sha256: str) -> Iterator[None]:
        """This one is being deleted: until that is done nobody may count on it."""
        self._going.add(sha256)
        try:
            yield
        finally:
            self._going.discard(sha256)

    def going(self, hashes: Collection[str]) -> bool:
        """Whether one of these is just being deleted."""
        return not self._going.isdisjoint(hashes)

    def forget_ended(self, state: ClusterState) -> None:
        """An attempt's grants end with the attempt."""
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
        """All pinned objects."""
        self.forget_ended(state)
        return set().union(*self._granted.values(), *self._held)


class Sweeper:
    """Remembers which objects nothing named when they were last listed.

    The two sights are one longest attempt apart, and so is the first deletion from our election:
    the pins of the leader before are not known to us, but they end with its attempts
    (`Pins.inherited`).
    """

    def __init__(self, *, since: float) -> None:
        self._since = since
        self._unnamed: dict[str, dict[bytes, float]] = {}
        """Folder → hash → when (monotonic) nothing named it first."""

    def look(
        self,
        shard: str,
        listed: Collection[str],
        named: Container[str],
        *,
        now: float,
        apart: float,
    ) -> list[str]:
        """Take one listing of a folder of the store; answers with the hashes that may go.

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
    """Every object that a job names or somebody counts on, as it is when somebody asks."""

    def __init__(self, state: ClusterState, pins: Pins) -> None:
        self._finished = state.finished.named()
        self._others = pins.kept(state) | {
            each.sha256 for job in state.jobs.values() for each in job.status.objects
        }

    def __contains__(self, sha256: object) -> bool:
        return sha256 in self._others or bytes.fromhex(str(sha256)) in self._finished


def longest_attempt(state: ClusterState) -> float:
    """Seconds that an attempt may take in the slowest pool."""
    pools = (float(pool.spec.max_attempt_seconds) for pool in state.pools.values())
    return max(pools, default=DEFAULT_LONGEST)
