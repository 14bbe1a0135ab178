"""Steps 4 and 5 of a request: the message that shows its job, and who looks after it from then
on.
"""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

import discord

from trawler_bot.delivery.message import UNSURE, view
from trawler_bot.delivery.tracker import JobTracker
from trawler_bot.interactions import request as requests
from trawler_bot.interactions.urls import Link
from trawler_bot.presentation import rendering
from trawler_bot.presentation.i18n import language
from trawler_bot.services import Services
from trawler_bot.storage.database import PATIENCE, InteractionToken, Request
from trawler_common import logs
from trawler_common.errors import Permanent, Transient
from trawler_common.failpoints import Failpoint, hit
from trawler_common.kube import NotFound
from trawler_crds.media_job import DeliveryStatus, MediaJob

log = logs.get("submission")


class Responder:
    """Answers people first, and records afterwards which messages the answers are."""

    def __init__(self, tracker: JobTracker, services: Services) -> None:
        self._tracker = tracker
        self._services = services
        self._unanswered = 0
        """People who are waiting for their answer."""

    @contextmanager
    def answering(self, name: str) -> Iterator[None]:
        """In this block the answer that shows the job is sent and recorded."""
        with self._tracker.answering(name), self._services.throttle.answers_first():
            yield

    @contextmanager
    def awaited(self) -> Iterator[None]:
        """In this block a person waits for an answer."""
        self._unanswered += 1
        try:
            yield
        finally:
            self._unanswered -= 1

    async def calm(self) -> None:
        """Wait, for a second at most, until everybody has an answer."""
        for _ in range(20):
            if not self._unanswered:
                return
            await asyncio.sleep(0.05)

    async def show_and_note(
        self,
        job: MediaJob,
        shown: DeliveryStatus | None,
        token: InteractionToken,
        asked: Request,
    ) -> None:
        """`show`, and remember the request."""
        note = self._services.database.note(asked, token, patience=PATIENCE)
        await asyncio.gather(note, self.show(job, shown, token))

    async def show(
        self, job: MediaJob, shown: DeliveryStatus | None, token: InteractionToken
    ) -> None:
        """Record that these messages show the job; unknown ones are searched for."""
        if shown is None or shown.message_id is None:
            self._tracker.recover(job, token)
            return
        gone = False
        try:
            job = await self._services.jobs.note_messages(job, shown)
            hit(Failpoint.BOT_NOTED)
        except (Transient, Permanent) as error:
            gone = isinstance(error, NotFound)  # the watch will not tell of it once more
            log.warning("message_not_noted", extra={"job": job.uid, "error": str(error)})
            status = job.status.model_copy(update={"delivery": shown})
            job = job.model_copy(update={"status": status})
        self._tracker.follow(job, token, gone=gone)

    async def follow_all(
        self, interaction: discord.Interaction, jobs: list[tuple[MediaJob, Link]]
    ) -> None:
        """Give each of several jobs a message of its own, and remember the requests."""
        for job, _ in jobs:
            self._tracker.recover(job)
        for job, link in jobs:
            asked = requests.request(interaction, job.name, link.written)
            await self._services.database.note(asked, None, patience=PATIENCE)


async def respond(interaction: discord.Interaction, job: MediaJob) -> DeliveryStatus | None:
    """Send the message itself, at once. None where nobody knows whether it was sent."""
    where = job.spec.delivery.discord if job.spec.delivery else None
    reply = rendering.waiting(job, language(where.locale if where else None))
    try:
        made = await interaction.response.send_message(
            reply.content,
            view=view(reply) or discord.utils.MISSING,
            ephemeral=bool(where and where.private),
            allowed_mentions=discord.AllowedMentions.none(),
        )
    except (discord.HTTPException, *UNSURE) as error:
        log.warning("answer_lost", extra={"job": job.uid, "error": repr(error)})
        return None
    hit(Failpoint.BOT_ANSWERED)
    return DeliveryStatus(message_id=str(made.message_id)) if made.message_id else None
