"""The MediaQueue of each server: made where it is not there, and how many may wait in it."""

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
"""Seconds for which a server's MediaQueue is not looked at again."""
UNKNOWN: Final = 2.0
"""The same after nobody answered: whoever asks next must not wait for it too."""
LOOK: Final = 0.7
"""Seconds that this look may take, making it included."""
SERVERS: Final = 10_000


class GuildQueues:
    """What was seen of them last."""

    def __init__(self, jobs: Jobs, spec: dict[str, Any]) -> None:
        self._jobs = jobs
        self._spec = spec
        self._looking: dict[int, asyncio.Task[int | None]] = {}
        """Server → the look at its queue that is under way: of many who ask there one looks, and
        nobody waits for the look at another's.
        """
        self._seen: OrderedDict[int, tuple[float, int | None]] = OrderedDict()
        """Server → until when it is not looked at again, and how many may wait."""

    async def most(self, guild_id: int | None) -> int | None:
        """How many may wait in a server's queue; None where nothing bounds them, or nobody
        answers.
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
