"""Looks up the MediaQueue of each server: creates a missing one, and tells how many jobs may wait
in it.
"""

import asyncio
import time
from collections import OrderedDict
from typing import Any, Final

from trawler_bot.jobs import ids
from trawler_bot.jobs.client import Jobs
from trawler_common import logs
from trawler_common.kube import ApiUnavailable, Rejected

log = logs.get("queues")

KNOWN: Final = 60.0
"""Seconds for which the limit of a server's MediaQueue is cached."""
UNKNOWN: Final = 2.0
"""The same after a failed lookup: the next request must not wait for the API server, too."""
LOOK: Final = 0.7
"""Timeout in seconds for a lookup, including the creation."""
SERVERS: Final = 10_000


class GuildQueues:
    """Caches the limits of the servers' MediaQueues."""

    def __init__(self, jobs: Jobs, spec: dict[str, Any]) -> None:
        self._jobs = jobs
        self._spec = spec
        self._looking: dict[int, asyncio.Task[int | None]] = {}
        """Server → its lookup in progress. Concurrent requests from one server share a lookup, and
        no request waits for another server's lookup.
        """
        self._seen: OrderedDict[int, tuple[float, int | None]] = OrderedDict()
        """Server → when (monotonic seconds) the entry expires, and how many jobs may wait."""

    async def most(self, guild_id: int | None) -> int | None:
        """How many jobs may wait in a server's queue; None if there is no limit, or if it is
        unknown.
        """
        if guild_id is None:
            return None
        good_until, most = self._seen.get(guild_id, (0.0, None))
        if time.monotonic() < good_until:
            return most
        looking = self._looking.get(guild_id)
        if looking is None:
            looking = asyncio.create_task(self._look(guild_id, most), name=f"queue of {guild_id}")
            self._looking[guild_id] = looking
            looking.add_done_callback(lambda _: self._looking.pop(guild_id, None))
        return await asyncio.shield(looking)

    async def _look(self, guild_id: int, most: int | None) -> int | None:
        kept = KNOWN
        try:
            async with asyncio.timeout(LOOK):
                spec = await self._jobs.queue(ids.queue(guild_id), self._spec)
            most = spec.max_queued
        except (ApiUnavailable, Rejected, TimeoutError) as error:
            log.warning("queue_not_known", extra={"guild": guild_id, "error": str(error)})
            kept = UNKNOWN
        self._seen[guild_id] = (time.monotonic() + kept, most)
        self._seen.move_to_end(guild_id)
        if len(self._seen) > SERVERS:
            self._seen.popitem(last=False)
        return most
