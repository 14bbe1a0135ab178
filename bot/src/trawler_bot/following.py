"""Every job that a message shows: heard of, told, and found again after a restart."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final

import discord

from trawler_bot.desk import Desk
from trawler_bot.jobs import age, delivered, is_ours
from trawler_bot.recent import Recent
from trawler_bot.records import CONNECTIONS, Pass, Unanswered
from trawler_bot.recovery import Lost, recover
from trawler_bot.sheet import UNSURE, Sheet
from trawler_bot.teller import LONGEST_PAUSE, Known, Teller
from trawler_bot.wishes import TOKEN_SECONDS
from trawler_common import logs
from trawler_common.backoff import Backoff
from trawler_common.kube import ApiAway, Conflict, Missing, Refused, understood
from trawler_common.replica import Replica
from trawler_crds.media_job import DiscordDelivery, MediaJob
from trawler_crds.messages import Place, Positions, Progress

log = logs.get("following")

PAUSE: Final = 1.0
DISOWNED: Final = 10_000


class Following:
    """A teller per job. What is only heard on the bus is put where its teller looks."""

    def __init__(
        self,
        client: discord.Client,
        desk: Desk,
        tasks: asyncio.TaskGroup,
        owns: Callable[[int], bool],
    ) -> None:
        self._client = client
        self._desk = desk
        self._tasks = tasks
        self._owns = owns
        self._known: dict[str, Known] = {}
        self.recent = Recent()
        self._sights = Replica[MediaJob | None](self._take, self._lose)
        """Every sight of a job passes here: the list's, the watch's, and the answers to our own writes. A
        job of which no message is to tell is known by its version alone.
        """
        self._answering: dict[str, MediaJob | None] = {}
        """Names of jobs whose interaction is just being answered → their newest sight."""
        self._asking = asyncio.Semaphore(CONNECTIONS)
        """Who asks the database after a start, when all jobs do: more would only wait, and give up."""
        self.connected = asyncio.Event()
        """Set once Discord has told us which guilds there are."""
        self._disowned: dict[str, bool] = {}
        """Names of jobs that must not be → whether they are being cancelled already."""

    async def run(self) -> None:
        """Follow for ever."""
        await self._desk.jobs.mirror(_Sink(self._sights, self.see)).run()

    def see(self, job: MediaJob, *, as_of: int | None = None) -> None:
        """A job as it is at its version; older sights change nothing, whoever brings them."""
        told = job if is_ours(job) and self._owns(int(where_of(job).guild_id or 0)) else None
        self._sights.see(job.uid, int(job.version or 0), told, as_of=as_of)

    def _lose(self, uid: str) -> None:
        """It was deleted."""
        self.recent.forget(uid)
        known = self._known.pop(uid, None)
        if known is not None:
            known.gone = True
            known.changed.set()

    def _take(self, uid: str, job: MediaJob | None) -> None:
        """What is news of a job."""
        if job is None:
            return
        self.recent.see(job, where_of(job))
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

    def follow(
        self, job: MediaJob, message_id: int, held: Pass | None, *, gone: bool = False
    ) -> None:
        """Tell of a job in a message that is there; or, where it was deleted meanwhile, of that. `gone`:
        the API server said so, which no watch need ever do if it broke meanwhile.
        """
        if job.uid in self._known:
            return
        known = self._know(job)
        known.gone = known.gone or gone
        sheet = Sheet(self._client, where_of(job), message_id, held)
        self._start(known, Teller(known, sheet, self._desk).run())

    def recover(self, job: MediaJob, held: Pass | None = None) -> None:
        """Find or make the message of a job whose answer was lost, and tell of it there."""
        if job.uid not in self._known:
            known = self._know(job)
            self._start(known, self._recover(known, held))

    def _know(self, job: MediaJob) -> Known:
        """From the newest sight on, which may have waited while its interaction was answered."""
        newer = self._answering.get(job.name)
        known = self._known[job.uid] = Known(job)
        if newer is not None and newer.uid == job.uid:
            known.see(newer)
        known.gone = self._sights.is_buried(job.uid, int(job.version or 0))
        return known

    @contextmanager
    def answering(self, name: str) -> Iterator[None]:
        """While inside, the message of this job is just being made: nobody looks for it. Where the
        API server said nothing and the job is there all the same, it is found as after a restart.
        """
        self._answering[name] = None
        try:
            yield
        except (ApiAway, Refused, Missing):
            made = self._answering[name]
            if made is not None:
                self.recover(made)
            raise
        finally:
            del self._answering[name]

    def disown(self, name: str) -> None:
        """Somebody was told that nothing was begun: if it was all the same, it is cancelled, whether
        the watch has told of it already or does so later.
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
        await self._insist(job, lambda: self._desk.jobs.cancel(job.name))
        await self._give_up(job, "NotAccepted")

    async def _give_up(self, job: MediaJob, why_not: str) -> None:
        await self._insist(job, lambda: self._desk.jobs.note_delivered(job, None, why_not=why_not))

    async def _insist(self, job: MediaJob, write: Callable[[], Awaitable[object]]) -> None:
        """Until it is written, or there is nothing any more to write it to."""
        pause = Backoff(longest=LONGEST_PAUSE)
        while True:
            try:
                await write()
            except Missing:
                return
            except (ApiAway, Conflict, Refused) as error:
                log.warning("write_waits", extra={"job": job.uid, "error": str(error)})
                await pause.pause()
            else:
                return

    def _start(self, known: Known, work: Coroutine[Any, Any, None]) -> None:
        async def run() -> None:
            try:
                await work
            except Exception:
                log.exception("teller_died", extra={"job": known.job.uid})
            finally:
                self._known.pop(known.job.uid, None)

        self._tasks.create_task(run(), name=f"tell of {known.job.name}")

    async def _recover(self, known: Known, held: Pass | None) -> None:
        await self.connected.wait()
        job = known.job
        noted = job.status.delivery
        message_id = int(noted.message_id) if noted and noted.message_id else None
        sheet = Sheet(self._client, where_of(job), message_id, held)
        pause = Backoff(first=PAUSE, longest=LONGEST_PAUSE)
        unknown = held is None
        while True:
            if unknown:
                held, unknown = await self._pass_of(job)
                sheet.hold(held)
            try:
                if await self._find(known, sheet, unknown=unknown):
                    break
            except Lost as error:
                if not unknown:
                    log.warning("recovery_failed", extra={"job": job.uid, "error": str(error)})
                    await self._give_up(job, error.reason)
                    return
            await pause.pause()
        await Teller(known, sheet, self._desk).run()

    async def _pass_of(self, job: MediaJob) -> tuple[Pass | None, bool]:
        """What was written down of it, and whether that is still unknown: the database did not answer, and
        a pass may still live.
        """
        async with self._asking:
            try:
                return await self._desk.records.held(job.name), False
            except Unanswered:
                return None, age(job) < TOKEN_SECONDS

    async def _find(self, known: Known, sheet: Sheet, *, unknown: bool) -> bool:
        """Whether all is there that is needed to tell of the job: its message, and where the bot cannot write
        that by its own right, the answer whether there is a pass. Raises Lost.
        """
        job = known.job
        if unknown and sheet.where.private:
            return False
        try:
            if sheet.message_id is not None:
                return not unknown or await sheet.sees()
            await recover(self._client, job, sheet)
            if sheet.message_id is not None:
                self.see(await self._desk.jobs.note_message(job, sheet.message_id))
            # else: nobody but the requester may see it, and nothing of it is there
        except (ApiAway, Conflict, Refused, discord.HTTPException, *UNSURE) as error:
            log.warning("recovery_waits", extra={"job": job.uid, "error": repr(error)})
            return False
        except Missing:  # its message is there by now, and shall not wait for ever
            known.gone = True
        return True

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
        job = understood(MediaJob, manifest)
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
