"""Sends the pod's presence, which is its lease: every five seconds and after each change, and more
often until an operator replies.
"""

import asyncio
import time
from typing import Final

from trawler_common import logs
from trawler_common.bus import Bus, RequestTimeout
from trawler_crds import subjects
from trawler_crds.messages import Presence, Seen
from trawler_worker.agent.job_table import JobTable

log = logs.get("presence")

EVERY: Final = 5.0
AGAIN: Final = 0.5
"""Seconds between attempts while no operator replies."""


class Heartbeat:
    """Reports to the operator what this pod holds."""

    def __init__(self, bus: Bus, job_table: JobTable, *, install: str, pod: str, pool: str) -> None:
        self._bus = bus
        self._job_table = job_table
        self._subject = subjects.presence(install, pod)
        self._pool = pool
        self._sequence = time.time_ns() // 1000  # increases across restarts of this container, too
        self.seen_at = time.monotonic()
        """When an operator last replied (monotonic)."""
        self.seen_once = False

    def tick(self) -> int:
        """The next sequence number. A message with a higher number is newer."""
        self._sequence += 1
        return self._sequence

    def silence(self) -> float:
        """Seconds since an operator last replied."""
        return time.monotonic() - self.seen_at

    def compose(self) -> Presence:
        job_table = self._job_table
        return Presence(
            pool=self._pool,
            sequence=self.tick(),
            free=job_table.free(),
            taken=len(job_table.works),
            draining=job_table.draining,
            held=job_table.held(),
        )

    async def run(self) -> None:
        """Send presence forever."""
        while True:
            self._job_table.changed.clear()
            heard = await self._speak()
            try:
                async with asyncio.timeout(EVERY if heard else AGAIN):
                    await self._job_table.changed.wait()
            except TimeoutError:
                continue
            if not heard:
                await asyncio.sleep(AGAIN)

    async def _speak(self) -> bool:
        try:
            await self._bus.request(self._subject, self.compose(), Seen, timeout=2)
        except RequestTimeout:
            return False
        self.seen_at = time.monotonic()
        self.seen_once = True
        return True
