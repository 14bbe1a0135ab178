"""Every job that a message shows: heard of, told, and found again after a restart."""

import asyncio
from collections.abc import Callable

import discord

from trawler_bot import names, replies
from trawler_bot.budget import Budget
from trawler_bot.delivery import Delivery
from trawler_bot.jobs import Jobs, delivered
from trawler_bot.teller import Known, Teller, view
from trawler_bot.texts import language
from trawler_common import logs
from trawler_common.kube import ApiAway, Conflict, Missing
from trawler_crds.media_job import DiscordDelivery, MediaJob
from trawler_crds.messages import Positions, Progress

log = logs.get("following")

PAUSE = 1.0
DISOWNED = 10_000
LOOK_BACK = 100
"""Messages of a channel among which one of ours is looked for."""


class Following:
    """A teller per job. What is only heard on the bus is put where its teller looks."""

    def __init__(
        self,
        client: discord.Client,
        jobs: Jobs,
        delivery: Delivery,
        tasks: asyncio.TaskGroup,
    ) -> None:
        self._client = client
        self._jobs = jobs
        self._delivery = delivery
        self._tasks = tasks
        self._budget = Budget()
        self._known: dict[str, Known] = {}
        self.answering: set[str] = set()
        """Names of jobs whose interaction is just being answered: their message comes at once."""
        self.connected = asyncio.Event()
        """Set once Discord has told us which guilds there are."""
        self._disowned: dict[str, bool] = {}
        """Names of jobs that must not be → whether they are being cancelled already."""

    async def run(self) -> None:
        """Follow for ever; a watch that breaks begins with all jobs again."""
        while True:
            try:
                async for job, gone in self._jobs.watch():
                    self._see(job, gone=gone)
            except ApiAway as error:
                log.warning("watch_broke", extra={"error": str(error)})
                await asyncio.sleep(PAUSE)

    def _see(self, job: MediaJob, *, gone: bool) -> None:
        if gone:
            self._known.pop(job.uid, None)
        elif job.name in self._disowned:
            if not self._disowned[job.name]:
                self._disowned[job.name] = True
                self._tasks.create_task(self._cancel(job), name=f"cancel {job.name}")
        elif job.uid in self._known:
            self._known[job.uid].see(job)
        elif not delivered(job) and job.name not in self.answering:
            self.recover(job)

    def follow(self, job: MediaJob, message_id: int) -> None:
        """Tell of a job in a message that is there."""
        if job.uid not in self._known:
            self._known[job.uid] = known = Known(job)
            self._start(known, lambda: self._tell(known, message_id))

    def disown(self, name: str) -> None:
        """Somebody was told that nothing was begun: if it was all the same, it is cancelled."""
        self._disowned[name] = False
        if len(self._disowned) > DISOWNED:
            self._disowned.pop(next(iter(self._disowned)))

    async def _cancel(self, job: MediaJob) -> None:
        while True:
            try:
                await self._jobs.cancel(job.name)
                await self._jobs.note_delivered(job, None, why_not="NotAccepted")
            except Missing:
                return
            except (ApiAway, Conflict) as error:
                log.warning("cancel_waits", extra={"job": job.uid, "error": str(error)})
                await asyncio.sleep(PAUSE)
            else:
                return

    def recover(self, job: MediaJob) -> None:
        """Find or make the message of a job whose answer was lost."""
        if job.uid not in self._known:
            self._known[job.uid] = known = Known(job)
            self._start(known, lambda: self._recover(known))

    def _start(self, known: Known, work: Callable[[], object]) -> None:
        async def run() -> None:
            try:
                told = work()
                assert asyncio.iscoroutine(told)
                await told
            except Exception:
                log.exception("teller_died", extra={"job": known.job.uid})
            finally:
                self._known.pop(known.job.uid, None)

        self._tasks.create_task(run(), name=f"tell of {known.job.name}")

    async def _tell(self, known: Known, message_id: int) -> None:
        where = _where(known.job)
        guild = self._client.get_guild(int(where.guild_id)) if where.guild_id else None
        channel = self._client.get_partial_messageable(
            int(where.channel_id), guild_id=guild.id if guild else None
        )
        teller = Teller(
            known,
            channel.get_partial_message(message_id),
            jobs=self._jobs,
            delivery=self._delivery,
            budget=self._budget,
            limit=guild.filesize_limit if guild else discord.utils.DEFAULT_FILE_SIZE_LIMIT_BYTES,
        )
        await teller.run()

    # after a restart --------------------------------------------------------------------------

    async def _recover(self, known: Known) -> None:
        """Go on with a job that somebody began to show: we died, or the answer was lost."""
        await self.connected.wait()
        shown = known.job.status.delivery
        if shown is not None and shown.message_id is not None:
            await self._tell(known, int(shown.message_id))
            return
        while True:
            try:
                message_id = await self._find(known.job) or await self._send(known.job)
                known.see(await self._jobs.note_message(known.job, message_id))
                break
            except (ApiAway, Conflict, discord.DiscordServerError, OSError) as error:
                log.warning("recovery_waits", extra={"error": repr(error)})
                await asyncio.sleep(PAUSE)
            except (Missing, discord.HTTPException) as error:
                log.warning("recovery_failed", extra={"error": repr(error)})
                return
        await self._tell(known, message_id)

    async def _find(self, job: MediaJob) -> int | None:
        """Our own message in that channel with this job's name in a button."""
        channel = self._client.get_partial_messageable(int(_where(job).channel_id))
        async for message in channel.history(limit=LOOK_BACK):
            if self._client.user is None or message.author.id != self._client.user.id:
                continue
            ids = [
                getattr(each, "custom_id", None)
                for row in message.components
                for each in getattr(row, "children", [])
            ]
            if any(each and (replies.parse(each) or ("", ""))[1] == job.name for each in ids):
                return message.id
        return None

    async def _send(self, job: MediaJob) -> int:
        """A message of its own; sent twice within minutes it is one."""
        where = _where(job)
        reply = replies.waiting(job, language(where.locale))
        channel = self._client.get_partial_messageable(int(where.channel_id))
        sent = await channel.send(
            reply.content,
            view=view(reply) or discord.utils.MISSING,
            nonce=names.nonce(job.uid, "message"),
            allowed_mentions=discord.AllowedMentions.none(),
        )
        return sent.id

    # what the bus says ------------------------------------------------------------------------

    async def hear_progress(self, _: str, progress: Progress) -> None:
        """How far a pod is."""
        known = self._known.get(progress.uid)
        if known is not None:
            known.progress = progress
            known.changed.set()

    async def hear_positions(self, _: str, positions: Positions) -> None:
        """Who waits where."""
        for place in positions.places:
            known = self._known.get(place.uid)
            if known is not None:
                known.place = place
                known.changed.set()


def _where(job: MediaJob) -> DiscordDelivery:
    delivery = job.spec.delivery
    assert delivery is not None
    assert delivery.discord is not None
    return delivery.discord
