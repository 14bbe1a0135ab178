"""The one writer of a job's message: what is known of the job goes in, edits come out."""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

import discord

from trawler_bot import delivery, fitting, names, replies
from trawler_bot.delivery import is_too_large
from trawler_bot.desk import Desk
from trawler_bot.jobs import age
from trawler_bot.limits import Route
from trawler_bot.rates import NotNow, once
from trawler_bot.replies import Reply
from trawler_bot.sheet import UNSURE, Sheet, TokenEnded, Unreachable
from trawler_bot.texts import Key, language, say
from trawler_common import logs, telemetry
from trawler_common.backoff import Backoff
from trawler_common.crashing import CrashPoint, reach
from trawler_common.kube import ApiAway, Conflict, Missing, Refused
from trawler_common.store import StoreAway
from trawler_crds.keys import ANNOTATION_TRACEPARENT
from trawler_crds.media_job import TERMINAL, MediaFile, MediaJob, Phase
from trawler_crds.messages import Place, Progress

log = logs.get("teller")

LOOK_EVERY: Final = 1.0
"""Seconds after which a message is looked at again though nothing new was heard."""
PAUSE: Final = 2.0
"""Seconds before the same thing is tried again."""
LONGEST_PAUSE: Final = 60.0
"""The pause doubles up to this."""
LAST_TRIES: Final = 4
"""How often the end of a job is tried again whose MediaJob was deleted: its files may still be there."""
REFUSED: Final = 900.0
"""Seconds without an edit of progress where Discord refuses what no repetition changes: somebody may."""
LATE: Final = 60.0
"""Seconds after which the requester is called when it is done."""
GONE: Final = {10003: "ChannelGone", 10008: "MessageGone", 50001: "NoAccess"}
HINDERED: Final = {
    50007: "CannotMessage",
    50013: "NoPermission",
    50083: "ThreadLocked",
    30046: "TooOldToEdit",
    160005: "ThreadLocked",
    200000: "BlockedByAutoMod",
    200001: "BlockedByAutoMod",
}
"""Refusals that no repetition changes → reason of the condition Delivered."""
PASSING: Final = frozenset({401, 408, 429})
"""Of what Discord refuses, what another time may grant: a token that is being changed, a limit."""
ANEW: Final = frozenset({30046, 50083})
"""Refusals of an edit after which a new message may go: an old message, an archived thread (which a
message opens again, unless it is locked)."""


@dataclass
class Known:
    """What was heard of a job last."""

    job: MediaJob
    place: Place | None = None
    progress: Progress | None = None
    gone: bool = False
    """The MediaJob was deleted."""
    changed: asyncio.Event = field(default_factory=asyncio.Event)

    def see(self, job: MediaJob) -> None:
        """Older sights change nothing."""
        if int(job.version or 0) >= int(self.job.version or 0):
            self.job = job
            self.changed.set()


class Teller:
    """Edits until the end; nothing is written after the last edit."""

    def __init__(self, known: Known, sheet: Sheet, desk: Desk) -> None:
        self.known = known
        self._sheet = sheet
        self._desk = desk
        self._born = time.monotonic()
        self._shown: Reply | None = None
        self._shown_end = False
        """The last edit was made, with the files of the first message."""
        self._sent: set[str] = set()
        """Further messages that were sent."""
        self._refused = Backoff(first=PAUSE, longest=LONGEST_PAUSE)
        self._not_before = 0.0
        """When (monotonic) the next edit of progress may go, after one that was not taken."""
        self._over = False
        """All of it was shown, or cannot be; only the note is missing."""
        self._why_not: str | None = None
        self._language = language(sheet.where.locale)

    async def run(self) -> None:
        """Show how it goes, then how it went."""
        while self.known.job.status.phase not in TERMINAL and not self.known.gone:
            self.known.changed.clear()  # first: what changes meanwhile is looked at at once
            await self._progress()
            try:
                async with asyncio.timeout(LOOK_EVERY):
                    await self.known.changed.wait()
            except TimeoutError:
                continue
        if self.known.job.status.phase not in TERMINAL:
            await self._show_gone()
            return
        pause, tries = PAUSE, 0
        while True:
            if await self._end():
                return
            tries += self.known.gone
            if tries > LAST_TRIES:  # nothing of it is kept any more
                if not (self._over or self._shown_end):
                    await self._show_gone()
                return
            await asyncio.sleep(pause)
            pause = min(pause * 2, LONGEST_PAUSE)

    async def _show_gone(self) -> None:
        """The MediaJob was deleted: nobody goes on with it."""
        try:
            await self._sheet.edit(replies.gone(self.known.job, self._language), [])
        except (discord.HTTPException, TokenEnded, Unreachable, *UNSURE) as error:
            log.info("end_not_shown", extra={"job": self.known.job.uid, "error": repr(error)})

    async def _progress(self) -> None:
        """One edit within the budget; never repeated, the next one says more anyway."""
        job, known = self.known.job, self.known
        if job.status.phase is Phase.RUNNING:
            reply = replies.running(job, self._language, known.progress)
        else:
            reply = replies.waiting(job, self._language, known.place)
        now = time.monotonic()
        if reply == self._shown or now < self._not_before:
            return
        if self._desk.rates.low(self._sheet.bucket):
            return
        channel_id = int(self._sheet.where.channel_id)
        if not self._desk.budget.take(channel_id, born=self._born, now=now):
            return
        try:
            with once():
                await self._sheet.edit(reply, [])
        except (discord.HTTPException, NotNow, TokenEnded, Unreachable, *UNSURE) as error:
            log.info("progress_not_shown", extra={"job": job.uid, "error": repr(error)})
            self._not_before = now + self._wait_after(error)
            return
        self._shown = reply
        self._refused.reset()

    def _wait_after(self, error: Exception) -> float:
        """Seconds. Whoever makes ten thousand refused requests in ten minutes is banned (Discord: Rate
        Limits, Invalid Request Limit).
        """
        if isinstance(error, discord.HTTPException) and error.code in GONE | HINDERED:
            return REFUSED
        if isinstance(error, NotNow | TokenEnded):  # nothing was refused
            return 0.0
        return self._refused.next()

    # the end ----------------------------------------------------------------------------------

    async def _end(self) -> bool:
        """The last edit, and the note that it was made; False where it is to be tried again. What was
        shown is not shown again: then only the note is left.
        """
        job = self.known.job
        parent = telemetry.root(job.uid, job.metadata.annotations.get(ANNOTATION_TRACEPARENT))
        try:
            if not self._over:
                with telemetry.span("deliver", parent=parent, job=job.name):
                    self._why_not = await self._show_end(job)
                self._over = True
            noted = await self._desk.jobs.note_delivered(
                job, self._sheet.message_id, why_not=self._why_not
            )
            reach(CrashPoint.BOT_DELIVERED)
        except Missing:
            return True
        except (ApiAway, Conflict, StoreAway, discord.DiscordServerError, *UNSURE) as error:
            log.warning("delivery_waits", extra={"job": job.uid, "error": repr(error)})
            return False
        except Refused as error:
            log.error("delivery_not_noted", extra={"job": job.uid, "error": str(error)})
            return True
        log.info("delivered", extra={"job": job.uid, "why_not": self._why_not})
        if self._why_not is None and age(noted) > LATE:
            await self._ring(job)
        return True

    async def _show_end(self, job: MediaJob) -> str | None:
        """Why it could not be shown, as a word; None where it was. Raises what may pass."""
        stored = job.status.files or [] if job.status.phase is Phase.SUCCEEDED else []
        refusals = 0
        while True:
            plan, limit, others = self._plan(stored, without=refusals > fitting.STEPS)
            reply = replies.ended(
                job,
                self._language,
                too_large=plan.too_large,
                links=await self._links(job, plan.too_large),
                limit=limit,
            )
            sent = plan.messages[0] if plan.messages else []
            route, bound = self._sheet.route, limit
            try:
                if not self._shown_end:
                    await self._send(job, reply, sent)
                for sent in plan.messages[1:]:
                    route, bound = self._sheet.further[0], others
                    await self._send_more(job, sent)
            except FileNotFoundError:
                return "ObjectGone"
            except TokenEnded:
                continue
            except Unreachable:
                return await self._send_anew(job, reply, plan, directly=True)
            except discord.HTTPException as error:
                if is_too_large(error) and sent and refusals <= fitting.STEPS:
                    refusals += 1
                    self._shown_end = False  # what does not fit is named there
                    await self._learn(route, bound, sent)
                    continue
                if error.code in ANEW and not self._sheet.where.private:
                    return await self._send_anew(job, reply, plan, directly=False)
                return self._hindrance(error)
            return None

    def _plan(self, stored: Sequence[MediaFile], *, without: bool) -> tuple[fitting.Plan, int, int]:
        """Which files go, by what was learnt; the limit of the first message, which is told, and that
        of the others. Refused too often, all are shown without files: that much always arrives.
        """
        limits, guild_id = self._desk.limits, self._sheet.guild_id
        limit = limits.of(guild_id, self._sheet.route, self._sheet.announced)
        route, announced = self._sheet.further
        others = limits.of(guild_id, route, announced)
        return fitting.fit(stored, 0 if without else limit, others), limit, others

    async def _learn(self, route: Route, limit: int, refused: Sequence[MediaFile]) -> None:
        less = fitting.step_down(limit, refused)
        await self._desk.limits.learn(self._sheet.guild_id, route, less)

    async def _links(self, job: MediaJob, files: Sequence[MediaFile]) -> dict[str, str]:
        """Where each of them can be fetched instead, by its hash."""
        found = {file.sha256: await self._desk.publishing.link(job, file) for file in files}
        return {sha256: link for sha256, link in found.items() if link is not None}

    async def _send(self, job: MediaJob, reply: Reply, own: list[MediaFile]) -> None:
        """The last edit, with the first ten files."""
        async with self._desk.delivery.files(job, own) as files:
            reach(CrashPoint.BOT_ENDING)
            async with asyncio.timeout(delivery.seconds(sum(file.bytes for file in own))):
                await self._sheet.edit(reply, files)
            reach(CrashPoint.BOT_SHOWN)
        self._shown_end = True

    async def _send_more(self, job: MediaJob, group: list[MediaFile]) -> None:
        """Ten more in a message beside, once: known by its first file."""
        part = f"album {group[0].sha256}"
        if part in self._sent:
            return
        async with self._desk.delivery.files(job, group) as files:
            async with asyncio.timeout(delivery.seconds(sum(file.bytes for file in group))):
                await self._sheet.send(files, names.nonce(job.uid, part))
        self._sent.add(part)

    async def _send_anew(
        self, job: MediaJob, reply: Reply, plan: fitting.Plan, *, directly: bool
    ) -> str | None:
        """In a new message, sent once; as `_show_end`. Where its files are too large it goes without:
        it still says what there is.
        """
        own = plan.messages[0] if plan.messages else []
        for files_of in (own, []) if own else (own,):
            try:
                async with self._desk.delivery.files(job, files_of) as files:
                    nonce = names.nonce(job.uid, "anew")
                    await self._sheet.anew(reply, files, nonce, directly=directly)
                for group in () if directly else plan.messages[1:]:
                    await self._send_more(job, group)
            except FileNotFoundError:
                return "ObjectGone"
            except discord.HTTPException as error:
                if is_too_large(error) and files_of:
                    continue
                return self._hindrance(error)
            return None
        return "TooLarge"

    def _hindrance(self, error: discord.HTTPException) -> str:
        """The word for what no repetition changes. Raises what may pass."""
        word = GONE.get(error.code) or HINDERED.get(error.code)
        if word is not None:
            return word
        if isinstance(error, discord.DiscordServerError) or error.status in PASSING:
            raise OSError(f"Discord: {error.status}") from error
        log.error("edit_refused", extra={"job": self.known.job.uid, "error": str(error)})
        return "Refused"

    async def _ring(self, job: MediaJob) -> None:
        """Call who has waited long. At most once: a lost call is better than a second one."""
        if self._sheet.where.private:
            return
        good = job.status.phase is Phase.SUCCEEDED
        words = say(self._language, Key.RING_DONE if good else Key.RING_FAILED)
        try:
            await self._sheet.ring(words, names.nonce(job.uid, "ring"))
        except (discord.HTTPException, *UNSURE) as error:
            log.info("not_called", extra={"job": job.uid, "error": repr(error)})
