"""The Discord emulator in this process, a stock discord.py client at it, and a person beside."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any, Final, TypeVar

import aiohttp
import discord
import pytest
import yarl

from openapi import Checker
from trawler_sandbox.discord.seed import seed_guild
from trawler_sandbox.discord.server import Discord
from trawler_sandbox.discord.world import Channel, User

API: Final = "/api/v10"
Anything = TypeVar("Anything")


class Emulated:
    """A guild with two people and a bot; what is asked and answered is checked."""

    def __init__(self, folder: Path) -> None:
        self.discord = Discord(folder)
        self.checker = Checker()
        self.discord.hub.observers.append(self.checker.observe)
        there = seed_guild(self.discord.world)
        self.ada, self.ben = there.ada, there.ben
        self.application, self.guild, self.channel = there.application, there.guild, there.general

    @property
    def hub(self) -> Any:
        return self.discord.hub

    def add_channel(self, name: str, **more: Any) -> Channel:
        """A further channel or thread of the guild, of which all who see it hear."""
        channel = self.discord.world.add_channel(self.guild, name, **more)
        self.discord.messages.announce(channel)
        return channel

    def point(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Send discord.py here: three class attributes, nothing else."""
        address = self.hub.address
        monkeypatch.setattr(discord.http.Route, "BASE", address + API)
        gateway = yarl.URL(address.replace("http", "ws") + "/gateway")
        monkeypatch.setattr(discord.gateway.DiscordWebSocket, "DEFAULT_GATEWAY", gateway)
        monkeypatch.setattr(discord.Asset, "BASE", address)

    @asynccontextmanager
    async def client(self, **more: Any) -> AsyncIterator["Stock"]:
        """A client that is ready."""
        stock = Stock(intents=more.pop("intents", discord.Intents.default()), **more)
        running = asyncio.create_task(stock.start(self.application.bot.token))
        try:
            async with asyncio.timeout(30):
                await stock.wait_for_ready(running)
            yield stock
        finally:
            await stock.close()
            with suppress(Exception, asyncio.CancelledError):
                await running

    @asynccontextmanager
    async def person(self, user: User) -> AsyncIterator["Person"]:
        """Somebody with a client of his own."""
        async with aiohttp.ClientSession() as session:
            person = Person(self, user, session)
            await person.connect()
            try:
                yield person
            finally:
                await person.leave()


class Stock(discord.Client):
    """discord.py as it comes, and a note of every event."""

    def __init__(self, **more: Any) -> None:
        super().__init__(guild_ready_timeout=0.1, **more)
        self.tree = discord.app_commands.CommandTree(self)
        self.seen: list[tuple[str, tuple[Any, ...]]] = []

    async def wait_for_ready(self, running: asyncio.Task[None]) -> None:
        """Raises what ended the client, if something did."""
        ready = asyncio.create_task(self._wait())
        await asyncio.wait({ready, running}, return_when=asyncio.FIRST_COMPLETED)
        if running.done():
            ready.cancel()
            running.result()

    async def _wait(self) -> None:
        while not self.is_closed() and "ready" not in {name for name, _ in self.seen}:
            await asyncio.sleep(0.01)

    def dispatch(self, event: str, /, *args: Any, **kwargs: Any) -> None:
        self.seen.append((event, args))
        super().dispatch(event, *args, **kwargs)

    async def event_of(self, name: str, *, at_least: int = 1) -> tuple[Any, ...]:
        """Wait for an event; answers with what came with the last of so many."""
        found = await until(
            lambda: [args for known, args in self.seen if known == name], at_least=at_least
        )
        return found[at_least - 1]


async def until(
    look: Callable[[], list[Anything]], *, at_least: int = 1, seconds: float = 30
) -> list[Anything]:
    """Wait until a list has grown so long."""
    async with asyncio.timeout(seconds):
        while len(found := look()) < at_least:
            await asyncio.sleep(0.01)
    return found


def _options(given: dict[str, str | bool]) -> list[dict[str, Any]]:
    return [
        {
            "type": 5 if isinstance(value, bool) else 3,
            "name": name.replace("_", "-"),
            "value": value,
        }
        for name, value in given.items()
    ]


class Person:
    """A person's own client: asks by REST with a user's token, hears by the gateway."""

    def __init__(self, at: Emulated, user: User, session: aiohttp.ClientSession) -> None:
        self._at = at
        self.user = user
        self._session = session
        self.heard: list[tuple[str, dict[str, Any]]] = []
        self._listening: asyncio.Task[None] | None = None
        self._socket: aiohttp.ClientWebSocketResponse | None = None

    async def connect(self) -> None:
        socket = self._socket = await self._session.ws_connect(f"{self._at.hub.address}/gateway")
        await socket.send_json({"op": 2, "d": {"token": self.user.token}})

        async def listen() -> None:
            async for message in socket:
                frame = json.loads(message.data)
                if frame["op"] == 0:
                    self.heard.append((frame["t"], frame["d"]))

        self._listening = asyncio.create_task(listen())
        await self.hears("READY")

    async def leave(self) -> None:
        assert self._listening is not None
        assert self._socket is not None
        await self._socket.close()
        await self._listening

    async def hears(self, name: str, *, at_least: int = 1) -> dict[str, Any]:
        """Wait for an event; answers with the last of so many."""
        found = await until(lambda: [b for n, b in self.heard if n == name], at_least=at_least)
        return found[at_least - 1]

    async def ask(self, method: str, path: str, body: Any = None) -> Any:
        """A request with this person's token; raises with what was refused."""
        headers = {"Authorization": self.user.token}
        async with self._session.request(
            method, self._at.hub.address + API + path, json=body, headers=headers
        ) as answer:
            said = await answer.read()
            assert answer.status < 300, said.decode()
            return json.loads(said) if said else None

    async def says(self, content: str, channel: Channel | None = None) -> dict[str, Any]:
        where = (channel or self._at.channel).id
        found: dict[str, Any] = await self.ask(
            "POST", f"/channels/{where}/messages", {"content": content}
        )
        return found

    async def interacts(
        self,
        kind: int,
        data: dict[str, Any],
        *,
        nonce: str = "n",
        message: Any = None,
        channel: Channel | None = None,
    ) -> None:
        body = {
            "type": kind,
            "application_id": str(self._at.application.id),
            "guild_id": str(self._at.guild.id),
            "channel_id": str((channel or self._at.channel).id),
            "session_id": "page",
            "nonce": nonce,
            "data": data,
        }
        if message is not None:
            body["message_id"] = str(message)
        await self.ask("POST", "/interactions", body)

    async def types(
        self, command: str, *, at: Channel | None = None, **options: str | bool
    ) -> None:
        """A slash command (`queue list` is one with its part) with its options."""
        name, _, part = command.partition(" ")
        given: list[dict[str, Any]] = _options(options)
        if part:
            given = [{"type": 1, "name": part, "options": given}]
        await self.interacts(2, {"name": name, "type": 1, "options": given}, channel=at)

    async def completes(self, command: str, option: str, text: str) -> list[dict[str, Any]]:
        """What the bot offers for what is typed so far."""
        name, _, part = command.partition(" ")
        given = [{"type": 3, "name": option, "value": text, "focused": True}]
        options = [{"type": 1, "name": part, "options": given}] if part else given
        answer = "APPLICATION_COMMAND_AUTOCOMPLETE_RESPONSE"
        before = len([1 for heard, _ in self.heard if heard == answer])
        await self.interacts(4, {"name": name, "type": 1, "options": options})
        found: list[dict[str, Any]] = (await self.hears(answer, at_least=before + 1))["choices"]
        return found

    async def right_clicks(self, message: Any, command: str) -> None:
        """A command of the menu that a message has."""
        await self.interacts(2, {"name": command, "type": 3, "target_id": str(message)})

    async def chooses(self, message: Any, custom_id: str, *values: str) -> None:
        """From a list."""
        data = {"component_type": 3, "custom_id": custom_id, "values": list(values)}
        await self.interacts(3, data, message=message)

    async def presses(
        self, message: Any, custom_id: str, *, channel: Channel | None = None
    ) -> None:
        """A button."""
        data = {"component_type": 2, "custom_id": custom_id}
        await self.interacts(3, data, message=message, channel=channel)
