"""How large a file may be here: what Discord says, and what it was seen to refuse."""

import time
from enum import StrEnum

from trawler_bot.storage.database import LIMIT_KEPT, Database
from trawler_common import logs

log = logs.get("limits")


class Route(StrEnum):
    """By which right a message is written; the limits are not the same."""

    TOKEN = "token"  # noqa: S105 - an interaction's, with the requester's own limit
    CHANNEL = "channel"
    """As the bot: what the server allows."""


class UploadLimits:
    """In memory, and written down for the next life. Forgotten after a day."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._learnt: dict[tuple[int, str], tuple[int, float]] = {}

    async def load(self) -> None:
        """What an earlier life learnt."""
        self._learnt = await self._database.limits() | self._learnt

    def of(self, guild_id: int, route: Route, announced: int) -> int:
        """Bytes of one file: never more than announced."""
        most, learnt = self._learnt.get((guild_id, route), (announced, 0.0))
        if time.time() - learnt > LIMIT_KEPT.total_seconds():
            return announced
        return min(most, announced)

    async def learn(self, guild_id: int, route: Route, most: int) -> None:
        """More than this was refused."""
        self._learnt[guild_id, route] = (most, time.time())
        log.info("limit_learnt", extra={"guild": guild_id, "route": route, "limit": most})
        await self._database.learn(guild_id, route, most)
