"""The bot's database: a real PostgreSQL."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import psycopg
import pytest
from cryptography.fernet import Fernet

from postgres import Postgres
from trawler_bot.delivery.upload_limits import Route, UploadLimits
from trawler_bot.storage.database import (
    DEADLINE,
    PATIENCE,
    Database,
    InteractionToken,
    Request,
    Unanswered,
)
from trawler_crds.media_job import MediaFile

pytestmark = pytest.mark.timeout(120)

ASKED = Request(job="d-1", guild_id=7, channel_id=8, requester_id=9, url="https://example.com/a")
RECORDED = Path(__file__).parents[1] / "contract" / "recorded"
FILE = MediaFile(name="a.mp4", bytes=5, sha256="0" * 64, type="video/mp4")


@asynccontextmanager
async def open_records(database: str, key: bytes | None = None) -> AsyncIterator[Database]:
    found = Database(database, key or Fernet.generate_key())
    running = asyncio.create_task(found.run())
    await found.settled(30)
    try:
        yield found
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


def rows(database: str, query: str) -> list[tuple[object, ...]]:
    with psycopg.connect(database) as connection:
        return connection.execute(query.encode()).fetchall()


async def test_several_bots_make_the_tables_once(database: str) -> None:
    """At the same moment, under one lock; a later one finds them made."""
    async with (
        open_records(database) as one,
        open_records(database) as two,
        open_records(database) as three,
    ):
        assert all(each.ready() for each in (one, two, three))
    assert [(1,)] == rows(database, "select number from steps")


async def test_what_an_earlier_release_wrote_is_read(database: str) -> None:
    """A dump of the database of commit 3eecce0, brought up to date at the first connection."""
    known = json.loads((RECORDED / "database.json").read_text())
    with psycopg.connect(database) as connection:
        connection.execute((RECORDED / "database.sql").read_bytes())
    async with open_records(database, known["key"].encode()) as records:
        assert (token := await records.token("d-1")) is not None
        assert ("a-token", 10_000_000) == (token.token, token.most_bytes)
        found = await records.recent(9, 7, "example.com")
        assert {"d-1", "d-2"} == {each.job for each in found}
        assert (link := await records.link(known["link"])) is not None
        assert FILE.sha256 == link.sha256
        assert "digest-of-commands" == await records.commands(5)


async def test_an_interactions_token_is_kept_encrypted_and_for_its_time(database: str) -> None:
    """Of no use without the key, nor once it has ended."""
    key = Fernet.generate_key()
    async with open_records(database, key) as records:
        await records.note(ASKED, InteractionToken("secret-token", 123, time.time() + 60))
        held = await records.token("d-1")
        assert held is not None
        assert ("secret-token", 123) == (held.token, held.most_bytes)
        await records.note(
            Request("d-2", 7, 8, 9, ASKED.url), InteractionToken("old-token", 123, time.time() - 1)
        )
        assert await records.token("d-2") is None
    (stored,) = rows(database, "select token from passes where job = 'd-1'")
    assert b"secret-token" not in bytes(stored[0])  # type: ignore[call-overload]
    async with open_records(database) as other:
        assert await other.token("d-1") is None


async def test_notes_are_made_in_the_order_in_which_they_came(database: str) -> None:
    """One that waits for the database is older than one that finds it back: the older one stood
    last.
    """
    async with open_records(database) as records:
        records._lane._silent_until = time.monotonic() + 1
        await records.learn(7, "channel", 100)
        records._lane._silent_until = 0
        await records.learn(7, "channel", 50)
        async with asyncio.timeout(30):
            while records._later or not await records.limits():
                await asyncio.sleep(0.1)
        await asyncio.sleep(0.2)  # the last of them is being made
        assert 50 == (await records.limits())[7, "channel"][0]


async def test_a_note_that_nobody_waits_for_is_made_late(database: str) -> None:
    """The table is locked for a second; whoever is waited for goes on without it."""
    async with open_records(database) as records:
        with psycopg.connect(database) as other:
            other.execute("lock table requests in access exclusive mode")
            late = asyncio.create_task(records.note(ASKED, None, patience=PATIENCE))
            begun = time.monotonic()
            await records.note(Request("d-2", 7, 8, 9, ASKED.url), None)
            assert time.monotonic() - begun < 1
            done, _ = await asyncio.wait({late}, timeout=DEADLINE)
            assert not done
            other.rollback()
            await late
    assert ("d-1",) in rows(database, "select job from requests")


async def test_ones_own_requests_are_found_again(database: str) -> None:
    """Each address once, the newest first, of one server; nobody else's."""
    async with open_records(database) as records:
        for number, url in enumerate(("https://a/1", "https://a/2", "https://a/1"), 1):
            await records.note(Request(f"d-{number}", 7, 8, 9, url), None)
        found = await records.recent(9, 7, "HTTPS://A")
        assert ["https://a/1", "https://a/2"] == [each.url for each in found]
        assert [] == await records.recent(9, 1, "")
        assert [] == await records.recent(1, 7, "")
        again = await records.request(found[0].id, 9)
        assert again is not None
        assert "https://a/1" == again.url
        assert await records.request(found[0].id, 1) is None
        assert [] == await records.recent(9, 7, "%")


async def test_a_limit_is_learnt_for_a_server_and_a_route_and_for_a_day(database: str) -> None:
    """By the next life too."""
    async with open_records(database) as records:
        limits = UploadLimits(records)
        await limits.learn(7, Route.TOKEN, 100)
        assert 100 == limits.of(7, Route.TOKEN, 500)
        assert 50 == limits.of(7, Route.TOKEN, 50)
        assert 500 == limits.of(7, Route.CHANNEL, 500)
        assert 500 == limits.of(8, Route.TOKEN, 500)
        later = UploadLimits(records)
        await later.load()
        assert 100 == later.of(7, Route.TOKEN, 500)
        with psycopg.connect(database) as connection:
            connection.execute("update limits set learnt = now() - interval '25 hours'")
        forgotten = UploadLimits(records)
        await forgotten.load()
        assert 500 == forgotten.of(7, Route.TOKEN, 500)


async def test_a_link_is_one_until_it_is_revoked_or_old(database: str) -> None:
    """Asked for twice it is the same; nobody can guess it."""
    async with open_records(database) as records:
        first = await records.publish("d-1", FILE, 60)
        assert first is not None
        assert len(first) == 24
        assert first == await records.publish("d-1", FILE, 60)
        found = await records.link(first)
        assert found is not None
        assert ("a.mp4", 5) == (found.name, found.bytes)
        await records.revoke("d-1")
        assert await records.link(first) is None
        old = await records.publish("d-2", FILE, -1)
        assert old is not None
        assert await records.link(old) is None


async def test_while_it_is_away_there_are_plain_answers(database: str, postgres: Postgres) -> None:
    """Fast, and it is used again once it is back."""
    async with open_records(database) as records:
        await records.note_commands(1, "digest")
        postgres.stop()
        try:
            begun = time.monotonic()
            assert await records.commands(1) is None
            assert [] == await records.recent(9, 7, "")
            with pytest.raises(Unanswered):
                await records.publish("d-1", FILE, 60)
            assert time.monotonic() - begun < 2
        finally:
            postgres.start()
        async with asyncio.timeout(30):
            while await records.commands(1) != "digest":
                await asyncio.sleep(0.1)


async def test_what_the_database_does_not_take_keeps_nobody_else_waiting(database: str) -> None:
    """A character that no text of PostgreSQL holds: typed into a completion, or in what is
    noted.
    """
    async with open_records(database) as records:
        assert [] == await records.recent(9, 7, "a\x00b")
        await records.note(Request("d-1", 7, 8, 9, "https://a/\x00"), None)
        assert records.ready()
        await records.note(Request("d-2", 7, 8, 9, "https://a/2"), None)
        assert ["https://a/2"] == [each.url for each in await records.recent(9, 7, "")]
        assert 0 == len(records._later)
