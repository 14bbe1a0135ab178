"""Removes stored objects that nothing names any more, folder by folder, all day, so that a large
store is never listed at once. It sweeps only below a prefix that is marked as this install's, and
only while every MediaJob is understood.
"""

import asyncio
import time
from collections.abc import Callable
from itertools import cycle
from typing import Final

from trawler_common import logs
from trawler_common.failpoints import Failpoint, hit
from trawler_common.store import Store, StoreUnavailable
from trawler_crds.keys import SHARED_PREFIX, object_key
from trawler_operator.control.metrics import Metrics
from trawler_operator.kube.leader import Leader
from trawler_operator.planning.gc_rules import SHARDS, Named, Pins, Sweeper, longest_attempt
from trawler_operator.state.cluster_state import ClusterState

log = logs.get("broom")

SAID_EVERY: Final = 600.0
"""Seconds between two lines of log about why nothing is swept."""


class GarbageCollector:
    """Lists, asks what may go, and deletes that."""

    def __init__(
        self,
        *,
        state: ClusterState,
        pins: Pins,
        store: Store,
        owned: Callable[[], bool],
        exclusive: bool,
        leader: Leader,
        metrics: Metrics,
        pause: float,
    ) -> None:
        """`pause`: least seconds between two folders."""
        self._state = state
        self._pause = pause
        self._pins = pins
        self._store = store
        self._owned = owned
        # what lies in the shared one may be anybody's, unless the store is this install's alone
        self._prefixes = [
            prefix
            for prefix in dict.fromkeys((store.prefix, SHARED_PREFIX))
            if exclusive or prefix != SHARED_PREFIX
        ]
        self._leader = leader
        self._metrics = metrics
        self._sweeper = Sweeper(since=time.monotonic())
        self._shards = cycle(SHARDS)
        self._said = time.monotonic()

    async def run(self) -> None:
        """Sweep for ever: every folder once in each time of a longest attempt, or as often as
        `pause` allows.
        """
        for shard in self._shards:  # begun anew after a fault, it goes on with the next folder
            await asyncio.sleep(max(self._pause, longest_attempt(self._state) / len(SHARDS)))
            self._pins.forget_ended(self._state)  # also where nothing may be swept
            for prefix in self._prefixes:
                try:
                    await self._sweep(prefix, shard)
                except StoreUnavailable as error:
                    log.info("sweep_waits", extra={"error": str(error)})

    def _hindrance(self) -> str:
        """Why nothing may be deleted now; empty where nothing hinders."""
        if not self._owned():
            return "the prefix is not marked as this install's"
        unknown = sum(not job.understood for job in self._state.unreadable.values())
        if unknown:
            return f"nobody knows which objects {unknown} MediaJobs name that are not understood"
        inherited = self._pins.inherited(self._state)
        if inherited:
            return f"{inherited} attempts still run that the leader before us began"
        return ""

    async def _sweep(self, prefix: str, shard: str) -> None:
        hindrance = self._hindrance()
        if hindrance:
            if time.monotonic() - self._said > SAID_EVERY:
                self._said = time.monotonic()
                log.warning("not_swept", extra={"why": hindrance})
            return
        listed = await self._store.hashes(shard, prefix=prefix)
        apart = longest_attempt(self._state)
        known = Named(self._state, self._pins)
        for sha256 in self._sweeper.look(
            f"{prefix}/{shard}", listed, known, now=time.monotonic(), apart=apart
        ):
            if sha256 in Named(self._state, self._pins) or self._hindrance():
                continue  # somebody came while the one before was being deleted
            self._leader.require()
            with self._pins.letting_go(sha256):
                hit(Failpoint.BEFORE_SWEEP)
                # not past the Lease: whoever leads then may have promised the object again
                key = object_key(prefix, sha256)
                await self._store.delete(key, timeout=self._leader.remaining())
                hit(Failpoint.AFTER_SWEEP)
            self._metrics.objects_swept.inc()
            log.info("object_swept", extra={"sha256": sha256})
