"""One job, one process group: forked by the zygote, watched from here, gone when it is done."""

import asyncio
import contextlib
import json
import os
import shutil
import socket
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Self

from pydantic import ValidationError

from trawler_common import logs
from trawler_crds.failures import FailureReason
from trawler_crds.messages import Stage
from trawler_worker.fetcher.watch import Measured, Watch
from trawler_worker.protocol import Done, Event, Fault, Fetch, Moved, Timing, Told

log = logs.get("isolation")

LOOK_EVERY: Final = 0.25
MAX_EVENTS: Final = 4 * 1024 * 1024
"""Bytes that one job may write to its pipe."""
SLACK: Final = 1024 * 1024
_PAGE: Final = os.sysconf("SC_PAGE_SIZE")


@dataclass(kw_only=True)
class _Running:
    order: Fetch
    scratch: Path
    watch: Watch
    ended: asyncio.Event = field(default_factory=asyncio.Event)
    pid: int | None = None
    stage: Stage = Stage.STARTING
    verdict: Fault | None = None
    killed_by: int = 0
    timings: list[Timing] = field(default_factory=list)
    outcome: Done | None = None


class Isolation:
    """Runs jobs. `start` it once; it dies with the zygote (`lost` is set)."""

    def __init__(self, *, scratch: Path, job_memory: int) -> None:
        self._scratch = scratch
        self._job_memory = job_memory
        self._running: dict[str, _Running] = {}
        self._control: socket.socket | None = None
        self._process: asyncio.subprocess.Process | None = None
        self.lost = asyncio.Event()
        self.ready = asyncio.Event()

    async def __aenter__(self) -> Self:
        return self

    async def start(self, *, proxy: str, allow: list[str]) -> None:
        """Start the zygote and wait until it is warm. Raises TimeoutError after a minute."""
        for left in self._scratch.iterdir():  # of a life before a restart of this container
            _remove(left)
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        ours.setblocking(False)
        argv = [sys.executable, "-m", "trawler_worker.fetcher.zygote"]
        with theirs:
            self._process = await asyncio.create_subprocess_exec(
                *(*argv, str(theirs.fileno()), proxy, ",".join(allow)),
                pass_fds=[theirs.fileno()],
                stdin=asyncio.subprocess.DEVNULL,
                env=_environment(self._scratch),
            )
        self._control = ours
        asyncio.get_running_loop().add_reader(ours, self._hear)
        async with asyncio.timeout(60):
            await self.ready.wait()

    async def __aexit__(self, *_: object) -> None:
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
            scratch=self._scratch / order.job,
            watch=Watch(
                begun=now,
                deadline=now + order.seconds,
                # parts, their merger and a conversion lie side by side for a while
                max_scratch=3 * order.limits.max_bytes + SLACK,
                max_memory=self._job_memory,
            ),
        )

    async def run(self, order: Fetch, moved: Callable[[Moved | Told], None]) -> Done:
        """Run one job to its end. When this returns, its process group is gone."""
        if order.job not in self._running:
            self.expect(order)
        job = self._running[order.job]
        try:
            _remove(job.scratch)
            job.scratch.mkdir(mode=0o770)
            reading, writing = os.pipe2(os.O_CLOEXEC)
            events = await self._open_pipe(reading)
            self._fork(job, writing)
            async with asyncio.TaskGroup() as tasks:
                watching = tasks.create_task(self._watch(job), name=f"watch {order.job}")
                hearing = tasks.create_task(self._read(job, events, moved), name="events")
                await job.ended.wait()
                watching.cancel()
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(1):
                        await asyncio.wait({hearing})
                hearing.cancel()
            return _judge(job)
        finally:
            if not job.ended.is_set():
                self.stop(order.job)
            del self._running[order.job]

    def stop(self, name: str) -> None:
        """Kill a job's group now. Harmless where it is gone."""
        job = self._running.get(name)
        if job is None or job.ended.is_set():
            return
        if job.verdict is None:
            job.verdict = Fault(reason=FailureReason.CANCELLED)
        self._tell({"kill": name})

    def release(self, name: str) -> None:
        """Remove a finished job's files."""
        if name not in self._running and "/" not in name and name not in {"", ".", ".."}:
            _remove(self._scratch / name)

    def _fork(self, job: _Running, pipe: int) -> None:
        """From here on a kill reaches it; who was stopped before is not begun."""
        if job.verdict is not None:
            os.close(pipe)
            job.ended.set()
            return
        request = {
            "order": job.order.wire(),
            "scratch": str(job.scratch),
            "file_bytes": job.order.limits.max_bytes + SLACK,
        }
        assert self._control is not None
        try:
            socket.send_fds(self._control, [json.dumps(request).encode()], [pipe])
        except OSError:
            self.lost.set()
            job.ended.set()
        finally:
            os.close(pipe)

    def _tell(self, message: dict[str, Any]) -> None:
        assert self._control is not None
        with contextlib.suppress(OSError):
            self._control.send(json.dumps(message).encode())

    async def _open_pipe(self, fd: int) -> asyncio.StreamReader:
        reader = asyncio.StreamReader(limit=256 * 1024)
        await asyncio.get_running_loop().connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(fd, "rb", buffering=0)
        )
        return reader

    async def _read(
        self, job: _Running, events: asyncio.StreamReader, moved: Callable[[Moved | Told], None]
    ) -> None:
        """The job's own words; a job that says nonsense or too much is killed."""
        size = 0
        try:
            while line := await events.readline():
                size += len(line)
                if size > MAX_EVENTS:
                    raise ValueError("too many events")
                self._take(job, json.loads(line), moved)
        except (ValueError, KeyError, TypeError, ValidationError):
            log.warning("job_speaks_nonsense", extra={"job": job.order.job})
            job.verdict = Fault(reason=FailureReason.INTERNAL)
            self._tell({"kill": job.order.job})

    def _take(
        self, job: _Running, event: dict[str, Any], moved: Callable[[Moved | Told], None]
    ) -> None:
        body = event["body"]
        match Event(event["event"]):
            case Event.MOVED:
                report = Moved.model_validate({**body, "job": job.order.job})
                job.stage = report.stage
                moved(report)
            case Event.TOLD:
                moved(Told.model_validate({**body, "job": job.order.job}))
            case Event.TIMING if len(job.timings) < 64:
                job.timings.append(Timing.model_validate(body))
            case Event.OUTCOME:
                job.outcome = Done.model_validate({**body, "job": job.order.job})

    async def _watch(self, job: _Running) -> None:
        """Look four times a second; kill for the first reason found."""
        while True:
            await asyncio.sleep(LOOK_EVERY)
            seen = Measured(
                now=time.monotonic(),
                stage=job.stage,
                scratch_bytes=folder_bytes(job.scratch),
                memory_bytes=group_memory(job.pid) if job.pid else 0,
            )
            fault = job.watch.judge(seen)
            if fault is not None:
                job.verdict = job.verdict or fault
                self._tell({"kill": job.order.job})


def _environment(scratch: Path) -> dict[str, str]:
    """Of the zygote and its jobs: Python's own allocator, which is the faster one for what lives briefly."""
    inherited = {name: value for name, value in os.environ.items() if name != "PYTHONMALLOC"}
    return {**inherited, "TMPDIR": str(scratch)}


def _judge(job: _Running) -> Done:
    """What became of it: our verdict first, then its own words, then how it died."""
    fault = job.verdict
    if fault is None and job.outcome is not None:
        return job.outcome.model_copy(update={"timings": job.timings})
    if fault is None:
        # nobody of ours killed it: the kernel did, for memory; or it fell over by itself
        reason = FailureReason.OUT_OF_MEMORY if job.killed_by == 9 else FailureReason.WORKER_LOST
        fault = Fault(reason=reason)
    return Done(job=job.order.job, fault=fault, timings=job.timings)


def folder_bytes(folder: Path) -> int:
    """Bytes of all files below a folder; what vanishes while we look counts nothing."""
    total = 0
    with contextlib.suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            with contextlib.suppress(OSError):
                if entry.is_dir(follow_symlinks=False):
                    total += folder_bytes(Path(entry.path))
                else:
                    total += entry.stat(follow_symlinks=False).st_size
    return total


def group_memory(group: int) -> int:
    """Private resident bytes of a process group: what is shared with the zygote is not counted."""
    total = 0
    for name in os.listdir("/proc"):  # noqa: PTH208 - names are all that is needed
        if not name.isdigit():
            continue
        with contextlib.suppress(OSError, ValueError, IndexError):
            with open(f"/proc/{name}/stat", "rb") as file:  # noqa: PTH123 - many, often
                fields = file.read().rpartition(b")")[2].split()
            if int(fields[2]) == group:
                with open(f"/proc/{name}/statm", "rb") as file:  # noqa: PTH123
                    _, resident, shared, *_ = file.read().split()
                total += (int(resident) - int(shared)) * _PAGE
    return total


def _remove(path: Path) -> None:
    shutil.rmtree(path, ignore_errors=True)
    with contextlib.suppress(OSError):
        path.unlink()
