"""Core NATS: talk only. Everything said here may be lost, late or repeated."""

import asyncio
import math
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final, Self, TypeVar

from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription
from nats.errors import Error as NatsError
from nats.errors import SlowConsumerError
from opentelemetry.trace import SpanKind
from pydantic import ValidationError

from trawler_common import logs, telemetry
from trawler_common.backoff import Backoff
from trawler_common.errors import Transient
from trawler_crds.messages import Message

log = logs.get("bus")

MAX_PENDING: Final = 4096
AT_ONCE: Final = 64
"""Messages of one subscription that are answered together; further ones wait, and more than
MAX_PENDING are dropped, as anything on the bus may be.
"""

LONG_ENOUGH: Final = 60.0
"""Seconds that a connection lasts which was a good one."""

SAID_EVERY: Final = 30.0
"""Seconds between two lines of log that say that no server is found."""

Question = TypeVar("Question", bound=Message)
Answer = TypeVar("Answer", bound=Message)


class RequestTimeout(Transient):
    """Nobody answered in time: the outcome is unknown, neither success nor failure."""


@dataclass
class _Served:
    """What is heard on a subject, by whichever client there is."""

    subject: str
    heard: Callable[[Msg], Awaitable[None]]
    client: Client | None = None
    """The one that was told of it last."""
    subscription: Subscription | None = None


class Bus:
    """A connection that comes back for ever, and typed messages over it."""

    def __init__(self, tasks: asyncio.TaskGroup) -> None:
        self._client = Client()
        self._tasks = tasks
        self._served: list[_Served] = []
        self._leaving = False
        self._anew = Backoff(first=1.0, longest=30.0)
        self.dropped = 0
        """Messages that came faster than they could be answered."""
        self.connected_since: float | None = None
        """Monotonic seconds; None while there is no connection. Lease clocks run from here."""
        self._opened = asyncio.Event()
        """Set while there is a client that had a connection: it connects again by itself."""
        self._opened_at = 0.0

    @classmethod
    async def connect(
        cls, url: str, *, name: str, tasks: asyncio.TaskGroup, patience: float = 60
    ) -> Self:
        """Connect. Raises OSError or NatsError when nothing answers within `patience` seconds."""
        bus = cls(tasks)
        await bus._open(url, name, patience)
        return bus

    @classmethod
    def opening(cls, url: str, *, name: str, tasks: asyncio.TaskGroup) -> Self:
        """A bus at once, whose connection is tried for ever: for whoever has work to do without
        it.
        """
        bus = cls(tasks)
        tasks.create_task(bus._open(url, name, math.inf), name="open the bus")
        return bus

    async def _open(self, url: str, name: str, patience: float) -> None:
        async def lost() -> None:
            self.connected_since = None
            log.warning("bus_lost")

        async def found() -> None:
            self.connected_since = time.monotonic()
            log.info("bus_found")

        async def closed() -> None:
            self.connected_since = None
            self._opened.clear()
            if not self._leaving:
                if time.monotonic() - self._opened_at > LONG_ENOUGH:
                    self._anew.reset()
                self._tasks.create_task(self._open_anew(url, name), name="open the bus anew")

        async def failed(error: Exception) -> None:
            if isinstance(error, SlowConsumerError):
                self.dropped += 1
            log.debug("bus_error", extra={"error": repr(error)})

        client = Client()
        limit = time.monotonic() + patience
        said = -math.inf
        while True:
            try:
                await client.connect(
                    url,
                    name=name,
                    connect_timeout=5,
                    allow_reconnect=True,
                    max_reconnect_attempts=-1,
                    reconnect_time_wait=1,
                    ping_interval=5,
                    max_outstanding_pings=2,
                    inbox_prefix=f"_INBOX_{name}".encode(),
                    disconnected_cb=lost,
                    reconnected_cb=found,
                    closed_cb=closed,
                    error_cb=failed,
                )
                break
            except (TimeoutError, OSError, NatsError) as error:
                now = time.monotonic()
                if now > limit:
                    raise
                if now - said > SAID_EVERY:
                    said = now
                    log.warning("bus_not_found", extra={"error": repr(error)})
                await asyncio.sleep(0.5)
        self._client = client
        self._opened_at = self.connected_since = time.monotonic()
        self._opened.set()

    async def _open_anew(self, url: str, name: str) -> None:
        """The server sent an error after which the client does not come back by itself: too many
        connections, or credentials that ended. With another client, and all that is served.
        """
        log.warning("bus_closed")
        await self._anew.pause()
        if not self._leaving:
            await self._open(url, name, math.inf)
        if self._leaving:
            await self.close()
            return
        for served in list(self._served):
            await self._subscribe(served)
        log.info("bus_found")

    @property
    def connected(self) -> bool:
        return self.connected_since is not None

    async def close(self) -> None:
        """Flush what was said and leave."""
        self._leaving = True
        if self._opened.is_set() and not self._client.is_closed:
            try:
                async with asyncio.timeout(2):
                    await self._client.flush(timeout=2)
            except (NatsError, TimeoutError):
                pass
            await self._client.close()

    async def request(
        self, subject: str, question: Message, answer: type[Answer], *, timeout: float
    ) -> Answer:
        """Ask and wait. Raises RequestTimeout after `timeout` seconds, or at once where nobody
        listens.
        """
        if not self._opened.is_set():
            raise RequestTimeout(f"no answer on {subject}: the bus was not found yet")
        try:
            reply = await self._client.request(
                subject,
                question.model_dump_json(by_alias=True, exclude_none=True).encode(),
                timeout=timeout,
                headers=telemetry.headers() or None,
            )
        except (TimeoutError, NatsError, OSError) as error:
            raise RequestTimeout(f"no answer on {subject}: {error!r}") from error
        try:
            return answer.model_validate_json(reply.data)
        except ValidationError as error:
            raise RequestTimeout(f"an answer on {subject} that says nothing") from error

    async def publish(self, subject: str, message: Message) -> None:
        """Say it; nobody needs to hear. Dropped while there is no connection."""
        if self.connected:
            await self._client.publish(
                subject, message.model_dump_json(by_alias=True, exclude_none=True).encode()
            )

    async def serve(
        self,
        subject: str,
        question: type[Question],
        handle: Callable[[str, Question], Awaitable[Message | None]],
        *,
        at_once: int = AT_ONCE,
    ) -> Callable[[], Awaitable[None]]:
        """Answer requests. `handle` gets the subject and the message; None means no answer. No more
        than `at_once` are under way, in a lane of their own: what hangs here delays nothing
        elsewhere.

        What does not parse is counted as noise and dropped. Answers with a way to stop.
        """
        await self._opened.wait()
        hands = asyncio.Semaphore(at_once)

        async def answer(message: Msg) -> None:
            try:
                await self._answer(message, question, handle)
            finally:
                hands.release()

        async def heard(message: Msg) -> None:
            await hands.acquire()
            self._tasks.create_task(answer(message), name=f"answer {message.subject}")

        served = _Served(subject, heard)
        self._served.append(served)
        await self._subscribe(served)
        # Once we return, the server routes to us. Twice: nats-py writes the PING of a flush ahead
        # of
        # what is pending, so only the second one comes after our SUB.
        try:
            await self._client.flush(timeout=5)
            await self._client.flush(timeout=5)
        except (NatsError, TimeoutError) as error:  # the client subscribes again when it is back
            log.warning("bus_slow", extra={"subject": subject, "error": repr(error)})

        async def stop() -> None:
            self._served.remove(served)
            if served.subscription is not None:
                await served.subscription.unsubscribe()

        return stop

    async def _subscribe(self, served: _Served) -> None:
        """Once for each client, whoever comes first: who serves, or who opened the bus anew."""
        client = self._client
        if served.client is client:
            return
        served.client = client
        try:
            served.subscription = await client.subscribe(
                served.subject, cb=served.heard, pending_msgs_limit=MAX_PENDING
            )
        except NatsError as error:  # it closed meanwhile: the next client is told
            log.warning("bus_slow", extra={"subject": served.subject, "error": repr(error)})

    async def _answer(
        self,
        raw: Msg,
        question: type[Question],
        handle: Callable[[str, Question], Awaitable[Message | None]],
    ) -> None:
        try:
            parsed = question.model_validate_json(raw.data)
        except ValidationError:
            log.warning("message_dropped", extra={"subject": raw.subject})
            return
        with telemetry.span(
            f"handle {question.__name__}",
            parent=telemetry.context_from(raw.headers),
            kind=SpanKind.CONSUMER,
        ):
            try:
                reply = await handle(raw.subject, parsed)
            except Exception:
                # one message must not end the service; who asked hears nothing and asks again
                log.exception("message_failed", extra={"subject": raw.subject})
                return
        if reply is not None and raw.reply:
            try:
                await raw.respond(reply.model_dump_json(by_alias=True, exclude_none=True).encode())
            except NatsError as error:
                log.warning("reply_lost", extra={"subject": raw.subject, "error": repr(error)})
