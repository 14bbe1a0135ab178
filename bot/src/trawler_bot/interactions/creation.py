"""Step 3 of a request: its MediaJob."""

import asyncio
from dataclasses import replace

import discord

from trawler_bot.delivery.tracker import JobTracker
from trawler_bot.delivery.upload_limits import Route
from trawler_bot.interactions import request as requests
from trawler_bot.interactions.request import DownloadRequest
from trawler_bot.interactions.urls import Link
from trawler_bot.jobs import ids
from trawler_bot.jobs.client import delivered
from trawler_bot.services import Services
from trawler_bot.storage.database import InteractionToken, Request
from trawler_common import logs
from trawler_common.errors import Permanent, Transient
from trawler_crds.media_job import MediaJob, MediaJobSpec

log = logs.get("submission")


class JobCreator:
    """Creates MediaJobs by names that make a repeated request the same job."""

    def __init__(self, tracker: JobTracker, services: Services, *, shrink: bool) -> None:
        self._tracker = tracker
        self._services = services
        self._shrink = shrink

    def spec(
        self, interaction: discord.Interaction, link: Link, wanted: DownloadRequest
    ) -> MediaJobSpec:
        """Of the MediaJob for a link."""
        return requests.spec(interaction, link, wanted, fit=self._fit(interaction))

    def _fit(self, interaction: discord.Interaction) -> int | None:
        """Bytes that a file should have at most, to be attached here; None where files are not made
        smaller.
        """
        if not self._shrink:
            return None
        announced = interaction.filesize_limit
        return self._services.limits.of(interaction.guild_id or 0, Route.TOKEN, announced)

    async def create(
        self, asked: Request, spec: MediaJobSpec, token: InteractionToken | None
    ) -> MediaJob:
        """Create one job. The token, where it is needed after a restart, is stored before the
        answer. Raises ApiUnavailable, Rejected, NotFound.
        """
        note = self._services.database.note
        noting = asyncio.create_task(note(asked, token)) if token else None
        try:
            return await self._services.jobs.create(asked.job, spec)
        finally:
            if noting is not None:
                await noting

    async def create_all(
        self,
        interaction: discord.Interaction,
        wanted: list[Link],
        like: DownloadRequest,
        *,
        names: list[str] | None = None,
    ) -> list[tuple[MediaJob, Link]]:
        """Create a job for each link at once, and return those that could be created. With `names`,
        two presses make one job as long as the first has not ended.
        """
        own = [ids.job(interaction.id, at) for at in range(1, len(wanted) + 1)]

        async def create(name: str, other: str, link: Link) -> MediaJob | None:
            spec = self.spec(interaction, link, replace(like, text=link.written))
            try:
                made = await self._services.jobs.create(name, spec)
                if name != other and delivered(made):  # it is wanted once more
                    made = await self._services.jobs.create(other, spec)
            except (Transient, Permanent) as error:
                log.warning("not_accepted", extra={"error": str(error)})
                if name == other:
                    # else an earlier press may have created it, and it is not ours to cancel
                    self._tracker.disown(name)
                return None
            return made

        made = await asyncio.gather(*map(create, names or own, own, wanted))
        return [(job, link) for job, link in zip(made, wanted, strict=True) if job is not None]
