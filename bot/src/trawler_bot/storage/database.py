"""Stores the bot's data in PostgreSQL. No job needs it to end: while the database is away, every
query has a default answer, and writes are kept in memory.
"""

import asyncio
import logging
import secrets
import time
from collections import deque
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final, TypeVar

import psycopg
from cryptography.fernet import Fernet, InvalidToken
from psycopg import AsyncConnection
from psycopg.rows import TupleRow
from psycopg_pool import AsyncConnectionPool, PoolTimeout

from trawler_bot.storage.migrations import LOCK, STEPS
from trawler_common import logs
from trawler_crds.media_job import MediaFile

log = logs.get("records")
logging.getLogger("psycopg.pool").setLevel(logging.ERROR)  # each worker logs each try; we do once

Connection = AsyncConnection[TupleRow]
Found = TypeVar("Found")

CONNECTIONS: Final = 4
"""Connections that are opened in advance: each costs the server a process."""
DEADLINE: Final = 0.4
"""Seconds for which the answer to a person waits for the database."""
PATIENCE: Final = 5.0
"""Timeout in seconds for statements that no person waits for: with many at once, the last one
finishes late.
"""
AGAIN: Final = 2.0
"""Seconds after a failure in which no queries are sent."""
LOOKING: Final = 2
"""Connections for autocompletion, which may be slow and is not essential: it must not delay
anything else.
"""
FAILURES: Final = 3
"""Consecutive timeouts after which the database counts as away: a single statement may be slow by
itself.
"""
LATER: Final = 10_000
"""Maximum number of writes kept in memory while the database is away."""
KEPT: Final = timedelta(days=30)
"""How long requests are stored, for autocompletion."""
LIMIT_KEPT: Final = timedelta(days=1)
"""How long a learnt limit is trusted; Discord has changed them three times since 2023."""
SWEEP_EVERY: Final = 3600.0
RECENT: Final = 25
"""Maximum number of autocomplete choices that Discord accepts."""

PASSING: Final = (psycopg.OperationalError, psycopg.InterfaceError, PoolTimeout, TimeoutError)
"""Errors of a database that is away or too slow; any other error is about the statement alone."""


@dataclass(frozen=True)
class Request:
    """Who requested what, and where."""

    job: str
    guild_id: int
    channel_id: int
    requester_id: int
    url: str
    id: int = 0


TOKEN_SECONDS: Final = 840.0
"""Seconds for which we use an interaction's token: Discord's fifteen minutes, less one."""


@dataclass(frozen=True)
class InteractionToken:
    """Allows the bot to write an interaction's message, for a quarter of an hour."""

    token: str
    most_bytes: int
    """Maximum bytes of one file, as announced with this interaction."""
    expires: float
    """Unix seconds from which we no longer use it."""

    def alive(self, now: float) -> bool:
        return now < self.expires


@dataclass(frozen=True)
class Link:
    """A stored file that anyone with this address may fetch."""

    id: str
    sha256: str
    name: str
    kind: str
    bytes: int


_REQUEST: Final = (
    "insert into requests (job, guild_id, channel_id, requester_id, url)"
    " values (%s, %s, %s, %s, %s) on conflict (job) do nothing"
)
_ASKED_AND_HELD: Final = (
    "with asked as ("
    " insert into requests (job, guild_id, channel_id, requester_id, url)"
    " values (%s, %s, %s, %s, %s) on conflict (job) do nothing"
    ") insert into passes (job, token, most_bytes, expires)"
    " values (%s, %s, %s, %s) on conflict (job) do nothing"
)


class Unanswered(Exception):
    """The database did not answer: its content is unknown."""


class StatementRefused(Unanswered):
    """The database refused the statement: a retry would fail in the same way."""


class Lane:
    """Connections for one kind of query, and whether the database has answered them lately."""

    def __init__(self, url: str, size: int) -> None:
        self._silent_until = 0.0
        self._failures = 0
        self.pool: AsyncConnectionPool[Connection] = AsyncConnectionPool(
            url,
            min_size=size,
            max_size=size,
            open=False,
            timeout=DEADLINE,
            reconnect_timeout=0,  # the next query starts a new attempt
            # each statement is a transaction: a person waits for no further round trip
            kwargs={
                "connect_timeout": 2,
                "options": "-c statement_timeout=5000",
                "autocommit": True,
            },
        )

    def ready(self) -> bool:
        """Whether the database answers, as far as is known."""
        return time.monotonic() >= self._silent_until

    async def ask(
        self, what: str, work: Callable[[Connection], Awaitable[Found]], patience: float
    ) -> Found:
        """Run a query. Raises Unanswered."""
        if not self.ready():
            raise Unanswered(what)

        async def run() -> Found:
            async with self.pool.connection(timeout=patience) as connection:
                return await work(connection)

        # a frozen server delays even the cancellation: the caller continues without it
        asked = asyncio.create_task(run(), name=f"ask {what}")
        done, _ = await asyncio.wait({asked}, timeout=patience)
        if done and asked.exception() is None:
            self._failures = 0
            return asked.result()
        error = asked.exception() if done else TimeoutError()
        if isinstance(error, psycopg.Error) and not isinstance(error, PASSING):
            log.error("statement_refused", extra={"asked": what, "error": repr(error)})
            raise StatementRefused(what)
        if error is not None and not isinstance(error, PASSING):
            raise error
        if not done:
            asked.add_done_callback(_look_away)
            asked.cancel()
        self._failed(what, error, slow=isinstance(error, TimeoutError | PoolTimeout))
        raise Unanswered(what)

    def _failed(self, what: str, error: BaseException | None, *, slow: bool) -> None:
        self._failures += 1
        if not slow or self._failures >= FAILURES:
            self._silent_until = time.monotonic() + AGAIN
        log.warning("database_away", extra={"asked": what, "error": repr(error)})


class Database:
    """Runs all statements of the bot."""

    def __init__(self, url: str, key: bytes) -> None:
        self._box = Fernet(key)
        self._ready = False
        self._settled = asyncio.Event()
        self._lane = Lane(url, CONNECTIONS)
        self._looking = Lane(url, LOOKING)
        self._later: deque[tuple[str, Callable[[Connection], Awaitable[None]]]] = deque(
            maxlen=LATER
        )
        """Writes that were not possible while the database was away, oldest first."""

    async def run(self) -> None:
        """Create the tables as soon as the database answers, then delete old rows periodically,
        forever.
        """
        for lane in (self._lane, self._looking):
            await lane.pool.open(wait=False)
        try:
            swept = -SWEEP_EVERY
            while True:
                try:
                    if not self._ready or time.monotonic() - swept >= SWEEP_EVERY:
                        async with self._lane.pool.connection(timeout=10) as connection:
                            await _migrate(connection)
                            await _forget(connection)
                        self._ready, swept = True, time.monotonic()
                        self._settled.set()
                    await self._catch_up()
                except (psycopg.Error, *PASSING, Unanswered) as error:
                    log.warning("database_away", extra={"error": repr(error)})
                await asyncio.sleep(AGAIN)
        finally:
            for lane in (self._lane, self._looking):
                await lane.pool.close()

    async def _catch_up(self) -> None:
        """Repeat the writes that were not possible before. Raises Unanswered."""
        while self._later:
            what, work = self._later.popleft()
            try:
                await self._lane.ask(what, work, PATIENCE)
            except StatementRefused:
                continue  # a retry would block all others forever
            except Unanswered:
                self._later.appendleft((what, work))
                raise

    async def settled(self, seconds: float) -> None:
        """Wait until the database has answered for the first time, for `seconds` at most."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._settled.wait()

    def ready(self) -> bool:
        """Whether the database answered the last time."""
        return self._ready and self._lane.ready()

    async def _ask(
        self,
        what: str,
        work: Callable[[Connection], Awaitable[Found]],
        otherwise: Found,
        *,
        patience: float = DEADLINE,
        lane: Lane | None = None,
    ) -> Found:
        try:
            return await self._insist(what, work, patience=patience, lane=lane)
        except Unanswered:
            return otherwise

    async def _insist(
        self,
        what: str,
        work: Callable[[Connection], Awaitable[Found]],
        *,
        patience: float = DEADLINE,
        lane: Lane | None = None,
    ) -> Found:
        """Run a query that has no default answer. Raises Unanswered."""
        if not self._ready:
            raise Unanswered(what)
        return await (lane or self._lane).ask(what, work, patience)

    async def _note(
        self,
        what: str,
        work: Callable[[Connection], Awaitable[None]],
        *,
        patience: float = DEADLINE,
    ) -> None:
        """Write now, or as soon as the database answers again while this process lives. Older
        writes that are still waiting come first.
        """
        if self._later:
            self._later.append((what, work))
            return
        try:
            await self._insist(what, work, patience=patience)
        except StatementRefused:
            return
        except Unanswered:
            self._later.append((what, work))

    # requests and their tokens ----------------------------------------------------------------

    async def note(
        self, request: Request, held: InteractionToken | None, *, patience: float = DEADLINE
    ) -> None:
        """Store who requested what and, with a token, how its message is found and written after a
        restart. `patience`: timeout in seconds.
        """

        async def work(connection: Connection) -> None:
            asked = (request.guild_id, request.channel_id, request.requester_id, request.url)
            if held is None:
                await connection.execute(_REQUEST, (request.job, *asked))
                return
            token = self._box.encrypt(held.token.encode())
            expires = datetime.fromtimestamp(held.expires, UTC)
            await connection.execute(
                _ASKED_AND_HELD,
                (request.job, *asked, request.job, token, held.most_bytes, expires),
            )

        await self._note("note", work, patience=patience)

    async def token(self, job: str) -> InteractionToken | None:
        """The token of a job's interaction, if it is still valid. Raises Unanswered if that is
        unknown.
        """

        async def work(connection: Connection) -> InteractionToken | None:
            cursor = await connection.execute(
                "select token, most_bytes, expires from passes where job = %s and expires > now()",
                (job,),
            )
            row = await cursor.fetchone()
            if row is None:
                return None
            try:
                token = self._box.decrypt(bytes(row[0])).decode()
            except InvalidToken:  # the key was changed: the token counts as missing
                return None
            return InteractionToken(token, row[1], row[2].timestamp())

        return await self._insist("token", work)

    async def recent(self, requester_id: int, guild_id: int, containing: str) -> list[Request]:
        """The last requests of a person in one server, each address once, newest first."""

        async def work(connection: Connection) -> list[Request]:
            cursor = await connection.execute(
                "select job, guild_id, channel_id, requester_id, url, id from ("
                "  select distinct on (url) * from requests"
                "  where requester_id = %s and guild_id = %s and position(lower(%s) in"
                " lower(url)) > 0"
                "  order by url, asked desc"
                ") as each_once order by asked desc limit %s",
                (requester_id, guild_id, containing, RECENT),
            )
            return [Request(*row) for row in await cursor.fetchall()]

        return await self._ask("recent", work, [], lane=self._looking)

    async def request(self, number: int, requester_id: int) -> Request | None:
        """A request by its number, if it is this person's own."""

        async def work(connection: Connection) -> Request | None:
            cursor = await connection.execute(
                "select job, guild_id, channel_id, requester_id, url, id from requests"
                " where id = %s and requester_id = %s",
                (number, requester_id),
            )
            row = await cursor.fetchone()
            return Request(*row) if row else None

        return await self._ask("request", work, None)

    # limits -----------------------------------------------------------------------------------

    async def limits(self) -> dict[tuple[int, str], tuple[int, float]]:
        """(server, route) → the learnt limit in bytes, and when (Unix seconds) it was learnt."""

        async def work(connection: Connection) -> dict[tuple[int, str], tuple[int, float]]:
            cursor = await connection.execute(
                "select guild_id, route, most_bytes, learnt from limits where learnt > %s",
                (datetime.now(UTC) - LIMIT_KEPT,),
            )
            return {(r[0], r[1]): (r[2], r[3].timestamp()) for r in await cursor.fetchall()}

        return await self._ask("limits", work, {})

    async def learn(self, guild_id: int, route: str, most_bytes: int) -> None:
        """Record that Discord refused more than this."""

        async def work(connection: Connection) -> None:
            await connection.execute(
                "insert into limits (guild_id, route, most_bytes) values (%s, %s, %s)"
                " on conflict (guild_id, route)"
                " do update set most_bytes = excluded.most_bytes, learnt = now()",
                (guild_id, route, most_bytes),
            )

        await self._note("learn", work)

    # links ------------------------------------------------------------------------------------

    async def publish(self, job: str, file: MediaFile, seconds: float) -> str | None:
        """The id under which a file can be fetched; a repeated call returns the same id. Raises
        Unanswered.
        """

        async def work(connection: Connection) -> str | None:
            cursor = await connection.execute(
                "insert into links (id, job, sha256, name, kind, bytes, expires)"
                " values (%s, %s, %s, %s, %s, %s, %s)"
                " on conflict (job, sha256, name) do update set expires = excluded.expires"
                " returning id",
                (
                    *(secrets.token_urlsafe(18), job, file.sha256, file.name),
                    *(file.type, file.bytes, datetime.now(UTC) + timedelta(seconds=seconds)),
                ),
            )
            row = await cursor.fetchone()
            return str(row[0]) if row else None

        return await self._insist("publish", work, patience=PATIENCE)

    async def link(self, number: str) -> Link | None:
        """A link that has neither expired nor been revoked."""

        async def work(connection: Connection) -> Link | None:
            cursor = await connection.execute(
                "select id, sha256, name, kind, bytes from links"
                " where id = %s and not revoked and expires > now()",
                (number,),
            )
            row = await cursor.fetchone()
            return Link(*row) if row else None

        return await self._ask("link", work, None)

    async def revoke(self, first: str) -> bool:
        """Revoke all links of a message: those of the job for which it was first sent, and of the
        jobs that took it over. Returns False if nothing changed because the database is away.
        """

        async def work(connection: Connection) -> bool:
            await connection.execute(
                "update links set revoked = true where job = %s or starts_with(job, %s)",
                (first, f"{first}-r"),
            )
            return True

        return await self._ask("revoke", work, otherwise=False)

    # commands ---------------------------------------------------------------------------------

    async def commands(self, application_id: int) -> str | None:
        """The digest of the commands that were registered last."""

        async def work(connection: Connection) -> str | None:
            cursor = await connection.execute(
                "select digest from commands where application_id = %s", (application_id,)
            )
            row = await cursor.fetchone()
            return str(row[0]) if row else None

        return await self._ask("commands", work, None)

    async def note_commands(self, application_id: int, digest: str) -> None:
        """Record that these commands are registered."""

        async def work(connection: Connection) -> None:
            await connection.execute(
                "insert into commands (application_id, digest) values (%s, %s)"
                " on conflict (application_id) do update set digest = excluded.digest",
                (application_id, digest),
            )

        await self._note("note commands", work)


def _look_away(asked: "asyncio.Task[Any]") -> None:
    """Retrieve the outcome of an abandoned query, so that asyncio does not report its exception."""
    if not asked.cancelled():
        asked.exception()


async def _migrate(connection: Connection) -> None:
    """Run the missing migration steps in one transaction; another bot waits meanwhile."""
    async with connection.transaction():
        await connection.execute("select pg_advisory_xact_lock(%s)", (LOCK,))
        await connection.execute("create table if not exists steps (number int primary key)")
        cursor = await connection.execute("select coalesce(max(number), 0) from steps")
        row = await cursor.fetchone()
        done = int(row[0]) if row else 0
        for number, step in enumerate(STEPS[done:], done + 1):
            await connection.execute(step)
            await connection.execute("insert into steps (number) values (%s)", (number,))
            log.info("database_step", extra={"number": number})


async def _forget(connection: Connection) -> None:
    """Delete what is too old to be of use."""
    await connection.execute("delete from passes where expires < now()")
    await connection.execute("delete from links where expires < now()")
    await connection.execute(
        "delete from limits where learnt < %s", (datetime.now(UTC) - LIMIT_KEPT,)
    )
    await connection.execute("delete from requests where asked < %s", (datetime.now(UTC) - KEPT,))
