"""Core NATS: talk only. Everything said here may be lost, late or repeated."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Final, Self, TypeVar

from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.errors import Error as NatsError
from opentelemetry.trace import SpanKind
from pydantic import ValidationError

from trawler_common import logs, telemetry
from trawler_crds.messages import Message

log = logs.get("bus")

MAX_PENDING: Final = 4096
MAX_HANDLERS: Final = 64

Question = TypeVar("Question", bound=Message)
Answer = TypeVar("Answer", bound=Message)


class NoAnswer(Exception):
    """Nobody answered in time: the outcome is unknown, neither success nor failure."""


class Bus:
    """A connection that comes back for ever, and typed messages over it."""

    def __init__(self, client: Client, tasks: asyncio.TaskGroup) -> None:
        self._client = client
        self._tasks = tasks
        self._limit = asyncio.Semaphore(MAX_HANDLERS)
        self.connected_since: float | None = None
        """Monotonic seconds; None while there is no connection. Lease clocks run from here."""
        self.closed = asyncio.Event()

    @classmethod
    async def connect(
        cls, url: str, *, name: str, tasks: asyncio.TaskGroup, patience: float = 60
    ) -> Self:
        """Connect. Raises OSError or NatsError when nothing answers within `patience` seconds."""
        client = Client()
        bus = cls(client, tasks)

        async def lost() -> None:
            bus.connected_since = None
            log.warning("bus_lost")

        async def found() -> None:
            bus.connected_since = time.monotonic()
            log.info("bus_found")

        async def closed() -> None:
            bus.connected_since = None
            bus.closed.set()

        async def failed(error: Exception) -> None:
            log.debug("bus_error", extra={"error": repr(error)})

        limit = time.monotonic() + patience
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
            except (TimeoutError, OSError, NatsError):
                if time.monotonic() > limit:
                    raise
                await asyncio.sleep(0.5)
        bus.connected_since = time.monotonic()
        return bus

    @property
    def connected(self) -> bool:
        return self.connected_since is not None

    async def close(self) -> None:
        """Flush what was said and leave."""
        if not self._client.is_closed:
            try:
                async with asyncio.timeout(2):
                    await self._client.flush(timeout=2)
            except (NatsError, TimeoutError):
                pass
            await self._client.close()

    async def request(
        self, subject: str, question: Message, answer: type[Answer], *, timeout: float
    ) -> Answer:
        """Ask and wait. Raises NoAnswer after `timeout` seconds, or at once where nobody listens."""
        try:
            reply = await self._client.request(
                subject,
                question.model_dump_json(by_alias=True, exclude_none=True).encode(),
                timeout=timeout,
                headers=telemetry.headers() or None,
            )
        except (TimeoutError, NatsError, OSError) as error:
            raise NoAnswer(f"no answer on {subject}: {error!r}") from error
        try:
            return answer.model_validate_json(reply.data)
        except ValidationError as error:
            raise NoAnswer(f"an answer on {subject} that says nothing") from error

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
    ) -> Callable[[], Awaitable[None]]:
        """Answer requests. `handle` gets the subject and the message; None means no answer.

        What does not parse is counted as noise and dropped. Answers with a way to stop.
        """

        async def answer(message: Msg) -> None:
            async with self._limit:
                await self._answer(message, question, handle)

        async def heard(message: Msg) -> None:
            self._tasks.create_task(answer(message), name=f"answer {message.subject}")

        subscription = await self._client.subscribe(
            subject, cb=heard, pending_msgs_limit=MAX_PENDING
        )
        # Once we return, the server routes to us. Twice: nats-py writes the PING of a flush ahead of
        # what is pending, so only the second one comes after our SUB.
        await self._client.flush(timeout=5)
        await self._client.flush(timeout=5)
        return subscription.unsubscribe

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
