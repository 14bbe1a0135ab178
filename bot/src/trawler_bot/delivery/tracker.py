"""Tracks every job that a message shows: receives its events, runs its updater, and recovers its
message after a restart.
"""

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
"""Seconds between the deletion of a message and the cancellation of its job: another job may start
to wait for its files.
"""
DISOWNED: Final = 10_000
REMOVED_AT_ONCE: Final = 8


class JobTracker:
    """Runs one updater per job. Bus messages only change the state that the updater reads."""

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
        """Every observed version of a job passes through here: from the list, from the watch, and
        from the responses to our own writes. A job that no message of ours shows is stored by its
        version alone.
        """
        self._removing = asyncio.Semaphore(REMOVED_AT_ONCE)
        self._answers: Counter[str] = Counter()
        """Job name → number of interactions about it that are being answered."""
        self._answering: dict[str, MediaJob | None] = {}
        """Names of jobs whose interaction is being answered → the newest observed version."""
        self._asking = asyncio.Semaphore(CONNECTIONS)
        """Limits the concurrent database queries after a start, when all jobs query it: more would
        only wait, and time out.
        """
        self.connected = asyncio.Event()
        """Set once Discord has reported the bot's servers."""
        self._abandoned: set[str] = set()
        """Names of jobs that are being cancelled because nobody sees their message."""
        self._disowned: dict[str, bool] = {}
        """Names of jobs that must not exist → whether their cancellation has started."""

    async def run(self) -> None:
        """Watch the jobs forever."""
        await self._services.jobs.mirror(_Sink(self._sights, self.see)).run()

    def see(self, job: MediaJob, *, as_of: int | None = None) -> None:
        """Process a version of a job; older versions are ignored, whatever their source."""
        told = job if is_ours(job) and self._owns(int(where_of(job).guild_id or 0)) else None
        self._sights.see(job.uid, int(job.version or 0), told, as_of=as_of)

    def _lose(self, uid: str) -> None:
        """Process the deletion of a job."""
        self.index.forget(uid)
        known = self._known.pop(uid, None)
        if known is not None:
            known.gone = True
            known.changed.set()

    def _take(self, uid: str, job: MediaJob | None) -> None:
        """Process a new version of a job."""
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
        """The last received queue position of a job."""
        known = self._known.get(uid)
        return known.place if known is not None else None

    def follow(self, job: MediaJob, token: InteractionToken | None, *, gone: bool = False) -> None:
        """Show a job in the messages that its status names, or show that it was deleted meanwhile.
        `gone`: the API server reported the deletion, which the watch may never do if it broke
        meanwhile.
        """
        if job.uid in self._known:
            return
        known = self._know(job)
        known.gone = known.gone or gone
        message = self._message_of(job, token)
        self._start(known, self._updater(known, message).run())

    def recover(self, job: MediaJob, token: InteractionToken | None = None) -> None:
        """Find or send the message of a job whose answer was lost, and show the job there."""
        if job.uid not in self._known:
            known = self._know(job)
            self._start(known, self._recover(known, token))

    def _know(self, job: MediaJob) -> TrackedJob:
        """Track a job from its newest observed version, which may have waited while its interaction
        was answered.
        """
        newer = self._answering.get(job.name)
        known = self._known[job.uid] = TrackedJob(job)
        if newer is not None and newer.uid == job.uid:
            known.see(newer)
        known.gone = self._sights.is_buried(job.uid, int(job.version or 0))
        return known

    @contextmanager
    def answering(self, name: str) -> Iterator[None]:
        """In this block the message of the job is being sent, so nothing searches for it. If the
        API server did not answer but the job exists, its message is recovered as after a restart.
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
            if not self._answers[name]:  # two concurrent presses share the entry
                del self._answers[name]
                self._answering.pop(name, None)

    def disown(self, name: str) -> None:
        """Cancel a job if it exists, because its requester was told that nothing was started. It
        does not matter whether the watch has reported the job already or does so later.
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
        """Retry a write until it succeeds or the object no longer exists."""
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
        """What the previous job left in the messages that this job takes over, if that was not
        recorded yet.
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
        """The stored token of a job, and whether it is still unknown: the database did not answer,
        and the token may still be valid.
        """
        async with self._asking:
            try:
                return await self._services.database.token(job.name), False
            except Unanswered:
                return None, age(job) < TOKEN_SECONDS

    async def _find(self, known: TrackedJob, message: JobMessage, *, unknown: bool) -> bool:
        """Whether everything that is needed to show the job is known: its message and, if the bot
        cannot write that with its own permissions, whether there is a token. Raises Lost.
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
            # else: only the requester may see the message, and it does not exist
        except NotFound:  # its message exists by now and must not wait forever
            known.gone = True
        except (Transient, Permanent, discord.HTTPException, *UNSURE) as error:
            log.warning("recovery_waits", extra={"job": job.uid, "error": repr(error)})
            return False
        return True

    # deleted messages -------------------------------------------------------------------------

    def abandon(self, job: MediaJob) -> None:
        """Nobody sees the message of a job any more: cancel the job after a moment, unless other
        jobs wait for its files.
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
        """Process the deletion of a message. If it showed a job, its further messages, its links
        and the job are removed too. Our own deletions are ignored.
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
        """The id of the message that shows a job, if it is known."""
        known = self._known.get(job.uid)
        if known is not None and known.message is not None:
            return known.message.message_id
        return job.message_id

    def channel_deleted(self, channel_id: int) -> None:
        """Process the deletion of a channel or thread, with all its messages."""
        for message_id in {job.message_id for job in self.index.in_channel(channel_id)}:
            if message_id is not None:
                self.message_deleted(message_id)

    async def _remove_rest(self, chain: list[JobSummary]) -> None:
        """Delete the further messages of all jobs that one message showed, one after the other, and
        revoke their links. A deleted channel brings many such chains at once: a few are processed,
        the others wait.
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
                return  # links expire with their job
            await pause.pause()

    # messages from the bus --------------------------------------------------------------------

    async def hear_progress(self, _: str, progress: Progress) -> None:
        """Process progress from a pod."""
        known = self._known.get(progress.uid)
        if known is not None and progress.attempt >= known.job.status.attempt:
            known.progress = progress
            known.changed.set()

    async def hear_positions(self, _: str, positions: Positions) -> None:
        """Process queue positions."""
        for place in positions.places:
            known = self._known.get(place.uid)
            if known is not None:
                known.place = place
                known.changed.set()


class _Sink:
    """Receives the MediaJobs from the reflector."""

    def __init__(self, replica: Replica[MediaJob | None], see: Callable[..., None]) -> None:
        self.replica = replica
        self._see = see

    def key(self, manifest: Mapping[str, Any]) -> str:
        return str(manifest["metadata"]["uid"])

    def take(self, manifest: Mapping[str, Any], *, as_of: int) -> None:
        job = parse_or_none(MediaJob, manifest)
        if job is not None:
            self._see(job, as_of=as_of)
        else:  # record its version, so that it is not parsed again
            version = int(manifest["metadata"]["resourceVersion"])
            self.replica.see(self.key(manifest), version, None, as_of=as_of)


def where_of(job: MediaJob) -> DiscordDelivery:
    """The Discord delivery of a job of ours (`jobs.client.is_ours`): no other job gets here."""
    delivery = job.spec.delivery
    assert delivery is not None
    assert delivery.discord is not None
    return delivery.discord
