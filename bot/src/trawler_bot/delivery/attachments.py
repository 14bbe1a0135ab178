"""Stored files into Discord messages: as many as go, as large as it takes."""

import asyncio
import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import discord

from trawler_common.store import Store
from trawler_crds.media_job import MediaFile, MediaJob

SLOWEST: Final = 200_000
"""Bytes a second below which a transfer is given up."""
LEAST: Final = 60.0
"""Seconds that even a small one may take."""


UPLOADS: Final = 8
"""Transfers at a time: more would only share one line, and each comes later."""


class Attachments:
    """Fetches from the store to disk and sends from there: memory holds a piece at a time."""

    def __init__(self, store: Store, scratch: Path, room: int) -> None:
        self._store = store
        self._scratch = scratch
        self._room = Room(room)
        self._uploads = asyncio.Semaphore(UPLOADS)

    @asynccontextmanager
    async def files(
        self, job: MediaJob, wanted: Sequence[MediaFile], *, plain: bool = False
    ) -> AsyncIterator[list[discord.File]]:
        """These files, on disk for the length of a block, in which they are sent; nothing waits
        where there is none. `plain`: without the site's words in their names. Raises
        StoreUnavailable, FileNotFoundError.
        """
        if not wanted:
            yield []
            return
        spoiler = bool(
            job.spec.delivery and job.spec.delivery.discord and job.spec.delivery.discord.spoiler
        )
        async with self._room.taken(sum(file.bytes for file in wanted)), self._uploads:
            with tempfile.TemporaryDirectory(dir=self._scratch, prefix="send-") as folder:
                found: list[discord.File] = []
                try:
                    for number, file in enumerate(wanted):
                        path = Path(folder) / str(number)
                        limit = seconds(file.bytes)
                        await self._store.save(file.sha256, file.bytes, path, timeout=limit)
                        name = plain_name(file, number) if plain else file.name
                        found.append(discord.File(path, filename=name, spoiler=spoiler))
                    yield found
                finally:
                    for sent in found:
                        sent.close()


def plain_name(file: MediaFile, number: int) -> str:
    """`video-1.mp4`: its kind and its number, in place of what a site called it."""
    return f"{file.type.partition('/')[0]}-{number + 1}.{file.name.rpartition('.')[2]}"


class Room:
    """Bytes of disk, shared by all deliveries. Who finds too few waits, and those who come later
    wait behind: else small ones would keep a large one waiting for ever.
    """

    def __init__(self, size: int) -> None:
        self._size = self._free = size
        self._changed = asyncio.Condition()
        self._line = asyncio.Lock()

    @asynccontextmanager
    async def taken(self, wanted: int) -> AsyncIterator[None]:
        mine = min(wanted, self._size)  # more than there is goes alone
        async with self._line, self._changed:
            await self._changed.wait_for(lambda: self._free >= mine)
            self._free -= mine
        try:
            yield
        finally:
            async with self._changed:
                self._free += mine
                self._changed.notify_all()


def seconds(size: int) -> float:
    """How long the transfer of so many bytes may take."""
    return LEAST + size / SLOWEST
