"""The gateway, version 10, with JSON in text frames. Bots connect to it, and so do the page's
users.
"""

import asyncio
import json
import secrets
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final, cast

from aiohttp import WSMsgType, web

from trawler_sandbox.discord import permissions, serializers
from trawler_sandbox.discord.faults import Faults
from trawler_sandbox.discord.hub import Event, Hub, Listener
from trawler_sandbox.discord.permissions import Permission
from trawler_sandbox.discord.world import Application, Channel, Guild, User

HEARTBEAT: Final = 41_250
"""Milliseconds between two heartbeats of a client."""
SENDS_PER_MINUTE: Final = 120
ANEW: Final = frozenset({4007, 4009})
"""Close codes after which a session cannot be resumed (docs: Gateway Close Event Codes)."""
LEAVING: Final = frozenset({0, 1000, 1001})
"""Close codes with which a client ends its session (0: no code, as from a closed browser tab)."""
OUTBOX: Final = 10_000
"""Events queued for a client that does not read. Beyond that we abort the connection, and the
client may resume.
"""
PRIVILEGED: Final = 1 << 1 | 1 << 8 | 1 << 15
MESSAGE_CONTENT: Final = 1 << 15
_GUILD_INTENTS: Final = {
    "MESSAGE_CREATE": 9,
    "MESSAGE_UPDATE": 9,
    "MESSAGE_DELETE": 9,
    "MESSAGE_REACTION_ADD": 10,
    "MESSAGE_REACTION_REMOVE": 10,
    "GUILD_CREATE": 0,
    "GUILD_DELETE": 0,
    "THREAD_CREATE": 0,
    "THREAD_UPDATE": 0,
    "THREAD_DELETE": 0,
    "CHANNEL_CREATE": 0,
    "CHANNEL_DELETE": 0,
    "GUILD_MEMBER_ADD": 1,
    "GUILD_MEMBER_UPDATE": 1,
    "GUILD_MEMBER_REMOVE": 1,
    "VOICE_STATE_UPDATE": 7,
}
"""Guild event → the bit of the intents that it requires."""
_DIRECT_INTENTS: Final = {**_GUILD_INTENTS, **dict.fromkeys(list(_GUILD_INTENTS)[:3], 12)}


class Session:
    """A gateway session. It may outlive its connection for a while and be resumed."""

    def __init__(self, user: User, application: Application | None, *, replay: int) -> None:
        self.id = secrets.token_hex(16)
        self.user = user
        self.application = application
        self.intents = 0
        self.shard = (0, 1)
        self.sequence = 0
        self.past: deque[tuple[int, str]] = deque(maxlen=replay)
        self.socket: web.WebSocketResponse | None = None
        self.transport: asyncio.WriteTransport | None = None
        self.outbox: asyncio.Queue[str] | None = asyncio.Queue(OUTBOX)
        """None while no client is connected: events are then kept only in `past`."""
        self.lost = 0.0
        """The monotonic time at which the connection was last lost."""

    @property
    def listener(self) -> Listener:
        return Listener(self.user, self.application is None or bool(self.intents & MESSAGE_CONTENT))

    def hears(self, event: Event) -> bool:
        """Whether this session receives an event: by shard, intents, membership and visibility of
        the channel.
        """
        if event.users is not None and self.user.id not in event.users:
            return False
        if self.application is not None and not self._asked_for(event):
            return False
        if event.name == "INTERACTION_CREATE":
            return True  # everywhere, even if the application is not a member
        guild = event.guild
        if guild is None:
            channel = event.channel
            return channel is None or self.user.id in {each.id for each in channel.recipients}
        member = guild.members.get(self.user.id)
        if member is None or event.channel is None:
            return member is not None
        may = permissions.of(guild, event.channel, member)
        return bool(may & Permission.VIEW_CHANNEL)

    def _asked_for(self, event: Event) -> bool:
        index, count = self.shard
        mine = (event.guild.id >> 22) % count if event.guild is not None else 0
        if mine != index:
            return False
        bits = _GUILD_INTENTS if event.guild is not None else _DIRECT_INTENTS
        needed = bits.get(event.name)
        return needed is None or bool(self.intents >> needed & 1)

    def say(self, name: str, body: Any) -> None:
        """Add an event to the replay buffer, and send it if a client is connected."""
        self.sequence += 1
        frame = json.dumps({"op": 0, "t": name, "s": self.sequence, "d": body})
        self.past.append((self.sequence, frame))
        if self.outbox is None:
            return
        try:
            self.outbox.put_nowait(frame)
        except asyncio.QueueFull:
            self.outbox = None
            if self.transport is not None:
                self.transport.abort()

    def since(self, sequence: int) -> list[str] | None:
        """The events after a sequence number; None if some of them are no longer kept."""
        missing = [frame for number, frame in self.past if number > sequence]
        complete = sequence >= self.sequence or (self.past and self.past[0][0] <= sequence + 1)
        return missing if complete else None


class Gateway:
    """All sessions and their connections."""

    def __init__(self, hub: Hub, faults: Faults) -> None:
        self._hub = hub
        self._faults = faults
        self.sessions: dict[str, Session] = {}
        self._identified: dict[int, deque[float]] = {}
        hub.listen(self._hear)

    def _hear(self, event: Event) -> None:
        for session in self.sessions.values():
            if session.hears(event):
                session.say(event.name, event.payload(session.listener))

    # connections ------------------------------------------------------------------------------

    async def connect(self, request: web.Request) -> web.WebSocketResponse:
        """Serve one connection, from HELLO to its end."""
        socket = web.WebSocketResponse(max_msg_size=16384)
        await socket.prepare(request)
        await _send(socket, 10, {"heartbeat_interval": HEARTBEAT})
        session: Session | None = None
        pump: asyncio.Task[None] | None = None
        sends: deque[float] = deque(maxlen=SENDS_PER_MINUTE)
        left = False
        try:
            while True:
                message = await socket.receive()
                if message.type is not WSMsgType.TEXT:
                    left = message.type is WSMsgType.CLOSE and message.data in LEAVING
                    break
                now = time.monotonic()
                if len(sends) == SENDS_PER_MINUTE and now - sends[0] < 60:
                    await socket.close(code=4008, message=b"You are being rate limited.")
                    break
                sends.append(now)
                frame = json.loads(message.data)
                op, body = frame["op"], frame.get("d")
                if op in {2, 6} and session is None:
                    session = await (self._identify if op == 2 else self._resume)(socket, body)
                    if session is not None:
                        session.socket = socket
                        session.transport = cast("asyncio.WriteTransport | None", request.transport)
                        pump = asyncio.create_task(_pump(session, socket))
                elif op == 1:
                    if not self._faults.mute_heartbeats:
                        await _send(socket, 11, None)
                elif session is None:
                    await socket.close(code=4003, message=b"Not authenticated.")
        finally:
            if pump is not None:
                pump.cancel()
            if session is not None and session.socket is socket:
                self._hung_up(session, left=left)
        return socket

    def _hung_up(self, session: Session, *, left: bool) -> None:
        """Remove the session of a client that left. Keep that of a lost connection for a while."""
        session.socket = session.transport = session.outbox = None
        if left:
            self.sessions.pop(session.id, None)
            return
        session.lost = lost = time.monotonic()

        def forget() -> None:
            if session.socket is None and session.lost == lost:
                self.sessions.pop(session.id, None)

        self._hub.later(self._hub.limits.resume_seconds, forget)

    async def _identify(
        self, socket: web.WebSocketResponse, body: dict[str, Any]
    ) -> Session | None:
        hub = self._hub
        user = hub.world.by_token(str(body["token"]).removeprefix("Bot "))
        if user is None:
            await socket.close(code=4004, message=b"Authentication failed.")
            return None
        application = hub.world.applications.get(user.id)
        session = Session(user, application, replay=hub.limits.replay)
        if application is not None:
            session.intents = int(body.get("intents") or 0)
            if session.intents & PRIVILEGED & ~application.privileged:
                await socket.close(code=4014, message=b"Disallowed intent(s).")
                return None
            index, count = body.get("shard") or (0, 1)
            session.shard = (int(index), int(count))
            if not self._may_identify(session.shard[0]):
                await _send(socket, 9, body=False)
                return None
        self.sessions[session.id] = session
        self._ready(session)
        return session

    def _may_identify(self, shard: int) -> bool:
        """Enforce the limits of IDENTIFY: `max_concurrency` in five seconds, and a daily number."""
        self._hub.counters.identifies += 1
        recent = self._identified.setdefault(shard % self._hub.limits.max_concurrency, deque())
        now = time.monotonic()
        if recent and now - recent[-1] < self._hub.limits.identify_seconds:
            return False
        recent.append(now)
        return self.remaining() >= 0

    def remaining(self) -> int:
        """Number of IDENTIFYs left today."""
        return self._hub.limits.identifies - self._hub.counters.identifies

    def _ready(self, session: Session) -> None:
        guilds = [g for g in self._hub.world.guilds.values() if self._has(session, g)]
        ready = {
            "v": 10,
            "user": serializers.me(session.user),
            "guilds": [{"id": str(guild.id), "unavailable": True} for guild in guilds],
            "session_id": session.id,
            "resume_gateway_url": self.url(),
            "shard": list(session.shard),
            "private_channels": self._private_channels(session),
            "application": {"id": str(session.user.id), "flags": 0},
        }
        session.say("READY", ready)
        for guild in guilds:
            told = serializers.guild_create(guild, self._sight(session, guild))
            if session.application is None:  # users' clients do not show hidden channels
                sees = self._sight(session, guild)
                told["channels"] = [
                    each for each in told["channels"] if sees(guild.channels[int(each["id"])])
                ]
            session.say("GUILD_CREATE", told)

    def _private_channels(self, session: Session) -> list[dict[str, Any]]:
        """The DM channels of a user; bots get none (docs, Ready)."""
        if session.application is not None:
            return []
        mine = [
            dm
            for dm in self._hub.world.dms.values()
            if session.user.id in {each.id for each in dm.recipients}
        ]
        return [
            {
                "id": str(dm.id),
                "type": dm.kind,
                "recipients": [
                    serializers.user(each) for each in dm.recipients if each is not session.user
                ],
            }
            for dm in mine
        ]

    def _sight(self, session: Session, guild: Guild) -> Callable[[Channel], bool]:
        member = guild.members[session.user.id]
        return lambda of: bool(permissions.of(guild, of, member) & Permission.VIEW_CHANNEL)

    def _has(self, session: Session, guild: Guild) -> bool:
        index, count = session.shard
        return session.user.id in guild.members and (guild.id >> 22) % count == index

    async def _resume(self, socket: web.WebSocketResponse, body: dict[str, Any]) -> Session | None:
        session = self.sessions.get(str(body["session_id"]))
        known = self._hub.world.by_token(str(body["token"]).removeprefix("Bot "))
        if known is None:
            await socket.close(code=4004, message=b"Authentication failed.")
            return None
        missed = session.since(int(body["seq"])) if session is not None else None
        if session is None or session.user is not known or missed is None:
            await _send(socket, 9, body=False)
            return None
        session.outbox = asyncio.Queue(OUTBOX)
        for frame in missed:
            session.outbox.put_nowait(frame)
        session.say("RESUMED", {})
        return session

    def url(self) -> str:
        return self._hub.address.replace("http", "ws", 1) + "/gateway"

    # faults -----------------------------------------------------------------------------------

    async def disturb(self, what: str, *, code: int = 4000, resumable: bool = True) -> int:
        """Disturb every connection of a bot, and return how many there were."""
        found = [s for s in self.sessions.values() if s.socket is not None and s.application]
        for session in found:
            socket = session.socket
            assert socket is not None
            match what:
                case "reconnect":
                    await _send(socket, 7, None)
                case "invalid_session":
                    if not resumable:
                        self.sessions.pop(session.id, None)
                    await _send(socket, 9, body=resumable)
                case "close":
                    if code in ANEW:
                        self.sessions.pop(session.id, None)
                    await socket.close(code=code)
                case "abort":
                    if session.transport is not None:
                        session.transport.abort()
        return len(found)


async def _send(socket: web.WebSocketResponse, op: int, body: Any) -> None:
    with suppress(ConnectionError):
        await socket.send_str(json.dumps({"op": op, "d": body, "s": None, "t": None}))


async def _pump(session: Session, socket: web.WebSocketResponse) -> None:
    """Send the queued events of a session over its connection."""
    outbox = session.outbox
    while outbox is not None:
        frame = await outbox.get()
        try:
            await socket.send_str(frame)
        except ConnectionError:
            return
