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
from trawler_bot.rates import NotNow, once
from trawler_bot.replies import Reply
from trawler_bot.sheet import Sheet, TokenEnded, Unreachable
from trawler_bot.texts import Key, language, say
from trawler_common import logs, telemetry
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
ANEW: Final = frozenset({30046, 50083})
"""Refusals of an edit after which a new message may go: an old message, an archived thread (which a
message opens again, unless it is locked)."""


@dataclass
class Known:
    """What was heard of a job last."""

    job: MediaJob
    place: Place | None = None
    progress: Progress | None = None
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
        self._language = language(sheet.where.locale)

    async def run(self) -> None:
        """Show how it goes, then how it went."""
        while self.known.job.status.phase not in TERMINAL:
            self.known.changed.clear()  # first: what changes meanwhile is looked at at once
            await self._progress()
            try:
                async with asyncio.timeout(LOOK_EVERY):
                    await self.known.changed.wait()
            except TimeoutError:
                continue
        while True:
            if await self._end():
                return
            await asyncio.sleep(PAUSE)

    async def _progress(self) -> None:
        """One edit within the budget; never repeated, the next one says more anyway."""
        job, known = self.known.job, self.known
        if job.status.phase is Phase.RUNNING:
            reply = replies.running(job, self._language, known.progress)
        else:
            reply = replies.waiting(job, self._language, known.place)
        if reply == self._shown or self._desk.rates.low(self._sheet.bucket):
            return
        channel_id = int(self._sheet.where.channel_id)
        now = time.monotonic()
        if not self._desk.budget.take(channel_id, born=self._born, now=now):
            return
        try:
            with once():
                await self._sheet.edit(reply, [])
        except (discord.HTTPException, NotNow, TokenEnded, Unreachable, OSError) as error:
            log.info("progress_not_shown", extra={"job": job.uid, "error": repr(error)})
            return
        self._shown = reply

    # the end ----------------------------------------------------------------------------------

    async def _end(self) -> bool:
        """The last edit, and the note that it was made; False where it is to be tried again."""
        job = self.known.job
        parent = telemetry.root(job.uid, job.metadata.annotations.get(ANNOTATION_TRACEPARENT))
        try:
            with telemetry.span("deliver", parent=parent, job=job.name):
                why_not = await self._show_end(job)
            noted = await self._desk.jobs.note_delivered(
                job, self._sheet.message_id, why_not=why_not
            )
            reach(CrashPoint.BOT_DELIVERED)
        except Missing:
            return True
        except (ApiAway, Conflict, StoreAway, OSError, discord.DiscordServerError) as error:
            log.warning("delivery_waits", extra={"job": job.uid, "error": repr(error)})
            return False
        except Refused as error:
            log.error("delivery_not_noted", extra={"job": job.uid, "error": str(error)})
            return True
        log.info("delivered", extra={"job": job.uid, "why_not": why_not})
        if why_not is None and age(noted) > LATE:
            await self._ring(job)
        return True

    async def _show_end(self, job: MediaJob) -> str | None:
        """Why it could not be shown, as a word; None where it was. Raises what may pass."""
        stored = job.status.files or [] if job.status.phase is Phase.SUCCEEDED else []
        refusals = 0
        while True:
            route = self._sheet.route
            limit = self._desk.limits.of(self._sheet.guild_id, route, self._sheet.announced)
            # refused so often, it is shown without files: that much always arrives
            plan = fitting.fit(stored, limit if refusals <= fitting.STEPS else 0)
            own = plan.messages[0] if plan.messages else []
            reply = replies.ended(
                job,
                self._language,
                too_large=plan.too_large,
                links=await self._links(job, plan.too_large),
                limit=limit,
            )
            try:
                await self._send(job, reply, plan.messages)
            except FileNotFoundError:
                return "ObjectGone"
            except TokenEnded:
                continue
            except Unreachable:
                return await self._send_anew(job, reply, own, directly=True)
            except discord.HTTPException as error:
                if is_too_large(error) and own and refusals <= fitting.STEPS:
                    refusals += 1
                    less = fitting.step_down(limit, own)
                    await self._desk.limits.learn(self._sheet.guild_id, route, less)
                    continue
                if error.code in ANEW and not self._sheet.where.private:
                    return await self._send_anew(job, reply, own, directly=False)
                return self._hindrance(error)
            return None

    async def _links(self, job: MediaJob, files: Sequence[MediaFile]) -> dict[str, str]:
        """Where each of them can be fetched instead, by its hash."""
        found = {file.sha256: await self._desk.publishing.link(job, file) for file in files}
        return {sha256: link for sha256, link in found.items() if link is not None}

    async def _send(self, job: MediaJob, reply: Reply, groups: list[list[MediaFile]]) -> None:
        """The last edit with the first ten files, and what goes beyond in further messages."""
        own, *others = groups or [[]]
        async with self._desk.delivery.files(job, own) as files:
            reach(CrashPoint.BOT_ENDING)
            async with asyncio.timeout(delivery.seconds(sum(file.bytes for file in own))):
                await self._sheet.edit(reply, files)
            reach(CrashPoint.BOT_SHOWN)
        for number, group in enumerate(others, 2):
            async with self._desk.delivery.files(job, group) as files:
                await self._sheet.send(files, names.nonce(job.uid, f"album {number}"))

    async def _send_anew(
        self, job: MediaJob, reply: Reply, own: list[MediaFile], *, directly: bool
    ) -> str | None:
        """In a new message, sent once; as `_show_end`."""
        try:
            async with self._desk.delivery.files(job, own) as files:
                nonce = names.nonce(job.uid, "anew")
                await self._sheet.anew(reply, files, nonce, directly=directly)
        except FileNotFoundError:
            return "ObjectGone"
        except discord.HTTPException as error:
            return self._hindrance(error)
        return None

    def _hindrance(self, error: discord.HTTPException) -> str:
        """The word for what no repetition changes. Raises what may pass."""
        word = GONE.get(error.code) or HINDERED.get(error.code)
        if word is not None:
            return word
        if isinstance(error, discord.DiscordServerError) or error.status == 429:
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
        except (discord.HTTPException, OSError) as error:
            log.info("not_called", extra={"job": job.uid, "error": repr(error)})
