"""Provides stored files as Discord attachments, with limited disk space and limited concurrency."""

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
"""Minimum rate of a transfer in bytes per second; a slower transfer is aborted."""
LEAST: Final = 60.0
"""Minimum timeout of a transfer in seconds, for small files."""


UPLOADS: Final = 8
"""Maximum number of concurrent transfers: more would share the same bandwidth, and each would
finish later.
"""


class Attachments:
    """Fetches files from the store to disk and uploads them from there: memory holds one chunk at a
    time.
    """

    def __init__(self, store: Store, scratch: Path, room: int) -> None:
        self._store = store
        self._scratch = scratch
        self._room = Room(room)
        self._uploads = asyncio.Semaphore(UPLOADS)

    @asynccontextmanager
    async def files(
        self, job: MediaJob, wanted: Sequence[MediaFile], *, plain: bool = False
    ) -> AsyncIterator[list[discord.File]]:
        """Provide files on disk for the length of the block, in which they are sent. Without files
        it does not wait. `plain`: file names do not contain text from the site. Raises
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
    """`video-1.mp4`: a name from the kind and the number of a file, instead of the name that the
    site gave it.
    """
    return f"{file.type.partition('/')[0]}-{number + 1}.{file.name.rpartition('.')[2]}"


class Room:
    """Disk space in bytes, shared by all deliveries. Waiters are served in order: otherwise small
    requests would make a large one wait forever.
    """

    def __init__(self, size: int) -> None:
        self._size = self._free = size
        self._changed = asyncio.Condition()
        self._line = asyncio.Lock()

    @asynccontextmanager
    async def taken(self, wanted: int) -> AsyncIterator[None]:
        mine = min(wanted, self._size)  # a request above the total takes all of it
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
    """Timeout in seconds for a transfer of `size` bytes."""
    return LEAST + size / SLOWEST
