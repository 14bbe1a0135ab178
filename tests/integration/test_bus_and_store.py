"""A real nats-server and a real versitygw."""

import asyncio
import hashlib
import json
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import httpx
import pytest
from aiohttp import web

from servers import free_port, http_ok, nats, ready_store, store
from trawler_common.bus import Bus, RequestTimeout
from trawler_common.grants import Credentials
from trawler_common.store import Store, StoreRefused, StoreSettings, StoreUnavailable
from trawler_crds import subjects
from trawler_crds.keys import object_key
from trawler_crds.messages import Presence, Seen, UploadFile, UploadGrant
from trawler_worker.agent.__main__ import serve
from trawler_worker.agent.settings import Settings

THERE = "1" * 64
HELLO = Presence(pool="p", sequence=1, free=1, taken=0)


async def answering(_: str, __: Presence) -> Seen:
    return Seen()


async def test_a_request_is_answered(nats_url: str, tasks: asyncio.TaskGroup) -> None:
    """Typed both ways."""
    server = await Bus.connect(nats_url, name="a", tasks=tasks)
    client = await Bus.connect(nats_url, name="b", tasks=tasks)
    await server.serve("x.*", Presence, answering)
    assert Seen() == await client.request("x.y", HELLO, Seen, timeout=5)
    await client.close()
    await server.close()


async def test_where_nobody_listens_that_is_said_at_once(
    nats_url: str, tasks: asyncio.TaskGroup
) -> None:
    """Not after the whole time-out."""
    bus = await Bus.connect(nats_url, name="a", tasks=tasks)
    begun = time.monotonic()
    with pytest.raises(RequestTimeout):
        await bus.request("nobody.here", HELLO, Seen, timeout=30)
    assert time.monotonic() - begun < 10
    await bus.close()


async def test_nonsense_is_dropped_and_the_next_message_is_heard(
    nats_url: str, tasks: asyncio.TaskGroup
) -> None:
    """A hostile peer stops nobody's loop."""
    server = await Bus.connect(nats_url, name="a", tasks=tasks)
    client = await Bus.connect(nats_url, name="b", tasks=tasks)
    await server.serve("x.*", Presence, answering)
    for junk in (b"", b"not json", b'{"pool": 5}', b"\xff" * 1000):
        await client._client.publish("x.y", junk)
    assert Seen() == await client.request("x.y", HELLO, Seen, timeout=5)
    await client.close()
    await server.close()


async def test_a_worker_that_starts_without_a_bus_waits_for_it(
    tmp_path: Path, tasks: asyncio.TaskGroup
) -> None:
    """Its containers do not end: each beginning would come later than the one before."""
    heard: asyncio.Queue[str] = asyncio.Queue()
    stop, port, page = asyncio.Event(), free_port(), free_port()

    async def hear(subject: str, said: Presence) -> Seen:
        await heard.put(said.pool)
        return Seen()

    async def fetcher(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    settings = Settings(
        install="t",
        pod="p",
        pool="default",
        nats_url=f"nats://127.0.0.1:{port}",
        socket=tmp_path / "s",
        health_port=page,
    )
    async with await asyncio.start_unix_server(fetcher, settings.socket):
        agent = tasks.create_task(serve(stop, settings))
        address = f"http://127.0.0.1:{page}"
        async with asyncio.timeout(20):
            while not await asyncio.to_thread(http_ok, f"{address}/healthz"):
                await asyncio.sleep(0.05)
        assert not http_ok(f"{address}/readyz")
        with nats(tmp_path, port) as url:
            bus = await Bus.connect(url, name="operator", tasks=tasks)
            await bus.serve(subjects.presence("t", "*"), Presence, hear)
            assert "default" == await asyncio.wait_for(heard.get(), 20)
            async with asyncio.timeout(20):
                while not await asyncio.to_thread(http_ok, f"{address}/readyz"):
                    await asyncio.sleep(0.05)
            stop.set()
            await asyncio.wait_for(agent, 20)
            await bus.close()


def test_a_stopped_server_keeps_its_port(tmp_path: Path) -> None:
    """Else a neighbour of these tests answers in its place: seen once, as a store that said 404."""
    port = free_port()
    for _ in range(2):
        with socket.socket() as other, pytest.raises(OSError, match="in use"):
            other.bind(("127.0.0.1", port))
        with nats(tmp_path, port):
            pass


async def test_the_bus_comes_back_after_its_server_was_away(
    tmp_path: Path, tasks: asyncio.TaskGroup
) -> None:
    """For ever, and it is known since when."""
    port = free_port()
    with nats(tmp_path, port) as url:
        server = await Bus.connect(url, name="a", tasks=tasks)
        client = await Bus.connect(url, name="b", tasks=tasks)
        await server.serve("x", Presence, answering)
        first = client.connected_since
    async with asyncio.timeout(10):
        while client.connected or server.connected:
            await asyncio.sleep(0.05)
    with nats(tmp_path, port):
        async with asyncio.timeout(20):
            while not (client.connected and server.connected):
                await asyncio.sleep(0.05)
        assert Seen() == await client.request("x", HELLO, Seen, timeout=5)
        assert first is not None
        assert client.connected_since is not None
        assert client.connected_since > first
        await client.close()
        await server.close()


async def test_what_hangs_on_one_subject_delays_no_other_and_makes_no_tasks_without_end(
    nats_url: str, tasks: asyncio.TaskGroup
) -> None:
    """Eighty results while the store hung left presences unanswered."""
    server = await Bus.connect(nats_url, name="a", tasks=tasks)
    client = await Bus.connect(nats_url, name="b", tasks=tasks)
    under_way, go_on = 0, asyncio.Event()

    async def hang(_: str, __: Presence) -> Seen:
        nonlocal under_way
        under_way += 1
        await go_on.wait()
        return Seen()

    await server.serve("results", Presence, hang, at_once=4)
    await server.serve("presence", Presence, answering)
    asked = [
        asyncio.create_task(client.request("results", HELLO, Seen, timeout=20)) for _ in range(200)
    ]
    for _ in range(20):
        assert Seen() == await client.request("presence", HELLO, Seen, timeout=2)
    assert 4 == under_way
    go_on.set()
    assert [Seen()] * 200 == await asyncio.gather(*asked), "what waited is answered, too"
    await client.close()
    await server.close()


BODY = b"some media" * 1000


def _file(body: bytes = BODY) -> UploadFile:
    digest = hashlib.sha256(body).hexdigest()
    return UploadFile(sha256=digest, bytes=len(body), type="video/mp4")


async def _put(grant: UploadGrant, body: bytes, **headers: str) -> int:
    async with (
        aiohttp.ClientSession() as session,
        session.put(grant.url, data=body, headers={**grant.headers, **headers}) as answer,
    ):
        return answer.status


async def test_a_grant_stores_exactly_the_bytes_it_names(store_settings: StoreSettings) -> None:
    """And the second time says that they are there."""
    found = await ready_store(store_settings)
    grant = found.grant(_file(), seconds=60)
    assert not await found.has(_file().sha256, len(BODY))
    assert 200 == await _put(grant, BODY)
    assert await found.has(_file().sha256, len(BODY))
    assert not await found.has(_file().sha256, len(BODY) + 1)
    assert BODY == await found.get(_file().sha256)
    assert 412 == await _put(grant, BODY)


async def test_wrong_bytes_are_refused_by_the_store_itself(store_settings: StoreSettings) -> None:
    """Same length, other content: the checksum is signed."""
    found = await ready_store(store_settings)
    wrong = b"x" + BODY[1:]
    assert 400 == await _put(found.grant(_file(), seconds=60), wrong)
    assert [] == await found.keys()


@pytest.mark.parametrize("left_out", ["x-amz-checksum-sha256", "if-none-match", "content-length"])
async def test_a_grant_without_one_of_its_headers_is_worth_nothing(
    store_settings: StoreSettings, left_out: str
) -> None:
    """They are signed."""
    found = await ready_store(store_settings)
    grant = found.grant(_file(), seconds=60)
    headers = {name: value for name, value in grant.headers.items() if name != left_out}
    body = BODY + b"more" if left_out == "content-length" else BODY
    async with httpx.AsyncClient(trust_env=False) as client:
        answer = await client.put(grant.url, content=body, headers=headers)
    assert 400 <= answer.status_code < 500
    assert [] == await found.keys()


async def test_a_grant_holds_for_its_own_key_only(store_settings: StoreSettings) -> None:
    """Another address under the same signature is refused."""
    found = await ready_store(store_settings)
    grant = found.grant(_file(), seconds=60)
    other = object_key("mine", "f" * 64)
    moved = grant.model_copy(
        update={"url": grant.url.replace(object_key("mine", grant.sha256), other)}
    )
    assert 403 == await _put(moved, BODY)


async def test_a_store_that_is_away_is_not_an_object_that_is_missing(tmp_path: Path) -> None:
    """The difference between waiting and failing."""
    with store(tmp_path) as settings:
        found = await ready_store(settings)
    with pytest.raises(StoreUnavailable):
        await found.has("0" * 64, 1)
    with pytest.raises(StoreUnavailable):
        await found.ensure_bucket()


@asynccontextmanager
async def _answering(
    answer: Callable[[web.Request], Awaitable[web.Response]], *, region: str = "us-east-1"
) -> AsyncIterator[Store]:
    """A store of which only the answers are made up, as S3 gives them to credentials that may do
    little.
    """
    app = web.Application()
    app.router.add_route("*", "/{tail:.*}", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield Store(
        StoreSettings(
            endpoint=f"http://127.0.0.1:{runner.addresses[0][1]}",
            bucket="bucket",
            region=region,
            prefix="mine",
            credentials=lambda: Credentials(access_key="a", secret_key="s", session_token="t/1"),
        )
    )
    await runner.cleanup()


def _error(status: int, code: str) -> web.Response:
    body = f"<Error><Code>{code}</Code><Message>no</Message></Error>"
    return web.Response(status=status, text=body, content_type="application/xml")


async def test_credentials_for_our_own_prefix_only_are_enough(tmp_path: Path) -> None:
    """What lies below the prefix of before is refused to them: then it is not there, and the store
    is not away. Where many asked at once the refusals opened the breaker, and somebody else's
    object was away.
    """

    async def answer(request: web.Request) -> web.Response:
        if "/bucket/mine/" not in request.path:
            return _error(403, "AccessDenied")
        return web.Response(body=BODY) if THERE in request.path else _error(404, "NoSuchKey")

    async with _answering(answer) as found:
        assert [False] * 20 == await asyncio.gather(*(found.has("0" * 64, 5) for _ in range(20)))
        assert not found.breaker.open
        with pytest.raises(FileNotFoundError):
            await found.get("0" * 64)
        with pytest.raises(FileNotFoundError):
            await found.save("0" * 64, 5, tmp_path / "file", timeout=5)
        assert BODY == await found.get(THERE)


@pytest.mark.parametrize("may", ["read", "nothing"])
async def test_credentials_that_may_make_no_bucket_are_enough_where_they_may_read_it(
    may: str,
) -> None:
    """The rule outside of tests; it was asked for once a second, for ever."""
    listing = "<ListBucketResult><IsTruncated>false</IsTruncated></ListBucketResult>"

    async def answer(request: web.Request) -> web.Response:
        if request.method == "GET" and may == "read":
            return web.Response(text=listing, content_type="application/xml")
        return _error(403, "AccessDenied")

    async with _answering(answer) as found:
        if may == "read":
            await found.ensure_bucket()
        else:
            with pytest.raises(StoreRefused, match="refused to make the bucket"):
                await found.ensure_bucket()


@pytest.mark.parametrize(
    ("region", "said"), [("us-east-1", ""), ("eu-central-1", "eu-central-1"), ("a&b", "a&amp;b")]
)
async def test_a_bucket_is_made_in_its_region_by_whoever_has_a_session(
    region: str, said: str
) -> None:
    """Everywhere but in the oldest one it has to be said; temporary credentials sign with their
    token.
    """
    asked: list[tuple[str, str]] = []

    async def answer(request: web.Request) -> web.Response:
        asked.append((await request.text(), request.query["X-Amz-Security-Token"]))
        assert f"/{region}/s3/" in request.query["X-Amz-Credential"]
        return web.Response()

    async with _answering(answer, region=region) as found:
        await found.ensure_bucket()
    ((body, token),) = asked
    constraint = f"<LocationConstraint>{said}</LocationConstraint>"
    assert (constraint in body) if said else body == ""
    assert token == "t/1"


async def test_an_error_after_which_the_client_does_not_come_back_is_no_end(
    tasks: asyncio.TaskGroup,
) -> None:
    """Too many connections, credentials that ended: the bot stayed deaf, and ready; operator and
    worker ended. Another client is opened, and everything is served again.
    """
    subscribed: list[int] = []
    connections = 0

    async def server(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        mine = connections
        hello = {"server_id": "a", "version": "2.10.0", "max_payload": 1048576, "proto": 1}
        writer.write(f"INFO {json.dumps({**hello, 'headers': True})}\r\n".encode())
        while line := await reader.readline():
            if line.startswith(b"PING"):
                writer.write(b"PONG\r\n")
            if line.startswith(b"SUB"):
                subscribed.append(mine)
                if mine == 1:
                    writer.write(b"-ERR 'User Authentication Expired'\r\n")
                    await writer.drain()
                    break
        writer.close()

    listening = await asyncio.start_server(server, "127.0.0.1", 0)
    port = listening.sockets[0].getsockname()[1]
    bus = await Bus.connect(f"nats://127.0.0.1:{port}", name="a", tasks=tasks)
    await bus.serve("x.*", Presence, answering)
    async with asyncio.timeout(20):
        while 2 not in subscribed or not bus.connected:
            await asyncio.sleep(0.05)
    await bus.close()
    listening.close()
    assert [1, 2] == subscribed
