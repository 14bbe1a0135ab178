"""Deletes the MediaQueues of servers that the bot has left, once nothing is lost with them."""

import asyncio
import time
from collections.abc import Callable
from typing import Final

from trawler_bot.jobs import ids
from trawler_bot.jobs.client import Jobs
from trawler_common import logs
from trawler_common.errors import Permanent, Transient
from trawler_common.kube import Conflict, NotFound, Rejected
from trawler_crds.keys import LABEL_MANAGED_BY, MANAGED_BY_BOT
from trawler_crds.media_queue import MediaQueue

log = logs.get("left_guilds")

EVERY: Final = 3600.0
"""Seconds between two checks of all queues."""
AT_ONCE: Final = 100
"""Maximum number of queues that one check deletes: the next check continues."""


def deletable(queue: MediaQueue, served: Callable[[int], bool], today: str) -> bool:
    """Whether a queue was created by the bot, is unchanged and idle, and belongs to a server that
    is not `served`. Its status is up to 30 s old, so `served` also considers current jobs. A queue
    that stored bytes today stays until the day (UTC) is over: otherwise people who have used up the
    daily share could remove the bot and invite it again.
    """
    guild = ids.guild_of(queue.name)
    labels, status = queue.metadata.labels, queue.status
    return (
        guild is not None
        and labels.get(LABEL_MANAGED_BY) == MANAGED_BY_BOT
        and queue.metadata.generation == 1
        and not (status.queued or status.running)
        and (status.day != today or not status.day_bytes)
        and not served(guild)
    )


class LeftGuilds:
    """Deletes such queues periodically."""

    def __init__(self, jobs: Jobs, served: Callable[[int], bool]) -> None:
        self._jobs = jobs
        self._served = served
        """Whether the bot is in a server or works for it, or another process is responsible for it.
        """

    async def run(self, connected: asyncio.Event) -> None:
        """Check forever; the first check waits until Discord has reported all servers."""
        await connected.wait()
        while True:
            await self.look()
            await asyncio.sleep(EVERY)

    async def look(self) -> None:
        """Make one check. A failure is left for the next check."""
        today = time.strftime("%Y-%m-%d", time.gmtime())
        deleted = 0
        try:
            async for queue in self._jobs.queues():
                if deleted < AT_ONCE and deletable(queue, self._served, today):
                    deleted += await self._delete(queue)
        except (Transient, Permanent) as error:
            log.warning("queues_not_looked_at", extra={"error": str(error)})

    async def _delete(self, queue: MediaQueue) -> bool:
        try:
            await self._jobs.delete_queue(queue)
        except (Conflict, NotFound):
            return False  # it changed meanwhile: the next check decides
        except Rejected as error:  # only this queue is affected
            log.warning("queue_not_deleted", extra={"queue": queue.name, "error": str(error)})
            return False
        log.info("queue_deleted", extra={"queue": queue.name})
        return True
