"""The one writer of a job's message: what is known of the job goes in, edits come out."""

import asyncio
import time
from dataclasses import dataclass, field
from typing import Final

import discord

from trawler_bot import fitting, replies
from trawler_bot.budget import Budget
from trawler_bot.delivery import Delivery, is_too_large
from trawler_bot.jobs import Jobs
from trawler_bot.replies import Reply
from trawler_bot.texts import language
from trawler_common import logs
from trawler_common.crashing import CrashPoint, reach
from trawler_common.kube import ApiAway, Conflict, Missing, Refused
from trawler_common.store import StoreAway
from trawler_crds.media_job import TERMINAL, MediaFile, MediaJob, Phase
from trawler_crds.messages import Place, Progress

log = logs.get("teller")

LOOK_EVERY: Final = 1.0
"""Seconds after which a message is looked at again though nothing new was heard."""
PAUSE: Final = 2.0
"""Seconds before the same thing is tried again."""
GONE: Final = {10003: "ChannelGone", 10008: "MessageGone", 50001: "NoAccess"}
HINDERED: Final = {
    50013: "NoPermission",
    50083: "ThreadArchived",
    30046: "TooOldToEdit",
    200000: "BlockedByAutoMod",
    200001: "BlockedByAutoMod",
}
"""Refusals that no repetition changes → reason of the condition Delivered."""


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

    def __init__(
        self,
        known: Known,
        message: discord.PartialMessage,
        *,
        jobs: Jobs,
        delivery: Delivery,
        budget: Budget,
        limit: int,
    ) -> None:
        self.known = known
        self._message = message
        self._jobs = jobs
        self._delivery = delivery
        self._budget = budget
        self._limit = limit
        self._born = time.monotonic()
        self._shown: Reply | None = None
        discord_spec = known.job.spec.delivery and known.job.spec.delivery.discord
        self._language = language(discord_spec.locale if discord_spec else None)

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
        now = time.monotonic()
        channel_id = self._message.channel.id
        if reply == self._shown or not self._budget.take(channel_id, born=self._born, now=now):
            return
        try:
            await self._edit(reply, [])
        except (discord.HTTPException, OSError) as error:
            log.info("progress_not_shown", extra={"job": job.uid, "error": repr(error)})
            return
        self._shown = reply

    async def _end(self) -> bool:
        """The last edit, and the note that it was made; False where it is to be tried again."""
        job = self.known.job
        try:
            why_not = await self._show_end(job)
            await self._jobs.note_delivered(job, self._message.id, why_not=why_not)
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
        return True

    async def _show_end(self, job: MediaJob) -> str | None:
        """Why it could not be shown, as a word; None where it was."""
        stored = job.status.files or [] if job.status.phase is Phase.SUCCEEDED else []
        limit = self._limit
        for step in range(fitting.STEPS + 1):
            plan = fitting.fit(stored, limit)
            own = plan.messages[0] if plan.messages else []
            reply = replies.ended(job, self._language, too_large=plan.too_large, limit=limit)
            try:
                async with self._delivery.files(job, own) as files:
                    reach(CrashPoint.BOT_ENDING)
                    await self._edit(reply, files)
                    reach(CrashPoint.BOT_SHOWN)
                channel = self._message.channel
                assert isinstance(channel, discord.abc.Messageable)
                await self._delivery.more(job, channel, plan.messages[1:])
            except FileNotFoundError:
                return "ObjectGone"
            except discord.HTTPException as error:
                if is_too_large(error) and own and step < fitting.STEPS:
                    limit = self._learn(limit, own)
                    continue
                return self._hindrance(error)
            return None
        return "TooLarge"

    def _learn(self, limit: int, refused: list[MediaFile]) -> int:
        less = fitting.step_down(limit, refused)
        log.info("limit_learnt", extra={"channel": self._message.channel.id, "limit": less})
        return less

    def _hindrance(self, error: discord.HTTPException) -> str:
        """The word for what no repetition changes. Raises what may pass."""
        word = GONE.get(error.code) or HINDERED.get(error.code)
        if word is not None:
            return word
        if isinstance(error, discord.DiscordServerError) or error.status == 429:
            raise OSError(f"Discord: {error.status}") from error
        log.error("edit_refused", extra={"job": self.known.job.uid, "error": str(error)})
        return "Refused"

    async def _edit(self, reply: Reply, files: list[discord.File]) -> None:
        """Repeatable: the whole message each time."""
        await self._message.edit(
            content=reply.content,
            view=view(reply),
            attachments=files,
            allowed_mentions=discord.AllowedMentions.none(),
        )


def view(reply: Reply) -> discord.ui.View | None:
    """Buttons that only carry their custom_id: who presses is answered by `presses`."""
    if not reply.buttons:
        return None
    found = discord.ui.View(timeout=None)
    for button in reply.buttons:
        found.add_item(discord.ui.Button(label=button.label, custom_id=button.custom_id))
    found.stop()  # it listens to nothing itself
    return found
