"""The only writer of a job's messages: turns the known state of the job into edits."""

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Final

import discord

from trawler_bot.delivery.ending import Ending
from trawler_bot.delivery.message import UNSURE, JobMessage, TokenEnded, Unreachable
from trawler_bot.delivery.rate_limits import RetrySuppressed, once
from trawler_bot.delivery.refusals import DELETED, HINDERED
from trawler_bot.delivery.throttle import APART
from trawler_bot.delivery.tracked_job import TrackedJob
from trawler_bot.jobs import ids
from trawler_bot.jobs.client import age
from trawler_bot.presentation import rendering
from trawler_bot.presentation.i18n import Key, language, say
from trawler_bot.presentation.rendering import Reply, Shown
from trawler_bot.services import Services
from trawler_common import logs, telemetry
from trawler_common.backoff import Backoff
from trawler_common.errors import Permanent, Transient
from trawler_common.failpoints import Failpoint, hit
from trawler_common.kube import NotFound, Rejected
from trawler_common.store import StoreUnavailable
from trawler_crds.keys import ANNOTATION_TRACEPARENT
from trawler_crds.media_job import TERMINAL, MediaJob, Phase
from trawler_crds.messages import Stage

log = logs.get("updater")

LOOK_EVERY: Final = 1.0
"""Seconds after which a message is checked again without new events."""
FIRST_AFTER: Final = 2.0
"""Seconds after the start in which a message is not edited for progress, unless there are figures
to show.
"""
FIGURES_AFTER: Final = 0.6
"""Seconds after the start in which the first figures are not shown either: a job that ends by then
needs none.
"""
PAUSE: Final = 2.0
"""Seconds before a retry."""
LONGEST_PAUSE: Final = 60.0
"""Maximum seconds before a retry; the pause doubles up to this."""
LAST_TRIES: Final = 4
"""Number of retries of the final update if the MediaJob was deleted: its files may still exist."""
REFUSED: Final = 900.0
"""Seconds without a progress edit after a refusal that no retry resolves: a person may remove the
cause.
"""
BEFORE_TRIES: Final = 8
"""Number of attempts to read what an earlier job left in the message, within some minutes."""
LATE: Final = 60.0
"""Age of a job in seconds from which the requester is notified when it is done."""
NEWS: Final = 3.0
"""How much more a change of state matters than a changed figure."""


class MessageUpdater:
    """Edits a job's message until the job ends; nothing is written after the final edit."""

    def __init__(
        self,
        tracked: TrackedJob,
        message: JobMessage,
        services: Services,
        abandon: Callable[[MediaJob], None],
    ) -> None:
        self.tracked = tracked
        tracked.message = message
        self._message = message
        self._services = services
        self._abandon = abandon
        """Called when nobody sees the message of a job any more."""
        self._ending = Ending(tracked, message, services)
        self._born = time.monotonic()
        self._shown: Reply | None = None
        self._shown_at = self._born
        self._shown_state: tuple[Phase, Stage | None] | None = None
        self._before: Shown | None = None
        """The result of an earlier job in the message, which stays until there is a better one."""
        self._refused = Backoff(first=PAUSE, longest=LONGEST_PAUSE)
        again = message.where.replaces is not None  # a person pressed a button and waits
        self._not_before = self._born + (0.0 if again else FIRST_AFTER)
        """When (monotonic seconds) the next progress edit is allowed."""
        self._figures_from = self._born + FIGURES_AFTER
        """When (monotonic seconds) the first figures are allowed even if no other edit is: people
        wait for them.
        """
        self._figured = False
        self._over = False
        """Whether everything was shown, or cannot be; then only the status write is missing."""
        self._why_not: str | None = None
        self._language = language(message.where.locale)

    async def run(self) -> None:
        """Show the progress, then the outcome."""
        self._before = await self._know_before()
        while not self.tracked.over:
            self.tracked.changed.clear()  # first: a change during the edit is processed at once
            await self._progress()
            await self._news(self._until_figures() or LOOK_EVERY)
        if self.tracked.job.status.phase not in TERMINAL:
            await self._show_gone()
            return
        pause, tries = PAUSE, 0
        while True:
            if await self._end():
                return
            tries += self.tracked.gone
            if tries > LAST_TRIES:  # its files are no longer kept
                if not (self._over or self._ending.shown):
                    await self._show_gone()
                return
            await asyncio.sleep(pause)
            pause = min(pause * 2, LONGEST_PAUSE)

    async def _know_before(self) -> Shown | None:
        """Read what an earlier job left in the message, before anything is written. If that cannot
        be read, at least the attached files stay.
        """
        pause = Backoff(longest=LONGEST_PAUSE)
        for _ in range(BEFORE_TRIES):
            try:
                return await self._ending.before()
            except OSError as error:
                log.info("earlier_job_not_known", extra={"error": str(error)})
            await pause.pause()
        return None

    async def _news(self, seconds: float) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self.tracked.changed.wait()

    async def _show_gone(self) -> None:
        """Show that the MediaJob was deleted: it makes no further progress."""
        reply = rendering.gone(self.tracked.job, self._language, shown=self._before)
        try:
            await self._message.edit(reply, None)
        except (discord.HTTPException, TokenEnded, Unreachable, *UNSURE) as error:
            log.info("end_not_shown", extra={"job": self.tracked.job.uid, "error": repr(error)})

    # progress ---------------------------------------------------------------------------------

    def _words(self) -> Reply:
        tracked, job = self.tracked, self.tracked.job
        if job.status.phase is Phase.RUNNING:
            return rendering.running(job, self._language, tracked.progress, shown=self._before)
        return rendering.waiting(job, self._language, tracked.place, shown=self._before)

    def _state(self) -> tuple[Phase, Stage | None]:
        """The phase and stage of the job, without figures."""
        progress = self.tracked.progress
        return self.tracked.job.status.phase, progress.stage if progress is not None else None

    def _has_figures(self) -> bool:
        """Whether the attempt that is shown has received bytes."""
        progress, status = self.tracked.progress, self.tracked.job.status
        if progress is None or status.phase is not Phase.RUNNING:
            return False
        return progress.attempt == status.attempt and progress.bytes > 0

    def _until_figures(self) -> float | None:
        """Seconds until the first figures may be shown, if they are known and wait only for that;
        otherwise None.
        """
        if self._figured or not self._has_figures():
            return None
        left = self._figures_from - time.monotonic()
        return left if 0 < left < LOOK_EVERY else None

    def _may_edit(self) -> bool:
        now = time.monotonic()
        first = not self._figured and self._has_figures() and now >= self._figures_from
        return first or now >= self._not_before

    async def _progress(self) -> None:
        """Make one edit when it is this message's turn. A failed edit is not retried: the next one
        is newer anyway.
        """
        # rendering comes last: each of fifty messages receives progress every second
        if self.tracked.message_gone or not self._may_edit() or self._words() == self._shown:
            return
        if not await self._turn():
            return
        # render the current state, not the one from before the wait
        reply, state, now = self._words(), self._state(), time.monotonic()
        figured = self._has_figures()
        try:
            with once():
                await self._message.edit(reply, None)
        except (discord.HTTPException, RetrySuppressed, TokenEnded, Unreachable, *UNSURE) as error:
            job = self.tracked.job
            log.info("progress_not_shown", extra={"job": job.uid, "error": repr(error)})
            self._not_before = self._figures_from = now + self._wait_after(error)
            return
        self._shown, self._shown_at, self._shown_state = reply, now, state
        self._not_before = now + APART
        self._figured = self._figured or figured
        self._refused.reset()

    async def _turn(self) -> bool:
        """Wait for the turn of this message. Returns whether it came before the job ended."""
        moved = self._state() != self._shown_state
        turn = asyncio.create_task(
            self._services.throttle.turn(
                self._message.bucket, since=self._shown_at, weight=NEWS if moved else 1.0
            )
        )
        try:
            while not (turn.done() or self.tracked.over or self.tracked.message_gone):
                heard = asyncio.create_task(self.tracked.changed.wait())
                await asyncio.wait({turn, heard}, return_when=asyncio.FIRST_COMPLETED)
                heard.cancel()
                self.tracked.changed.clear()
        finally:
            turn.cancel()
            self.tracked.changed.set()  # keep what arrived during the wait
        return turn.done() and not self.tracked.over

    def _wait_after(self, error: Exception) -> float:
        """Seconds to wait after a failed edit. Discord bans clients that make ten thousand refused
        requests in ten minutes (Rate Limits, Invalid Request Limit).
        """
        if isinstance(error, discord.HTTPException) and error.code in DELETED:
            self.tracked.message_gone = True
            self._abandon(self.tracked.job)
            return REFUSED
        if isinstance(error, discord.HTTPException) and error.code in HINDERED:
            return REFUSED
        if isinstance(error, RetrySuppressed | TokenEnded):  # nothing was refused
            return 0.0
        return self._refused.next()

    # the end ----------------------------------------------------------------------------------

    async def _end(self) -> bool:
        """Make the final edit and record it in the status. Returns False if that must be retried. A
        result that was shown is not shown again: then only the status write is retried.
        """
        job = self.tracked.job
        parent = telemetry.root(job.uid, job.metadata.annotations.get(ANNOTATION_TRACEPARENT))
        try:
            if not self._over:
                with telemetry.span("deliver", parent=parent, job=job.name):
                    self._why_not = await self._show(job)
                self._over = True
            noted = await self._services.jobs.note_delivered(
                job, self._ending.noted(), why_not=self._why_not
            )
            hit(Failpoint.BOT_DELIVERED)
        except NotFound:
            return True
        except (Transient, discord.DiscordServerError, *UNSURE) as error:
            log.warning("delivery_waits", extra={"job": job.uid, "error": repr(error)})
            return False
        except Rejected as error:
            log.error("delivery_not_noted", extra={"job": job.uid, "error": str(error)})
            return True
        log.info("delivered", extra={"job": job.uid, "why_not": self._why_not})
        if self._why_not is None and age(noted) > LATE:
            await self._ring(noted)
        return True

    async def _show(self, job: MediaJob) -> str | None:
        """As `Ending.show`, but a bug of ours leads to a reason, too: otherwise the same job would
        hit it again after each restart.
        """
        try:
            return await self._ending.show(job, self._before)
        except (StoreUnavailable, discord.DiscordServerError, *UNSURE):
            raise
        except Exception:
            log.exception("ending_failed", extra={"job": job.uid})
            return "Internal"

    async def _ring(self, job: MediaJob) -> None:
        """Notify a requester who has waited long, unless the job was cancelled. At most once: a
        lost notification is better than a second one.
        """
        if self._message.where.private or job.status.phase is Phase.CANCELLED:
            return
        good = job.status.phase is Phase.SUCCEEDED
        person = f"<@{self._message.where.requester_id}>"
        words = say(self._language, Key.CALL_DONE if good else Key.CALL_FAILED, person=person)
        try:
            await self._message.ring(words, ids.nonce(job.uid, "ring"))
            time_ = job.status.delivery.time if job.status.delivery else None
            shown = self._ending.noted().model_copy(update={"time": time_})
            await self._services.jobs.note_messages(job, shown)
        except (discord.HTTPException, *UNSURE) as error:
            log.info("not_called", extra={"job": job.uid, "error": repr(error)})
        except (Transient, Permanent) as error:
            log.info("call_not_noted", extra={"job": job.uid, "error": str(error)})
