"""Stored files into Discord messages: as many as go, as large as it takes."""

import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import discord

from trawler_bot import names
from trawler_common.store import Store
from trawler_crds.media_job import MediaFile, MediaJob

SLOWEST: Final = 200_000
"""Bytes a second below which a transfer is given up."""
LEAST: Final = 60.0
"""Seconds that even a small one may take."""


class Delivery:
    """Fetches from the store to disk and sends from there: memory holds a piece at a time."""

    def __init__(self, store: Store, scratch: Path) -> None:
        self._store = store
        self._scratch = scratch

    @asynccontextmanager
    async def files(
        self, job: MediaJob, wanted: Sequence[MediaFile]
    ) -> AsyncIterator[list[discord.File]]:
        """These files, on disk for the length of a block. Raises StoreAway, FileNotFoundError."""
        spoiler = bool(
            job.spec.delivery and job.spec.delivery.discord and job.spec.delivery.discord.spoiler
        )
        with tempfile.TemporaryDirectory(dir=self._scratch, prefix="send-") as folder:
            found: list[discord.File] = []
            try:
                for number, file in enumerate(wanted):
                    path = Path(folder) / str(number)
                    await self._store.save(file.sha256, path, timeout=seconds(file.bytes))
                    found.append(discord.File(path, filename=file.name, spoiler=spoiler))
                yield found
            finally:
                for sent in found:
                    sent.close()

    async def more(
        self, job: MediaJob, channel: discord.abc.Messageable, groups: Sequence[list[MediaFile]]
    ) -> None:
        """What goes beyond the job's own message, ten files each; repeated, it is sent once."""
        for number, group in enumerate(groups, 2):
            async with self.files(job, group) as files:
                await channel.send(
                    files=files,
                    nonce=names.nonce(job.uid, f"album {number}"),
                    allowed_mentions=discord.AllowedMentions.none(),
                )


def seconds(size: int) -> float:
    """How long the transfer of so many bytes may take."""
    return LEAST + size / SLOWEST


def is_too_large(error: discord.HTTPException) -> bool:
    """413 in any form: Discord's own, or a page of what stands before it."""
    return error.status == 413 or error.code == 40005
