"""The gateway, and what Discord does to those who hurry: a stock discord.py client lives through
it.
"""

import asyncio
import time

import aiohttp
import discord
import pytest

from emulated import Emulated, Person, Stock, until
from trawler_sandbox.discord.gateway import OUTBOX
from trawler_sandbox.discord.server import Discord, may_control


async def test_a_connection_that_breaks_is_resumed_and_nothing_is_missed(
    stock: Stock, ben: Person, emulated: Emulated
) -> None:
    """op 7, op 9 true, a close, a TCP abort."""
    for number, what in enumerate(["reconnect", "invalid_session", "close", "abort"]):
        assert 1 == await emulated.discord.gateway.disturb(what, code=4000, resumable=True)
        await ben.says(f"word {number}")
        await stock.event_of("message", at_least=number + 1)
        await stock.event_of("resumed", at_least=number + 1)
    assert 1 == emulated.hub.counters.identifies
    assert 4 == len([name for name, _ in stock.seen if name == "message"])


async def test_a_session_that_is_not_resumable_begins_anew(
    stock: Stock, emulated: Emulated
) -> None:
    """op 9 false: another IDENTIFY, and `ready` a second time."""
    emulated.hub.limits.identify_seconds = 0.0
    await emulated.discord.gateway.disturb("invalid_session", resumable=False)
    await until(lambda: [name for name, _ in stock.seen if name == "ready"], at_least=2, seconds=20)
    assert 2 == emulated.hub.counters.identifies


async def test_what_was_forgotten_cannot_be_resumed(emulated: Emulated, ben: Person) -> None:
    """The server itself says op 9 false where its buffer does not reach back."""
    emulated.hub.limits.replay = 3
    emulated.hub.limits.identify_seconds = 0.0
    async with emulated.client() as stock:
        session = next(s for s in emulated.discord.gateway.sessions.values() if s.application)
        await emulated.discord.gateway.disturb("abort")
        session.past.clear()
        for number in range(5):
            session.say("TYPING_START", {"channel_id": "1", "user_id": "2", "timestamp": number})
        await until(
            lambda: [name for name, _ in stock.seen if name == "ready"], at_least=2, seconds=20
        )


async def test_who_leaves_is_not_kept_and_who_is_lost_only_for_a_while(emulated: Emulated) -> None:
    """Else the gateway would write for ever to tabs that were closed long ago."""
    sessions = emulated.discord.gateway.sessions
    emulated.hub.limits.resume_seconds = 0.2
    async with aiohttp.ClientSession() as http:
        for code, kept in ((1000, False), (4000, True)):
            async with http.ws_connect(f"{emulated.hub.address}/gateway") as socket:
                await socket.receive_json()
                await socket.send_json({"op": 2, "d": {"token": emulated.ben.token}})
                (session,) = await until(lambda: [s for s in sessions.values() if s.socket])
                await socket.close(code=code)
            await until(lambda: [] if any(s.socket for s in sessions.values()) else ["hung up"])
            assert kept == (session.id in sessions)
            await until(lambda: ["gone"] if not sessions else [])
        async with http.ws_connect(f"{emulated.hub.address}/gateway") as socket:
            await socket.receive_json()
            late = {"token": emulated.ben.token, "session_id": session.id, "seq": session.sequence}
            await socket.send_json({"op": 6, "d": late})
            assert 9 == (await socket.receive_json())["op"]


async def test_who_does_not_read_is_hung_up_on_and_may_resume(emulated: Emulated) -> None:
    """What waits for one client is bounded; the newest events are there for it afterwards."""
    sessions = emulated.discord.gateway.sessions
    async with aiohttp.ClientSession() as http:
        async with http.ws_connect(f"{emulated.hub.address}/gateway") as socket:
            await socket.receive_json()
            await socket.send_json({"op": 2, "d": {"token": emulated.ben.token}})
            (session,) = await until(lambda: [s for s in sessions.values() if s.socket])
            for number in range(OUTBOX + 1):  # in one go: nothing is sent meanwhile
                session.say("TYPING_START", {"number": number})
            await until(lambda: [] if session.socket else ["hung up"])
        async with http.ws_connect(f"{emulated.hub.address}/gateway") as socket:
            await socket.receive_json()
            last = {"token": emulated.ben.token, "session_id": session.id}
            await socket.send_json({"op": 6, "d": {**last, "seq": session.sequence - 1}})
            assert OUTBOX == (await socket.receive_json())["d"]["number"]
            assert "RESUMED" == (await socket.receive_json())["t"]


async def test_a_bad_token_and_a_forbidden_intent_end_the_client(emulated: Emulated) -> None:
    """4004 at the gateway comes after 401 by REST; 4014 where a privileged intent was not
    granted.
    """
    token, emulated.application.bot.token = emulated.application.bot.token, "another"
    client = Stock(intents=discord.Intents.default())
    with pytest.raises(discord.LoginFailure):
        await client.start(token)
    await client.close()
    emulated.application.bot.token = token
    intents = discord.Intents.default()
    intents.message_content = True
    with pytest.raises(discord.PrivilegedIntentsRequired):
        async with emulated.client(intents=intents):
            pass
    emulated.application.privileged = 1 << 15
    emulated.hub.limits.identify_seconds = 0.0
    async with emulated.client(intents=intents) as stock, emulated.person(emulated.ben) as ben:
        await ben.says("read by permission")
        assert "read by permission" == (await stock.event_of("message"))[0].content


async def test_a_connection_without_a_valid_token_is_closed(emulated: Emulated) -> None:
    """4004; and 4003 for who speaks before he says who he is."""
    async with aiohttp.ClientSession() as session:
        for frame, code in (
            ({"op": 2, "d": {"token": "Bot nobody", "intents": 0}}, 4004),
            ({"op": 3, "d": {}}, 4003),
        ):
            async with session.ws_connect(f"{emulated.hub.address}/gateway") as socket:
                assert 10 == (await socket.receive_json())["op"]
                await socket.send_json(frame)
                assert aiohttp.WSMsgType.CLOSE == (await socket.receive()).type
                assert code == socket.close_code


async def test_guilds_go_to_their_shards(
    emulated: Emulated, monkeypatch: pytest.MonkeyPatch
) -> None:
    """(guild_id >> 22) % shards; READY names the shard."""
    emulated.hub.limits.shards = 2
    emulated.hub.limits.max_concurrency = 2

    async def at_once(*_: object, **__: object) -> None: ...

    monkeypatch.setattr(discord.AutoShardedClient, "before_identify_hook", at_once)
    client = discord.AutoShardedClient(intents=discord.Intents.default(), guild_ready_timeout=0.1)
    running = asyncio.create_task(client.start(emulated.application.bot.token))
    try:
        async with asyncio.timeout(20):
            await asyncio.sleep(0)
            while not client.is_ready():
                await asyncio.sleep(0.05)
        assert {0, 1} == set(client.shards)
        guild = client.get_guild(emulated.guild.id)
        assert guild is not None
        assert (emulated.guild.id >> 22) % 2 == guild.shard_id
    finally:
        await client.close()
        await asyncio.gather(running, return_exceptions=True)


async def test_identifies_are_spaced_and_counted(emulated: Emulated) -> None:
    """Too soon: op 9 false. `/gateway/bot` says how many are left today."""
    async with emulated.client() as stock:
        before = await stock.http.get_bot_gateway()
        assert before is not None
        async with aiohttp.ClientSession() as session:
            async with session.ws_connect(f"{emulated.hub.address}/gateway") as socket:
                await socket.receive_json()
                token = f"Bot {emulated.application.bot.token}"
                await socket.send_json({"op": 2, "d": {"token": token, "intents": 0}})
                assert {"op": 9, "d": False} == {
                    key: value
                    for key, value in (await socket.receive_json()).items()
                    if key in {"op", "d"}
                }
            headers = {"Authorization": token}
            async with session.get(
                f"{emulated.hub.address}/api/v10/gateway/bot", headers=headers
            ) as answer:
                limit = (await answer.json())["session_start_limit"]
    assert (1000, 998, 1) == (limit["total"], limit["remaining"], limit["max_concurrency"])


async def test_a_client_keeps_within_a_bucket_and_waits_out_a_429(
    stock: Stock, emulated: Emulated
) -> None:
    """Headers on every answer; a global 429 stops everything for a moment; 5xx is tried again."""
    where = stock.get_channel(emulated.channel.id)
    assert isinstance(where, discord.TextChannel)
    emulated.discord.buckets.set(enabled=True, size=3, seconds=0.5)
    begun = time.monotonic()
    for number in range(7):
        await where.send(f"word {number}")
    assert time.monotonic() - begun > 0.8
    assert 0 == emulated.hub.counters.limited, "it read the headers"
    address = f"{emulated.hub.address}/_control/answer"
    async with aiohttp.ClientSession() as session:
        for fault in (
            {"method": "POST", "path": "/messages", "status": 429, "retry_after": 0.3},
            {"method": "POST", "path": "/messages", "status": 502},
        ):
            async with session.post(address, json=fault | {"is_global": "retry_after" in fault}):
                pass
        await where.send("in the end")
    assert "in the end" == list(emulated.channel.messages.values())[-1].content
    assert 1 == emulated.hub.counters.limited


async def test_unheard_heartbeats_make_a_client_come_back(emulated: Emulated) -> None:
    """The switch for acks; discord.py itself waits a minute, so that we ask by hand."""
    emulated.discord.faults.mute_heartbeats = True
    async with (
        aiohttp.ClientSession() as session,
        session.ws_connect(f"{emulated.hub.address}/gateway") as socket,
    ):
        await socket.receive_json()
        await socket.send_json({"op": 1, "d": None})
        with pytest.raises(TimeoutError):
            await socket.receive_json(timeout=0.3)
        emulated.discord.faults.mute_heartbeats = False
        await socket.send_json({"op": 1, "d": None})
        assert 11 == (await socket.receive_json())["op"]


@pytest.mark.parametrize(("host", "there"), [("127.0.0.1", True), ("0.0.0.0", False)])
async def test_the_hidden_side_exists_on_loopback_only(
    emulated: Emulated, monkeypatch: pytest.MonkeyPatch, host: str, *, there: bool
) -> None:
    """Or inside a cluster, where the service is internal."""
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    assert there is may_control(host)
    app = Discord(emulated.hub.folder).app(control=may_control(host))
    paths = {route.resource.canonical for route in app.router.routes() if route.resource}
    assert there is any(path.startswith("/_control") for path in paths)
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.0.0.1")
    assert may_control(host)
