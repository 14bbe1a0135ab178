"""Upload limits of servers: what Discord announces, and what it was observed to refuse."""

import time
from enum import StrEnum

from trawler_bot.storage.database import LIMIT_KEPT, Database
from trawler_common import logs

log = logs.get("limits")


class Route(StrEnum):
    """How a message is written; each route has its own limits."""

    TOKEN = "token"  # noqa: S105 - an interaction's, with the requester's own limit
    CHANNEL = "channel"
    """With the bot's own permissions: the server's limit applies."""


class UploadLimits:
    """Keeps limits in memory, and stores them for the next process. A learnt limit expires after a
    day.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._learnt: dict[tuple[int, str], tuple[int, float]] = {}

    async def load(self) -> None:
        """Load the limits that an earlier process learnt."""
        self._learnt = await self._database.limits() | self._learnt

    def of(self, guild_id: int, route: Route, announced: int) -> int:
        """Maximum bytes of one file; never more than announced."""
        most, learnt = self._learnt.get((guild_id, route), (announced, 0.0))
        if time.time() - learnt > LIMIT_KEPT.total_seconds():
            return announced
        return min(most, announced)

    async def learn(self, guild_id: int, route: Route, most: int) -> None:
        """Record that Discord refused more than this."""
        self._learnt[guild_id, route] = (most, time.time())
        log.info("limit_learnt", extra={"guild": guild_id, "route": route, "limit": most})
        await self._database.learn(guild_id, route, most)
