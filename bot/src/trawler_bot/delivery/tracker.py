"""Every job that a message shows: heard of, told, and found again after a restart."""

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any, Final

import discord

from trawler_bot.delivery.message import UNSURE, JobMessage
from trawler_bot.delivery.recovery import Lost, recover
from trawler_bot.delivery.tracked_job import TrackedJob
from trawler_bot.delivery.updater import LONGEST_PAUSE, MessageUpdater
from trawler_bot.jobs import ids
from trawler_bot.jobs.client import age, delivered, is_ours
from trawler_bot.jobs.index import JobIndex, JobSummary
from trawler_bot.services import Services
from trawler_bot.storage.database import CONNECTIONS, TOKEN_SECONDS, InteractionToken, Unanswered
from trawler_common import logs
from trawler_common.backoff import Backoff
from trawler_common.errors import Permanent, Transient
from trawler_common.kube import NotFound, parse_or_none
from trawler_common.replica import Replica
from trawler_crds.media_job import TERMINAL, DeliveryStatus, DiscordDelivery, MediaJob
from trawler_crds.messages import Place, Positions, Progress

log = logs.get("following")

PAUSE: Final = 1.0
MOMENT: Final = 5.0
"""Seconds between the deletion of a message and the end of its job: somebody else may come to wait
for it.
"""
DISOWNED: Final = 10_000
REMOVED_AT_ONCE: Final = 8


class JobTracker:
    """An updater per job. What is only heard on the bus is put where its updater looks."""

    def __init__(
        self,
        client: discord.Client,
        services: Services,
        tasks: asyncio.TaskGroup,
        owns: Callable[[int], bool],
    ) -> None:
        self._client = client
        self._services = services
        self._tasks = tasks
        self._owns = owns
        self._known: dict[str, TrackedJob] = {}
        self.index = JobIndex()
        self._sights = Replica[MediaJob | None](self._take, self._lose, time.monotonic)
        """Every sight of a job passes here: the list's, the watch's, and the answers to our own
        writes. A job of which no message is to tell is known by its version alone.
        """
        self._removing = asyncio.Semaphore(REMOVED_AT_ONCE)
        self._answers: Counter[str] = Counter()
        """How many presses are just being answered about a job of this name."""
        self._answering: dict[str, MediaJob | None] = {}
        """Names of jobs whose interaction is just being answered → their newest sight."""
        self._asking = asyncio.Semaphore(CONNECTIONS)
        """Who asks the database after a start, when all jobs do: more would only wait, and give up.
        """
        self.connected = asyncio.Event()
        """Set once Discord has told us which guilds there are."""
        self._abandoned: set[str] = set()
        """Names of jobs that are being cancelled because nobody sees their message."""
        self._disowned: dict[str, bool] = {}
        """Names of jobs that must not be → whether they are being cancelled already."""

    async def run(self) -> None:
        """Follow for ever."""
        await self._services.jobs.mirror(_Sink(self._sights, self.see)).run()

    def see(self, job: MediaJob, *, as_of: int | None = None) -> None:
        """A job as it is at its version; older sights change nothing, whoever brings them."""
        told = job if is_ours(job) and self._owns(int(where_of(job).guild_id or 0)) else None
        self._sights.see(job.uid, int(job.version or 0), told, as_of=as_of)

    def _lose(self, uid: str) -> None:
        """It was deleted."""
        self.index.forget(uid)
        known = self._known.pop(uid, None)
        if known is not None:
            known.gone = True
            known.changed.set()

    def _take(self, uid: str, job: MediaJob | None) -> None:
        """What is news of a job."""
        if job is None:
            return
        self.index.see(job, where_of(job))
        if job.name in self._answering:
            self._answering[job.name] = job
        if job.name in self._disowned:
            self._make_away(job)
            if uid in self._known:
                self._known[uid].see(job)
        elif uid in self._known:
            self._known[uid].see(job)
        elif not delivered(job) and job.name not in self._answering:
            self.recover(job)

    def place(self, uid: str) -> Place | None:
        """Where a job stands in line, as was heard last."""
        known = self._known.get(uid)
        return known.place if known is not None else None

    def follow(self, job: MediaJob, token: InteractionToken | None, *, gone: bool = False) -> None:
        """Tell of a job in the messages that its status names; or, where it was deleted meanwhile,
        of that. `gone`: the API server said so, which no watch need ever do if it broke meanwhile.
        """
        if job.uid in self._known:
            return
        known = self._know(job)
        known.gone = known.gone or gone
        message = self._message_of(job, token)
        self._start(known, self._updater(known, message).run())

    def recover(self, job: MediaJob, token: InteractionToken | None = None) -> None:
        """Find or make the message of a job whose answer was lost, and tell of it there."""
        if job.uid not in self._known:
            known = self._know(job)
            self._start(known, self._recover(known, token))

    def _know(self, job: MediaJob) -> TrackedJob:
        """From the newest sight on, which may have waited while its interaction was answered."""
        newer = self._answering.get(job.name)
        known = self._known[job.uid] = TrackedJob(job)
        if newer is not None and newer.uid == job.uid:
            known.see(newer)
        known.gone = self._sights.is_buried(job.uid, int(job.version or 0))
        return known

    @contextmanager
    def answering(self, name: str) -> Iterator[None]:
        """While inside, the message of this job is just being made: nobody looks for it. Where the
        API server said nothing and the job is there all the same, it is found as after a restart.
        """
        self._answering.setdefault(name, None)
        self._answers[name] += 1
        try:
            yield
        except (Transient, Permanent):
            made = self._answering.get(name)
            if made is not None:
                self.recover(made)
            raise
        finally:
            self._answers[name] -= 1
            if not self._answers[name]:  # two presses at once are answered together
                del self._answers[name]
                self._answering.pop(name, None)

    def disown(self, name: str) -> None:
        """Somebody was told that nothing was begun: if it was all the same, it is cancelled,
        whether the watch has told of it already or does so later.
        """
        self._disowned[name] = False
        if len(self._disowned) > DISOWNED:
            self._disowned.pop(next(iter(self._disowned)))
        followed = (known.job for known in self._known.values() if known.job.name == name)
        made = self._answering.get(name) or next(followed, None)
        if made is not None:
            self._make_away(made)

    def _make_away(self, job: MediaJob) -> None:
        if not self._disowned[job.name]:
            self._disowned[job.name] = True
            self._tasks.create_task(self._cancel(job), name=f"cancel {job.name}")

    async def _cancel(self, job: MediaJob) -> None:
        await self._insist(job, lambda: self._services.jobs.cancel(job.name))
        await self._give_up(job, "NotAccepted")

    async def _give_up(self, job: MediaJob, why_not: str) -> None:
        await self._insist(
            job, lambda: self._services.jobs.note_delivered(job, self._noted(job), why_not=why_not)
        )

    def _noted(self, job: MediaJob) -> DeliveryStatus:
        return job.status.delivery or DeliveryStatus()

    async def _insist(self, job: MediaJob, write: Callable[[], Awaitable[object]]) -> None:
        """Until it is written, or there is nothing any more to write it to."""
        pause = Backoff(longest=LONGEST_PAUSE)
        while True:
            try:
                await write()
            except NotFound:
                return
            except (Transient, Permanent) as error:
                log.warning("write_waits", extra={"job": job.uid, "error": str(error)})
                await pause.pause()
            else:
                return

    def _start(self, known: TrackedJob, work: Coroutine[Any, Any, None]) -> None:
        async def run() -> None:
            try:
                await work
            except Exception:
                log.exception("updater_died", extra={"job": known.job.uid})
            finally:
                self._known.pop(known.job.uid, None)

        self._tasks.create_task(run(), name=f"tell of {known.job.name}")

    def _message_of(self, job: MediaJob, token: InteractionToken | None) -> JobMessage:
        own = ids.is_choice(job.name)
        noted = job.status.delivery or self._left_by(job)
        deletions = self._services.deletions
        return JobMessage(self._client, where_of(job), noted, token, deletions, own=own)

    def _left_by(self, job: MediaJob) -> DeliveryStatus | None:
        """What the job before it left in the messages that this one goes on in, where that was not
        noted yet.
        """
        name = ids.before(job.name)
        before = self.index.named(name) if name != job.name else None
        if before is None:
            return None
        moved = before.message_channel_id != int(where_of(job).channel_id)
        return DeliveryStatus(
            channel_id=str(before.message_channel_id) if moved else None,
            further_message_ids=[str(each) for each in before.further] or None,
            call_message_id=str(before.call) if before.call else None,
        )

    def _updater(self, known: TrackedJob, message: JobMessage) -> MessageUpdater:
        return MessageUpdater(known, message, self._services, self.abandon)

    async def _recover(self, known: TrackedJob, token: InteractionToken | None) -> None:
        await self.connected.wait()
        job = known.job
        message = self._message_of(job, token)
        pause = Backoff(first=PAUSE, longest=LONGEST_PAUSE)
        unknown = token is None
        while True:
            if unknown:
                token, unknown = await self._token_of(job)
                message.hold(token)
            try:
                if await self._find(known, message, unknown=unknown):
                    break
            except Lost as error:
                if not unknown:
                    log.warning("recovery_failed", extra={"job": job.uid, "error": str(error)})
                    await self._give_up(job, error.reason)
                    return
            await pause.pause()
        await self._updater(known, message).run()

    async def _token_of(self, job: MediaJob) -> tuple[InteractionToken | None, bool]:
        """What was written down of it, and whether that is still unknown: the database did not
        answer, and a token may still live.
        """
        async with self._asking:
            try:
                return await self._services.database.token(job.name), False
            except Unanswered:
                return None, age(job) < TOKEN_SECONDS

    async def _find(self, known: TrackedJob, message: JobMessage, *, unknown: bool) -> bool:
        """Whether all is there that is needed to tell of the job: its message, and where the bot
        cannot write that by its own right, the answer whether there is a token. Raises Lost.
        """
        job = known.job
        if unknown and message.by_token_only:
            return False
        try:
            if message.message_id is not None:
                return not unknown or await message.sees()
            await recover(self._client, job, message)
            if message.message_id is not None:
                self.see(await self._services.jobs.note_messages(job, message.noted()))
            # else: nobody but the requester may see it, and nothing of it is there
        except NotFound:  # its message is there by now, and shall not wait for ever
            known.gone = True
        except (Transient, Permanent, discord.HTTPException, *UNSURE) as error:
            log.warning("recovery_waits", extra={"job": job.uid, "error": repr(error)})
            return False
        return True

    # messages that are deleted ----------------------------------------------------------------

    def abandon(self, job: MediaJob) -> None:
        """Nobody sees its message any more: it is cancelled after a moment, unless others wait for
        its files.
        """
        if job.name not in self._abandoned and job.status.phase not in TERMINAL:
            self._abandoned.add(job.name)
            self._tasks.create_task(self._cancel_later(job), name=f"abandon {job.name}")

    async def _cancel_later(self, job: MediaJob) -> None:
        try:
            await asyncio.sleep(MOMENT)
            now = self.index.get(job.uid)
            if now is None or now.over or self.index.followed(job.name):
                return
            log.info("cancelled_without_message", extra={"job": job.uid})
            await self._insist(job, lambda: self._services.jobs.cancel(job.name))
        finally:
            self._abandoned.discard(job.name)

    def message_deleted(self, message_id: int) -> None:
        """Somebody deleted a message: that of a job takes with it those beside it, its links, and
        the job. What we delete ourselves is no such thing.
        """
        if message_id in self._services.deletions:
            return
        for known in self._known.values():
            if known.message is not None and known.message.message_id == message_id:
                known.message_gone = True
                known.changed.set()
                self.abandon(known.job)
        for first in {ids.first(job.name) for job in self.index.of_message(message_id)}:
            chain = self.index.of_chain(first)
            if all(self._shown_in(job) in {message_id, None} for job in chain):
                self._tasks.create_task(self._remove_rest(chain), name=f"remove rest of {first}")

    def _shown_in(self, job: JobSummary) -> int | None:
        """The message that shows a job, as far as anybody knows."""
        known = self._known.get(job.uid)
        if known is not None and known.message is not None:
            return known.message.message_id
        return job.message_id

    def channel_deleted(self, channel_id: int) -> None:
        """A channel or thread is gone, and all messages in it."""
        for message_id in {job.message_id for job in self.index.in_channel(channel_id)}:
            if message_id is not None:
                self.message_deleted(message_id)

    async def _remove_rest(self, chain: list[JobSummary]) -> None:
        """Of all jobs that one message showed, one after the other. A whole channel's come here at
        once: a few are worked on, the others wait.
        """
        pause = Backoff(longest=LONGEST_PAUSE)
        async with self._removing:
            for job in chain:
                channel = self._client.get_partial_messageable(job.message_channel_id)
                for message_id in job.beside:
                    with suppress(discord.HTTPException, *UNSURE):
                        await channel.get_partial_message(message_id).delete()
        while True:
            async with self._removing:
                if await self._services.database.revoke(ids.first(chain[0].name)):
                    return
            if not self._services.links.on or not any(self.index.get(job.uid) for job in chain):
                return  # links end with their job
            await pause.pause()

    # what the bus says ------------------------------------------------------------------------

    async def hear_progress(self, _: str, progress: Progress) -> None:
        """How far a pod is."""
        known = self._known.get(progress.uid)
        if known is not None and progress.attempt >= known.job.status.attempt:
            known.progress = progress
            known.changed.set()

    async def hear_positions(self, _: str, positions: Positions) -> None:
        """Who waits where."""
        for place in positions.places:
            known = self._known.get(place.uid)
            if known is not None:
                known.place = place
                known.changed.set()


class _Sink:
    """What the watch of MediaJobs tells."""

    def __init__(self, replica: Replica[MediaJob | None], see: Callable[..., None]) -> None:
        self.replica = replica
        self._see = see

    def key(self, manifest: Mapping[str, Any]) -> str:
        return str(manifest["metadata"]["uid"])

    def take(self, manifest: Mapping[str, Any], *, as_of: int) -> None:
        job = parse_or_none(MediaJob, manifest)
        if job is not None:
            self._see(job, as_of=as_of)
        else:  # its version is known, so that it is not read again
            version = int(manifest["metadata"]["resourceVersion"])
            self.replica.see(self.key(manifest), version, None, as_of=as_of)


def where_of(job: MediaJob) -> DiscordDelivery:
    """Of a job of ours: `jobs` tells of no other."""
    delivery = job.spec.delivery
    assert delivery is not None
    assert delivery.discord is not None
    return delivery.discord
