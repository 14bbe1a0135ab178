"""The socket to the agent: one conversation; when it ends, so does every job."""

import asyncio
import socket
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Final

from pydantic import ValidationError

from trawler_common import logs
from trawler_crds.failures import FailureReason
from trawler_worker.fetcher.supervision.supervisor import JobSupervisor
from trawler_worker.protocol import MAX_LINE, Done, Fault, Fetch, Release, Stop, ToFetcher, line

log = logs.get("server")

MAX_JOBS: Final = 64
ANYONE: Final = -1


class Server:
    """Speaks with the first client that has the agent's user id."""

    def __init__(self, supervisor: JobSupervisor, *, agent_uid: int) -> None:
        self._supervisor = supervisor
        self._agent_uid = agent_uid
        self._jobs: dict[str, asyncio.Task[None]] = {}
        self.taken = False
        self._writer: asyncio.StreamWriter | None = None
        self.left = asyncio.Event()
        """Set when the agent hung up: nobody wants the work any more."""

    async def listen(self, path: Path) -> asyncio.Server:
        path.unlink(missing_ok=True)
        server = await asyncio.start_unix_server(self._serve, path, limit=MAX_LINE)
        path.chmod(0o660)
        return server

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # a job process shares our user id and could dial this socket: it is not the agent
        if self.taken or not _is(writer, self._agent_uid):
            writer.close()
            return
        self.taken, self._writer = True, writer
        try:
            async with asyncio.TaskGroup() as tasks:
                while data := await reader.readline():
                    self._take(data, writer, tasks)
                for task in self._jobs.values():
                    task.cancel()
        except (ConnectionError, ValueError, ValidationError) as error:
            log.warning("agent_lost", extra={"error": type(error).__name__})
        finally:
            writer.close()
            self.left.set()

    def hang_up(self) -> None:
        """End the conversation from our side: the agent then knows that this pod is of no use."""
        if self._writer is not None:
            self._writer.transport.abort()

    def _take(self, data: bytes, writer: asyncio.StreamWriter, tasks: asyncio.TaskGroup) -> None:
        match ToFetcher.validate_json(data):
            case Fetch() as order if order.job not in self._jobs and len(self._jobs) < MAX_JOBS:
                self._supervisor.expect(order)  # the very next line may stop it
                work = self._work(order, writer)
                self._jobs[order.job] = tasks.create_task(work, name=f"job {order.job}")
            case Stop(job=job):
                self._supervisor.stop(job)
            case Release(job=job):
                self._supervisor.release(job)
            case unexpected:
                log.warning("order_dropped", extra={"job": unexpected.job})

    async def _work(self, order: Fetch, writer: asyncio.StreamWriter) -> None:
        say: Callable[..., None] = lambda message: writer.write(line(message))  # noqa: E731
        try:
            done = await self._supervisor.run(order, say)
        finally:
            del self._jobs[order.job]
        if done.fault is not None:
            self._supervisor.release(order.job)
        if len(line(done)) > MAX_LINE:
            log.warning("job_said_too_much", extra={"job": order.job})
            self._supervisor.release(order.job)
            done = Done(job=order.job, fault=Fault(reason=FailureReason.INTERNAL))
        say(done)
        await writer.drain()


def _is(writer: asyncio.StreamWriter, uid: int) -> bool:
    peer: socket.socket = writer.get_extra_info("socket")
    found = peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    return uid in {ANYONE, struct.unpack("3i", found)[1]}
