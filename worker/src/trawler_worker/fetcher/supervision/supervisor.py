"""One job, one process and all that it starts: forked by the zygote, watched from here, gone when
it is done.
"""

import asyncio
import json
import os
import socket
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Self

from pydantic import ValidationError

from trawler_common import lifecycle, logs
from trawler_crds.failures import FailureReason
from trawler_crds.media_job import MOST_ENGINE_ATTEMPTS, EngineAttempt, EngineName
from trawler_crds.messages import Stage
from trawler_worker.fetcher import error_mapping
from trawler_worker.fetcher.engines.settings import EngineSettings
from trawler_worker.fetcher.supervision import processes
from trawler_worker.fetcher.supervision.allowance import Allowance
from trawler_worker.fetcher.supervision.scratch import Scratch, size
from trawler_worker.fetcher.supervision.watchdog import Measured, ResourceWatchdog, is_too_much
from trawler_worker.files import Identity, NotPlain, opened
from trawler_worker.protocol import Done, Event, Fault, Fetch, Moved, Timing, Told

log = logs.get("isolation")

ZYGOTE: Final = "trawler_worker.fetcher.supervision.zygote"
LOOK_EVERY: Final = 0.25
EVENTS_AT_ONCE: Final = 4 * 1024 * 1024
"""Bytes that one job may write to its pipe at once."""
EVENTS_PER_SECOND: Final = 16 * 1024
"""And for as long as it lasts: progress is some 400 bytes a second."""
SLACK: Final = 1024 * 1024
NO_ROOM: Final = "There was no room for this beside what else is being fetched."


@dataclass(kw_only=True)
class _Running:
    order: Fetch
    folder: str
    watch: ResourceWatchdog
    ended: asyncio.Event = field(default_factory=asyncio.Event)
    pid: int | None = None
    pipe: asyncio.ReadTransport | None = None
    """Where its words come from."""
    stage: Stage = Stage.STARTING
    asked_at: float | None = None
    """Since when a site has been asked that has not answered (monotonic)."""
    awaited: float = 0.0
    """Seconds for which it waited for answers before."""
    verdict: Fault | None = None
    killed_by: int = 0
    timings: list[Timing] = field(default_factory=list)
    attempts: list[EngineAttempt] = field(default_factory=list)
    trying: tuple[EngineName, float] | None = None
    """The engine whose turn it is, and since when (monotonic)."""
    outcome: Done | None = None

    def awaiting(self, now: float) -> float:
        """Seconds for which it has waited for an answer by now."""
        return now - self.asked_at if self.asked_at is not None else 0.0

    def answered(self) -> None:
        """Nothing is awaited any more."""
        self.awaited += self.awaiting(time.monotonic())
        self.asked_at = None


class JobSupervisor:
    """Runs jobs. `start` it once; it dies with the zygote (`lost` is set)."""

    def __init__(
        self, *, scratch: Path, job_memory: int, room: int | None = None, zygote: str = ZYGOTE
    ) -> None:
        self._scratch = Scratch(scratch, lambda: self._running.keys() | self._kept)
        self._zygote = zygote
        self._room = room
        """Bytes that all jobs together may have in scratch; the kubelet ends the pod that has more.
        """
        self._job_memory = job_memory
        self._running: dict[str, _Running] = {}
        self._kept: set[str] = set()
        """Jobs that are done and whose files are still wanted."""
        self._looking: asyncio.Task[None] | None = None
        self._told = False
        """The fork server has been told of strangers and has not answered."""
        self._control: socket.socket | None = None
        self._process: asyncio.subprocess.Process | None = None
        self.lost = asyncio.Event()
        self.ready = asyncio.Event()

    async def __aenter__(self) -> Self:
        return self

    async def start(self, engines: EngineSettings) -> None:
        """Start the zygote and wait until it is warm. Raises TimeoutError after a minute."""
        self._scratch.empty()  # of a life before a restart of this container
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        ours.setblocking(False)
        argv = [sys.executable, "-m", self._zygote]
        with theirs:
            self._process = await asyncio.create_subprocess_exec(
                *(*argv, str(theirs.fileno()), engines.model_dump_json()),
                pass_fds=[theirs.fileno()],
                stdin=asyncio.subprocess.DEVNULL,
                env=_environment(self._scratch.path),
            )
        self._control = ours
        asyncio.get_running_loop().add_reader(ours, self._hear)
        async with asyncio.timeout(60):
            await self.ready.wait()
        self._looking = asyncio.create_task(
            lifecycle.supervise("look at jobs", self._look), name="look at jobs"
        )

    async def __aexit__(self, *_: object) -> None:
        await self._scratch.close()
        if self._looking is not None:
            self._looking.cancel()
        if self._control is not None:
            asyncio.get_running_loop().remove_reader(self._control)
            self._control.close()
        if self._process is not None:
            try:
                async with asyncio.timeout(5):
                    await self._process.wait()
            except TimeoutError:
                self._process.kill()
                await self._process.wait()

    def _hear(self) -> None:
        assert self._control is not None
        try:
            data = self._control.recv(64 * 1024)
        except BlockingIOError:
            return
        if not data:
            asyncio.get_running_loop().remove_reader(self._control)
            self.lost.set()
            for job in self._running.values():
                job.ended.set()
            return
        message = json.loads(data)
        if message.get("strangers"):
            self._told = False
        if message.get("ready"):
            self.ready.set()
        forked = self._running.get(message.get("forked", ""))
        if forked is not None:
            forked.pid = int(message["pid"])
        ended = self._running.get(message.get("ended", ""))
        if ended is not None:
            ended.killed_by = int(message["signal"])
            ended.ended.set()

    def expect(self, order: Fetch) -> None:
        """It is about to be run: from now on it can be stopped."""
        now = time.monotonic()
        self._running[order.job] = _Running(
            order=order,
            folder=self._scratch.folder(order.job),
            watch=ResourceWatchdog(
                begun=now,
                deadline=now + order.seconds,
                # parts, their merger and a conversion lie side by side for a while
                max_scratch=3 * order.limits.max_bytes + SLACK,
                max_memory=self._job_memory,
            ),
        )

    async def run(self, order: Fetch, moved: Callable[[Moved | Told], None]) -> Done:
        """Run one job to its end. When this returns, all its processes are gone."""
        if order.job not in self._running:
            self.expect(order)
        job = self._running[order.job]
        try:
            try:
                events, writing = await self._prepare(job)
            except OSError as error:
                # no room, or no descriptor: this job's trouble, not its neighbours'
                log.exception("job_not_begun", extra={"job": order.job})
                return Done(job=order.job, fault=_not_begun(error))
            self._fork(job, writing)
            hearing = asyncio.create_task(self._read(job, events, moved), name="events")
            await job.ended.wait()
            await asyncio.wait({hearing}, timeout=1)
            hearing.cancel()
            done = _judge(job)
            if done.fault is None:
                self._kept.add(order.job)
            return done
        finally:
            if not job.ended.is_set():
                self.stop(order.job)
            if job.pipe is not None:
                job.pipe.close()  # at its end alone it stays open (uvloop)
            del self._running[order.job]
            self._scratch.tidy()

    async def _prepare(self, job: _Running) -> tuple[asyncio.StreamReader, int]:
        """Its folder, and both ends of the pipe for its words. Raises OSError."""
        self._scratch.make(job.order.job)
        self._scratch.tidy()
        reading, writing = os.pipe2(os.O_CLOEXEC)
        try:
            return await self._open_pipe(job, reading), writing
        except BaseException:
            os.close(writing)
            raise

    def stop(self, name: str) -> None:
        """Kill a job's processes now. Harmless where they are gone."""
        job = self._running.get(name)
        if job is None or job.ended.is_set():
            return
        if job.verdict is None:
            job.verdict = Fault(reason=FailureReason.CANCELLED)
        self._tell({"kill": name})

    def release(self, name: str) -> None:
        """Remove a finished job's files."""
        self._kept.discard(name)
        self._scratch.tidy()

    def _fork(self, job: _Running, pipe: int) -> None:
        """From here on a kill reaches it; who was stopped before is not begun."""
        if job.verdict is not None:
            os.close(pipe)
            job.ended.set()
            return
        request = {
            "order": job.order.wire(),
            "scratch": job.folder,
            "file_bytes": job.order.limits.max_bytes + SLACK,
        }
        assert self._control is not None
        try:
            socket.send_fds(self._control, [json.dumps(request).encode()], [pipe])
        except BlockingIOError:  # it is busy and has been told much: another pod may have time
            job.verdict = Fault(reason=FailureReason.WORKER_LOST)
            job.ended.set()
        except OSError:
            self.lost.set()
            job.ended.set()
        finally:
            os.close(pipe)

    def _tell(self, message: dict[str, Any]) -> bool:
        """Whether it went out: a fork server that is busy takes only so much. Of what still runs,
        whoever looks next says it again.
        """
        assert self._control is not None
        try:
            self._control.send(json.dumps(message).encode())
        except OSError:
            return False
        return True

    async def _open_pipe(self, job: _Running, fd: int) -> asyncio.StreamReader:
        reader = asyncio.StreamReader(limit=256 * 1024)
        job.pipe, _ = await asyncio.get_running_loop().connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(fd, "rb", buffering=0)
        )
        return reader

    async def _read(
        self, job: _Running, events: asyncio.StreamReader, moved: Callable[[Moved | Told], None]
    ) -> None:
        """The job's own words; a job that says nonsense or too much is killed."""
        said = Allowance(burst=EVENTS_AT_ONCE, per_second=EVENTS_PER_SECOND, now=time.monotonic())
        try:
            while line := await events.readline():
                if not said.takes(len(line), time.monotonic()):
                    raise ValueError("too many events")
                self._take(job, json.loads(line), moved)
        except (ValueError, KeyError, TypeError, RecursionError, ValidationError):
            log.warning("job_speaks_nonsense", extra={"job": job.order.job})
            job.verdict = Fault(reason=FailureReason.INTERNAL)
            self._tell({"kill": job.order.job})

    def _take(
        self, job: _Running, event: dict[str, Any], moved: Callable[[Moved | Told], None]
    ) -> None:
        body = event["body"]
        match Event(event["event"]):
            case Event.ASKING:
                job.answered()
                job.asked_at = time.monotonic()
            case Event.ANSWERED:
                job.answered()
            case Event.MOVED:
                report = Moved.model_validate({**body, "job": job.order.job})
                job.stage = report.stage
                moved(report)
            case Event.TOLD:
                moved(Told.model_validate({**body, "job": job.order.job}))
            case Event.TIMING if len(job.timings) < 64:
                job.timings.append(Timing.model_validate(body))
            case Event.TRYING:
                now = time.monotonic()
                job.trying = (EngineName(body), now)
                job.watch.begin_again(now, job.awaited + job.awaiting(now))
            case Event.TRIED if len(job.attempts) < MOST_ENGINE_ATTEMPTS:
                job.attempts.append(EngineAttempt.model_validate(body))
                job.trying = None
            case Event.OUTCOME:
                job.outcome = Done.model_validate({**body, "job": job.order.job})

    async def _look(self) -> None:
        """At all jobs four times a second; kill for the first reason found."""
        while True:
            await asyncio.sleep(LOOK_EVERY)
            running = [job for job in self._running.values() if job.pid and not job.ended.is_set()]
            if not running:
                continue
            there = processes.every()
            self._report_strangers(there)
            sizes = {job.order.job: size(job.folder) for job in running}
            crowded = is_too_much(sizes, self._kept_bytes(), self._room)
            for job in running:
                fault = job.watch.judge(self._measured(job, there, sizes[job.order.job]))
                if fault is None and job.order.job == crowded:
                    alone = len(running) == 1 and not self._kept
                    reason = FailureReason.TOO_LARGE if alone else FailureReason.OUT_OF_MEMORY
                    fault = Fault(reason=reason, message=None if alone else NO_ROOM)
                job.verdict = job.verdict or fault
                if job.verdict is not None:
                    self._tell({"kill": job.order.job})

    def _report_strangers(self, there: Mapping[int, processes.Process]) -> None:
        """Whoever came to the fork server from a job that goes on: nobody would count what it
        takes.
        """
        assert self._process is not None
        jobs = {job.pid for job in self._running.values()}
        at_home = (found for found in there.values() if found.parent == self._process.pid)
        if not self._told and any(found.pid not in jobs and not found.zombie for found in at_home):
            self._told = self._tell({"strangers": True})  # it knows best who is none

    def _kept_bytes(self) -> int:
        return sum(size(self._scratch.folder(name)) or 0 for name in self._kept)

    def _measured(
        self, job: _Running, there: dict[int, processes.Process], size: int | None
    ) -> Measured:
        assert job.pid is not None
        below = [process.pid for process in processes.descendants([job.pid], there)]
        now = time.monotonic()
        awaiting = job.awaiting(now)
        return Measured(
            now=now,
            awaiting=awaiting,
            awaited=job.awaited + awaiting,
            stage=job.stage,
            scratch_bytes=size,
            memory_bytes=processes.private_memory([job.pid, *below]),
        )


def _environment(scratch: str) -> dict[str, str]:
    """Of the zygote and its jobs: Python's own allocator, which is the faster one for what lives
    briefly.
    """
    inherited = {name: value for name, value in os.environ.items() if name != "PYTHONMALLOC"}
    return {**inherited, "TMPDIR": scratch}


def _not_begun(error: OSError) -> Fault:
    full = error_mapping.is_full(error)
    return Fault(
        reason=FailureReason.OUT_OF_MEMORY if full else FailureReason.INTERNAL,
        message=NO_ROOM if full else None,
        detail=type(error).__name__,
    )


def _judge(job: _Running) -> Done:
    """What became of it: our verdict first, then its own words, then how it died."""
    fault = job.verdict
    if fault is None and job.outcome is not None and not _is_as_proved(job):
        fault = Fault(reason=FailureReason.INTERNAL, detail="a file changed after its proof")
    if fault is None and job.outcome is None:
        # nobody of ours killed it: the kernel did, for memory; or it fell over by itself
        reason = FailureReason.OUT_OF_MEMORY if job.killed_by == 9 else FailureReason.WORKER_LOST
        fault = Fault(reason=reason)
    done = job.outcome if fault is None else Done(job=job.order.job, fault=fault)
    assert done is not None
    return done.model_copy(update={"timings": job.timings, "attempts": _attempts(job, fault)})


def _attempts(job: _Running, fault: Fault | None) -> list[EngineAttempt]:
    """What each engine made of it; also the one in whose turn all of it ended."""
    if job.trying is None or fault is None or len(job.attempts) >= MOST_ENGINE_ATTEMPTS:
        return job.attempts
    engine, since = job.trying
    ended = EngineAttempt(
        engine=engine,
        reason=fault.reason,
        message=fault.message,
        milliseconds=round((time.monotonic() - since) * 1000),
    )
    return [*job.attempts, ended]


def _is_as_proved(job: _Running) -> bool:
    """Nobody is left who could change them: whether somebody did between the proof and the end."""
    assert job.outcome is not None
    try:
        for file in job.outcome.files:
            known = Identity(inode=file.inode, bytes=file.bytes, changed_ns=file.changed_ns)
            with opened(job.folder, file.path, known):
                pass
    except NotPlain as error:
        log.warning("file_is_not_as_proved", extra={"job": job.order.job, "why": str(error)})
        return False
    return True
