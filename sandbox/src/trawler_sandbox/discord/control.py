"""The control API: inject faults, advance the clock, read counters. Not reachable from outside."""

from dataclasses import asdict
from typing import Any

from aiohttp import web

from trawler_sandbox.discord.buckets import Buckets
from trawler_sandbox.discord.faults import Answer, Faults
from trawler_sandbox.discord.gateway import Gateway
from trawler_sandbox.discord.hub import Hub
from trawler_sandbox.discord.messages import Messages
from trawler_sandbox.discord.middleware import reply

PREFIX = "/_control"


class Control:
    """JSON in and out. All names are those of the emulator's own code."""

    def __init__(
        self, hub: Hub, messages: Messages, gateway: Gateway, faults: Faults, buckets: Buckets
    ) -> None:
        self._hub = hub
        self._messages = messages
        self._gateway = gateway
        self._faults = faults
        self._buckets = buckets

    def routes(self) -> list[web.RouteDef]:
        return [
            web.get(f"{PREFIX}/counters", self._counters),
            web.get(f"{PREFIX}/people", self._people),
            web.get(f"{PREFIX}/whispers", self._whispers),
            web.post(f"{PREFIX}/gateway", self._disturb),
            web.post(f"{PREFIX}/answer", self._answer),
            web.post(f"{PREFIX}/limits", self._limits),
            web.post(f"{PREFIX}/clock", self._clock),
            web.post(f"{PREFIX}/guild", self._guild),
            web.post(f"{PREFIX}/thread", self._thread),
            web.post(f"{PREFIX}/application", self._application),
            web.post(f"{PREFIX}/crowd", self._crowd),
        ]

    async def _counters(self, _: web.Request) -> web.Response:
        return reply(asdict(self._hub.counters))

    async def _people(self, _: web.Request) -> web.Response:
        """All users with their tokens, and all guilds: for drivers and for the page."""
        found = [
            {"id": str(user.id), "name": user.name, "bot": user.bot, "token": user.token}
            for user in self._hub.world.users.values()
        ]
        guilds = [
            {
                "id": str(guild.id),
                "name": guild.name,
                "channels": [{"id": str(c.id), "name": c.name} for c in guild.channels.values()],
            }
            for guild in self._hub.world.guilds.values()
        ]
        return reply({"people": found, "guilds": guilds})

    async def _whispers(self, _: web.Request) -> web.Response:
        """All ephemeral messages: clients receive each once, and no history contains it."""
        channels = [c for g in self._hub.world.guilds.values() for c in g.channels.values()]
        found = [
            {"for": str(message.for_user), "content": message.content}
            for channel in channels
            for message in channel.messages.values()
            if message.for_user is not None
        ]
        return reply(found)

    async def _disturb(self, request: web.Request) -> web.Response:
        """Disturb every connection of a bot:
        `{"what": "reconnect" | "invalid_session" | "close" | "abort", …}`.
        """
        body = await request.json()
        return reply({"connections": await self._gateway.disturb(**body)})

    async def _answer(self, request: web.Request) -> web.Response:
        """Answer the next requests of a kind with an error (`faults.Answer`)."""
        self._faults.answers.append(Answer(**await request.json()))
        return reply({})

    async def _limits(self, request: web.Request) -> web.Response:
        """Set limits:
        `{"buckets": {"enabled": true, …}, "token_seconds": 5, "mute_heartbeats": true}`.
        """
        body: dict[str, Any] = await request.json()
        if "buckets" in body:
            self._buckets.set(**body.pop("buckets"))
        self._faults.mute_heartbeats = body.pop("mute_heartbeats", self._faults.mute_heartbeats)
        for name, value in body.items():
            _assign(self._hub.limits, name, value)
        return reply({})

    async def _clock(self, request: web.Request) -> web.Response:
        """Advance the clock: `{"skip": seconds}`."""
        self._hub.skipped += float((await request.json())["skip"])
        return reply({"now": self._hub.now()})

    async def _guild(self, request: web.Request) -> web.Response:
        """Change a guild:
        `{"id": …, "upload_bytes": …, "refused_bytes": …, "blocked_words": […]}`.
        """
        body: dict[str, Any] = await request.json()
        guild = self._hub.world.guilds[int(body.pop("id"))]
        for name, value in body.items():
            _assign(guild, name, value)
        return reply({})

    async def _application(self, request: web.Request) -> web.Response:
        """Set the privileged intents granted to an application: `{"id": …, "privileged": bits}`."""
        body = await request.json()
        self._hub.world.applications[int(body["id"])].privileged = int(body["privileged"])
        return reply({})

    async def _thread(self, request: web.Request) -> web.Response:
        """Archive or lock a thread: `{"id": …, "archived": true, "locked": true}`."""
        body = await request.json()
        thread = self._hub.channel(int(body["id"]))
        self._messages.archive(thread, archived=body["archived"], locked=body["locked"])
        return reply({})

    async def _crowd(self, request: web.Request) -> web.Response:
        """Add members and channels to a guild: `{"guild": …, "people": 50, "channels": 50}`.
        Returns their tokens and ids.
        """
        body = await request.json()
        world = self._hub.world
        guild = world.guilds[int(body["guild"])]
        people = [world.add_user(f"person{number}") for number in range(body["people"])]
        for person in people:
            world.join(guild, person)
        channels = [
            world.add_channel(guild, f"channel{number}") for number in range(body["channels"])
        ]
        return reply(
            {
                "tokens": [person.token for person in people],
                "channels": [str(channel.id) for channel in channels],
            }
        )


def _assign(target: Any, name: str, value: Any) -> None:
    if not hasattr(target, name):
        raise web.HTTPBadRequest(text=f"There is no {name} to set.")
    setattr(target, name, value)
