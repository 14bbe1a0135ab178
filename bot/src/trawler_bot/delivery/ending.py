"""The final update of a job's message: planned, sent, and sent in a reduced form if Discord refuses
the better one.
"""

import asyncio
import functools
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final

import discord

from trawler_bot.delivery import packing
from trawler_bot.delivery.attachments import seconds
from trawler_bot.delivery.message import JobMessage, TokenEnded, Unreachable
from trawler_bot.delivery.refusals import ANEW, AUTOMOD, NO_PERMISSION, is_too_large, reason_of
from trawler_bot.delivery.tracked_job import TrackedJob
from trawler_bot.jobs import ids
from trawler_bot.presentation import rendering
from trawler_bot.presentation.i18n import Key, language, say
from trawler_bot.presentation.rendering import Reply, Shown
from trawler_bot.services import Services
from trawler_bot.storage.database import Unanswered
from trawler_common import logs
from trawler_common.errors import Permanent, Transient
from trawler_common.failpoints import Failpoint, hit
from trawler_common.kube import ApiUnavailable, NotFound, Rejected
from trawler_crds.media_job import DeliveryStatus, MediaFile, MediaJob, Phase

log = logs.get("ending")

Wording = Callable[[bool], Reply]
"""Renders a reply; with True, without text from the site."""
Sending = Callable[[], Awaitable[None]]

UPLOAD_TRIES: Final = 3
"""Number of upload timeouts after which a message is sent without its files."""
TOO_SLOW: Final = "UploadTooSlow"
"""Reason of the condition Delivered."""
LINK_TRIES: Final = 5
"""Number of attempts to get links for files from the database; the last one continues without
links.
"""


@dataclass(frozen=True)
class Way:
    """How the first message is written. Each refusal leads to a reduced variant."""

    plain: bool = False
    """Without text from the site, in the message and in file names."""
    files: bool = True
    note: Key | None = None
    """The sentence that tells people about it."""

    def after(self, error: discord.HTTPException) -> "Way | None":
        """The next variant to try after a refusal; None if there is none."""
        if error.code in AUTOMOD:
            if not self.plain:
                return replace(self, plain=True, note=self.note or Key.BLOCKED)
            return replace(self, files=False) if self.files else None
        if error.code == NO_PERMISSION and self.files:
            return replace(self, files=False, note=Key.CANNOT_ATTACH)
        return None


class Ending:
    """The final update of one job. A retry does not repeat the steps that succeeded."""

    def __init__(self, tracked: TrackedJob, message: JobMessage, services: Services) -> None:
        self._tracked = tracked
        self._message = message
        self._services = services
        self._language = language(message.where.locale)
        self.shown = False
        """Whether the first message was written, with its files."""
        self._put: set[int] = set()
        """Positions of the further messages that were sent."""
        self._omitted: list[int] = []
        """Positions of the files that are not attached."""
        self._way = Way()
        self._together: int | None = None
        """Maximum total bytes of one message, once Discord has refused a larger total."""
        self._taken = 0
        """Largest total bytes of one message that Discord has accepted."""
        self._anew = False
        """The first message can no longer be edited: a new message replaces it."""
        self._slow = 0
        self._linkless = 0

    def noted(self) -> DeliveryStatus:
        """The value for `status.delivery`."""
        return self._message.noted().model_copy(update={"omitted": self._omitted or None})

    async def before(self) -> Shown | None:
        """The result of the job that this job replaces, which the message still shows. None if
        there is no such job, if it was deleted, or if its media may not be shown here. The files
        that are attached stay in any case. Raises OSError if the result is unknown at the moment.
        """
        name = self._message.where.replaces
        if name is None:
            return None
        try:
            job = await self._services.jobs.get(name)
        except (NotFound, ValueError):
            return None
        except (ApiUnavailable, Rejected) as error:
            raise OSError(f"{name} is not known") from error
        source = job.status.source
        if not rendering.may_show(job, source.age_limit if source is not None else None):
            return None
        files = job.status.files or []
        noted = job.status.delivery.omitted if job.status.delivery else None
        omitted = [files[at] for at in noted or () if at < len(files)]
        try:
            links = await self._links_of(job, omitted)
        except Unanswered as error:
            raise OSError(f"links of {name} are not known") from error
        return Shown(job, omitted, links, self._limit())

    def _limit(self) -> int:
        message = self._message
        return self._services.limits.of(message.guild_id, message.route, message.announced)

    # showing the outcome ----------------------------------------------------------------------

    async def show(self, job: MediaJob, before: Shown | None) -> str | None:
        """Show the outcome. Returns the reason for the condition Delivered if it could not be
        shown, otherwise None. Raises transient errors.
        """
        if self._tracked.message_gone:
            return "MessageGone"
        if job.status.phase is not Phase.SUCCEEDED:
            return await self._words(
                lambda plain: rendering.failed(job, self._language, shown=before, plain=plain),
                before,
            )
        source = job.status.source
        if not rendering.may_show(job, source.age_limit if source is not None else None):
            why = await self._words(
                lambda _: rendering.age_restricted(job, self._language, shown=before), before
            )
            return why or "AgeRestricted"
        try:
            return await self._deliver(job, before)
        except FileNotFoundError:
            await self._words(lambda _: rendering.lost(job, self._language, shown=before), before)
            return "ObjectGone"

    async def _words(self, reply: Wording, before: Shown | None) -> str | None:
        """Write only text; attached files stay. Returns as `show`."""
        while True:
            words = reply(self._way.plain)
            try:
                await self._write(words, None)
            except TokenEnded:
                continue
            except Unreachable:
                if (why := await self._go_direct()) is not None:
                    return why
                continue
            except discord.HTTPException as error:
                way = self._way.after(error)
                if way is not None and way.plain and not self._way.plain:
                    self._way = way
                    continue
                if error.code in ANEW and not self._message.by_token_only:
                    return await self._say_anew(words, before)
                return self._hindrance(error)
            self.shown = True
            return None

    async def _write(self, reply: Reply, files: Sequence[discord.File] | None) -> None:
        """Edit the first message, or send it if it became a direct message that was never sent."""
        if self._message.direct and self._message.message_id is None:
            nonce = ids.nonce(self._tracked.job.uid, "direct")
            await self._message.anew(reply, files or (), nonce)
        else:
            await self._message.edit(reply, files)

    async def _go_direct(self) -> str | None:
        """Switch to a direct message to the requester, with the limits that apply there. Returns
        the reason if that is impossible.
        """
        try:
            await self._message.go_direct()
        except discord.HTTPException as error:
            return self._hindrance(error)
        self.shown = False
        self._put.clear()
        return None

    async def _say_anew(self, words: Reply, before: Shown | None) -> str | None:
        """Write text when the message can no longer be edited: as a reply if the message holds
        files, otherwise as a new message in its place. Returns as `show`.
        """
        nonce = ids.nonce(self._tracked.job.uid, "anew")
        try:
            if not self.shown and before is None and self._message.where.replaces is None:
                await self._message.anew(words, [], nonce)
            else:
                line = words.content.rpartition("\n")[2]
                await self._message.ring(line, nonce, calling=False)
        except discord.HTTPException as error:
            return self._hindrance(error)
        self.shown = True
        return None

    async def _deliver(self, job: MediaJob, before: Shown | None) -> str | None:
        """Send files and text in the best variant that Discord accepts. Returns as `show`; also
        raises FileNotFoundError.
        """
        stored = job.status.files or []
        refusals = 0
        while True:
            plan, limit = self._plan(stored, without=refusals > packing.STEPS)
            if before is not None and not plan.messages:
                return await self._keep(job, plan, limit, before)
            reply = await self._reply(job, plan, limit)
            try:
                why = None if self.shown else await self._first(job, reply, plan)
                return why or await self._rest(job, plan)
            except TokenEnded:
                continue
            except Unreachable:
                if (why := await self._go_direct()) is not None:
                    return why
            except _TooSlow:
                self._way = replace(self._way, files=False, note=Key.UPLOAD_FAILED)
            except _TooMuch as error:
                refusals += await self._learn(error)
                self.shown = False  # the message names the files that do not fit
                self._put.clear()  # each may now hold different files
            except discord.HTTPException as error:
                if not self._lessen(error):
                    return self._hindrance(error)

    async def _keep(
        self, job: MediaJob, plan: packing.Plan, limit: int, before: Shown
    ) -> str | None:
        """No file of this job can be attached: keep the result of the earlier job, with a line
        about this one.
        """
        links = await self._links(job, plan.too_large) if self._way.files else {}
        too_large = plan.too_large if self._way.files else []
        new = Shown(job, too_large, links, limit)
        note = self._way.note
        why = await self._words(
            lambda _: rendering.kept(before, new, self._language, note=note), before
        )
        return why or (self._why_without() if not self._way.files else "TooLarge")

    def _why_without(self) -> str:
        """The reason for the condition Delivered if a message has no files."""
        notes = {Key.CANNOT_ATTACH: "NoPermission", Key.UPLOAD_FAILED: TOO_SLOW}
        return notes.get(self._way.note, "BlockedByAutoMod") if self._way.note else "TooLarge"

    def _plan(self, stored: Sequence[MediaFile], *, without: bool) -> tuple[packing.Plan, int]:
        """Which files to send, by the limits learnt so far, and the limit of the first message,
        which the text mentions. After too many refusals for size, no files are attached: such a
        message always goes through.
        """
        limits, guild_id = self._services.limits, self._message.guild_id
        limit = limits.of(guild_id, self._message.route, self._message.announced)
        route, announced = self._message.beside
        others = limits.of(guild_id, route, announced)
        most = 0 if without or not self._way.files else limit
        plan = packing.fit(stored, most, others, together=self._together)
        known = {id(file): at for at, file in enumerate(stored)}
        self._omitted = [known[id(file)] for file in plan.too_large]
        return plan, limit

    async def _reply(self, job: MediaJob, plan: packing.Plan, limit: int) -> Reply:
        """Render the final message. It mentions sizes only if they are the reason for missing
        files.
        """
        too_large = plan.too_large if self._way.files else []
        shown = Shown(job, too_large, await self._links(job, too_large), limit)
        return rendering.ended(shown, self._language, plain=self._way.plain, note=self._way.note)

    async def _links(self, job: MediaJob, files: Sequence[MediaFile]) -> dict[str, str]:
        """Links under which files can be fetched instead, by hash. Raises OSError while the
        database is away, but returns none after `LINK_TRIES` attempts.
        """
        try:
            return await self._links_of(job, files)
        except Unanswered as error:
            self._linkless += 1
            if self._linkless < LINK_TRIES:
                raise OSError("the database is away, and files need links") from error
            return {}

    async def _links_of(self, job: MediaJob, files: Sequence[MediaFile]) -> dict[str, str]:
        """The links that exist, by hash. Raises Unanswered."""
        found = {file.sha256: await self._services.links.link(job, file) for file in files}
        return {sha256: link for sha256, link in found.items() if link is not None}

    # sending ----------------------------------------------------------------------------------

    def _lessen(self, error: discord.HTTPException) -> bool:
        """Switch to the next variant after a refusal. Returns False if there is none."""
        way = self._way.after(error)
        if way is not None:
            self._way = way
            return True
        anew = error.code in ANEW and not self._message.by_token_only and not self._anew
        self._anew = self._anew or anew
        return anew

    async def _first(self, job: MediaJob, reply: Reply, plan: packing.Plan) -> str | None:
        """Make the last edit of the first message, with the first ten files, or send a new message
        in its place. Returns as `show`.
        """
        own = plan.messages[0] if plan.messages else []
        if self._anew and not own:
            return await self._say_anew(reply, None)
        nonce = ids.nonce(job.uid, "anew")
        async with self._services.attachments.files(job, own, plain=self._way.plain) as files:
            hit(Failpoint.BOT_ENDING)
            if self._anew:
                send = functools.partial(self._message.anew, reply, files, nonce)
            else:  # without own files it keeps the attached ones: they may be an earlier job's
                send = functools.partial(self._write, reply, files if own else None)
            await self._upload(own, send, beside=self._anew)
            hit(Failpoint.BOT_SHOWN)
        self.shown = True
        return None

    async def _rest(self, job: MediaJob, plan: packing.Plan) -> str | None:
        """Send the remaining files once, up to ten in each further message. Messages of an earlier
        result are overwritten or deleted. Returns as `show`.
        """
        groups = plan.messages[1:]
        for at, group in enumerate(groups):
            if at in self._put:
                continue
            try:
                if not self._tracked.message_gone:
                    await self._beside(job, at, group)
            except discord.HTTPException as error:
                return await self._rest_left(job, plan, at, self._hindrance(error))
            except _TooSlow:
                return await self._rest_left(job, plan, at, TOO_SLOW)
            if self._tracked.message_gone:  # it was deleted meanwhile
                await self._message.trim(0)
                return "MessageGone"
            self._put.add(at)
        if len(self._message.further) > len(groups) or self._message.call is not None:
            await self._message.trim(len(groups))
        return None if self._way.files else self._why_without()

    async def _rest_left(self, job: MediaJob, plan: packing.Plan, at: int, why: str) -> str | None:
        """State in the first message, which keeps its files, how many files are missing. Returns as
        `show`.
        """
        stored = job.status.files or []
        left = [file for group in plan.messages[1 + at :] for file in group]
        missing = {id(file) for file in [*left, *plan.too_large]}
        self._omitted = [place for place, file in enumerate(stored) if id(file) in missing]
        shown = Shown(job, plan.too_large, await self._links(job, plan.too_large), self._limit())
        note = say(self._language, Key.REST_MISSING, count=len(left))
        words = rendering.ended(shown, self._language, plain=self._way.plain, more=note)
        return await self._words(lambda _: words, None) or why

    async def _beside(self, job: MediaJob, at: int, group: list[MediaFile]) -> None:
        nonce = ids.nonce(job.uid, f"album {group[0].sha256}")
        async with self._services.attachments.files(job, group, plain=self._way.plain) as files:
            await self._upload(group, lambda: self._message.put(at, files, nonce), beside=True)
        try:
            await self._services.jobs.note_messages(job, self.noted())
        except (Transient, Permanent) as error:  # the last status write repeats it
            log.info("message_not_noted", extra={"job": job.uid, "error": str(error)})

    async def _upload(
        self, group: Sequence[MediaFile], send: Sending, *, beside: bool = False
    ) -> None:
        """Send one message, with a timeout that fits its size. Raises _TooMuch, _TooSlow after
        `UPLOAD_TRIES` timeouts, TimeoutError, discord.HTTPException.
        """
        size = sum(file.bytes for file in group)
        try:
            async with asyncio.timeout(seconds(size)):
                await send()
            self._taken = max(self._taken, size)
        except TimeoutError:
            self._slow += bool(group)
            if self._slow >= UPLOAD_TRIES:
                raise _TooSlow from None
            raise
        except discord.HTTPException as error:
            if is_too_large(error) and group:
                raise _TooMuch(group, beside=beside) from error
            raise

    async def _learn(self, refused: "_TooMuch") -> bool:
        """Learn from a refusal for size. A single refused file is too large, which lowers the limit
        for one file. Several files may only be too large together: then only the limit for one
        message is lowered, and the result is False.
        """
        group = refused.group
        together = sum(file.bytes for file in group)
        if len(group) > 1 and together > self._taken:
            self._together = max(together // 2, self._taken)
            return False
        route, announced = self._message.route, self._message.announced
        if refused.beside:
            route, announced = self._message.beside
        limit = self._services.limits.of(self._message.guild_id, route, announced)
        less = packing.step_down(limit, group)
        await self._services.limits.learn(self._message.guild_id, route, less)
        return True

    def _hindrance(self, error: discord.HTTPException) -> str:
        """The reason for a refusal that no retry resolves. Raises transient errors."""
        word = reason_of(error)
        if word is None:
            log.error("edit_refused", extra={"job": self._tracked.job.uid, "error": str(error)})
        return word or "Rejected"


class _TooMuch(Exception):
    """Discord refused the files of one message as too large."""

    def __init__(self, group: Sequence[MediaFile], *, beside: bool) -> None:
        super().__init__(len(group))
        self.group = group
        self.beside = beside


class _TooSlow(Exception):
    """The upload timed out too often."""
