"""The store's broom: folder by folder, all day, so that a large store is never listed at once."""

import asyncio
import time

from trawler_common import logs
from trawler_common.crashing import CrashPoint, reach
from trawler_common.store import Store, StoreAway
from trawler_operator.board import Board
from trawler_operator.leader import Leader
from trawler_operator.metrics import Metrics
from trawler_operator.sweeping import SHARDS, Pins, Sweeper, longest_attempt, named

log = logs.get("broom")


class Broom:
    """Lists, asks what may go, and deletes that."""

    def __init__(
        self, *, board: Board, pins: Pins, store: Store, leader: Leader, metrics: Metrics
    ) -> None:
        self._board = board
        self._pins = pins
        self._store = store
        self._leader = leader
        self._metrics = metrics
        self._sweeper = Sweeper(since=time.monotonic())

    async def run(self) -> None:
        """Sweep for ever: every folder once in each time of a longest attempt."""
        while True:
            for shard in SHARDS:
                await asyncio.sleep(longest_attempt(self._board) / len(SHARDS))
                try:
                    await self._sweep(shard)
                except StoreAway as error:
                    log.info("sweep_waits", extra={"error": str(error)})

    async def _sweep(self, shard: str) -> None:
        listed = await self._store.hashes(shard)
        apart = longest_attempt(self._board)
        known = named(self._board, self._pins)
        for sha256 in self._sweeper.look(shard, listed, known, now=time.monotonic(), apart=apart):
            if sha256 in named(self._board, self._pins):
                continue  # somebody came while the one before was being deleted
            self._leader.require()
            with self._pins.letting_go(sha256):
                reach(CrashPoint.BEFORE_SWEEP)
                # not past the Lease: whoever leads then may have promised the object again
                await self._store.delete(sha256, timeout=self._leader.remaining())
                reach(CrashPoint.AFTER_SWEEP)
            self._metrics.objects_swept.inc()
            log.info("object_swept", extra={"sha256": sha256})
