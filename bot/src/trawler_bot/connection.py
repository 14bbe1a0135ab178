"""Keeps the bot connected to Discord with the token from its file. A token that Discord refuses is
logged once and not tried again until the file changes: ten thousand refusals lead to a ban.
"""

import asyncio
from pathlib import Path
from typing import Final

import discord

from trawler_bot.bot import Bot
from trawler_bot.delivery.message import UNSURE
from trawler_bot.delivery.upload_limits import UploadLimits
from trawler_bot.storage.database import Database
from trawler_common import logs

log = logs.get("connection")

LOOK_EVERY: Final = 5.0
"""Seconds between two checks of a refused token's file."""
DATABASE: Final = 3.0
"""Seconds for which the start waits for the database; after that the bot starts without its data.
"""
REFUSED: Final = 4004
"""Close code: authentication failed."""


class TokenChanged(Exception):
    """The token was refused and has changed. A refused client cannot start again, so the process
    restarts with the new token.
    """


class Connection:
    """The connection of one client, which is started once."""

    def __init__(self, bot: Bot, token_file: Path, stop: asyncio.Event) -> None:
        self._stop = stop
        self._bot = bot
        self._file = token_file
        self._refused = False

    def ready(self) -> bool:
        """Whether the bot answers people."""
        return self._bot.is_ready() and not self._refused

    async def run(self, database: Database, limits: UploadLimits) -> None:
        """Stay connected until told to stop. Raises TokenChanged, and RuntimeError if the client
        ends by itself.
        """
        token = await self._accepted()
        await database.settled(DATABASE)
        await limits.load()
        try:
            await self._bot.start(token)
        except discord.ConnectionClosed as error:
            if error.code != REFUSED:
                raise
        except discord.LoginFailure:
            pass
        else:
            if self._stop.is_set():
                return
            raise RuntimeError("the client ended without being told to")
        self._refused = True
        log.error("token_refused", extra={"file": str(self._file)})
        await self._another(token)
        raise TokenChanged(str(self._file))

    async def _accepted(self) -> str:
        """The token from its file, once Discord accepts it."""
        while True:
            token = self._file.read_text().strip()
            async with discord.Client(intents=discord.Intents(guilds=True)) as asking:
                try:
                    await asking.login(token)
                except discord.LoginFailure:
                    log.error("token_refused", extra={"file": str(self._file)})
                except (discord.HTTPException, *UNSURE) as error:
                    log.warning("discord_away", extra={"error": repr(error)})
                    await asyncio.sleep(LOOK_EVERY)
                    continue
                else:
                    return token
            await self._another(token)

    async def _another(self, token: str) -> None:
        """Wait until the file holds another token."""
        while True:
            await asyncio.sleep(LOOK_EVERY)
            if self._file.read_text().strip() != token:
                return
