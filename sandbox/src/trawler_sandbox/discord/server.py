"""Assemble the emulator's parts and serve them."""

import asyncio
import ipaddress
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from aiohttp import web

from trawler_sandbox.discord.buckets import Buckets
from trawler_sandbox.discord.control import Control
from trawler_sandbox.discord.faults import Faults
from trawler_sandbox.discord.gateway import Gateway
from trawler_sandbox.discord.hub import Hub
from trawler_sandbox.discord.interactions import Interactions
from trawler_sandbox.discord.members import Members
from trawler_sandbox.discord.messages import Messages
from trawler_sandbox.discord.middleware import Middleware
from trawler_sandbox.discord.rest import Rest
from trawler_sandbox.discord.user_api import UserApi
from trawler_sandbox.discord.world import World

PAGE: Final = Path(__file__).parent / "page"
POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self';"
    " img-src 'self' http: https: data:; media-src 'self'; form-action 'none'; base-uri 'none'"
)
"""No external code runs on the page, whatever a message contains."""


@web.middleware
async def _same_origin(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    """Deny the control API to other pages in the same browser: its answers contain tokens."""
    origin = request.headers.get("Origin")
    if request.path.startswith("/_control") and origin and urlsplit(origin).netloc != request.host:
        raise web.HTTPForbidden(text="Only this server's own page may ask that.")
    return await handler(request)


def may_control(host: str) -> bool:
    """Whether the control API may exist on this host: on loopback, or inside a cluster."""
    if "KUBERNETES_SERVICE_HOST" in os.environ:
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


class Discord:
    """The whole emulator, over one world."""

    def __init__(self, folder: Path) -> None:
        self.hub = Hub(folder)
        self.faults = Faults()
        self.buckets = Buckets()
        self.messages = Messages(self.hub)
        self.members = Members(self.hub)
        self.interactions = Interactions(self.hub, self.messages)
        self.gateway = Gateway(self.hub, self.faults)
        self._answers = Middleware(self.hub, self.faults, self.buckets)

    @property
    def world(self) -> World:
        return self.hub.world

    def app(self, *, control: bool) -> web.Application:
        """The application with every route. Callers may add middlewares (a schema checker)."""
        app = web.Application(
            middlewares=[_same_origin, self._answers.middleware],
            client_max_size=2 * 1024 * 1024 * 1024,
        )
        rest = Rest(self.hub, self.messages, self.interactions, self.gateway, self._answers)
        app.add_routes(rest.routes())
        people = UserApi(self.hub, self.messages, self.interactions, self._answers)
        app.add_routes(people.routes())
        app.router.add_get("/gateway", self.gateway.connect)
        app.router.add_get("/gateway/", self.gateway.connect)
        app.router.add_get("/attachments/{attachment}/{name}", self._attachment)
        if control:
            app.router.add_get("/", self._page)
            app.router.add_static("/page/", PAGE)
            switches = Control(self.hub, self.messages, self.gateway, self.faults, self.buckets)
            app.add_routes(switches.routes())
        return app

    async def _page(self, _: web.Request) -> web.StreamResponse:
        """The page for users. It hands out users' tokens, so it exists only where the control API
        may.
        """
        return web.FileResponse(PAGE / "index.html", headers={"Content-Security-Policy": POLICY})

    async def _attachment(self, request: web.Request) -> web.StreamResponse:
        """An attachment as the CDN serves it: with Range, so that players can seek."""
        found = self.hub.files.get(int(request.match_info["attachment"]))
        if found is None:
            raise web.HTTPNotFound
        headers = {
            "Content-Type": found.content_type,
            "Content-Security-Policy": "sandbox; default-src 'none'; media-src 'self';"
            " img-src 'self'",
            "X-Content-Type-Options": "nosniff",
        }  # uploads of strangers must never run
        return web.FileResponse(found.path, headers=headers)

    @asynccontextmanager
    async def serving(
        self, host: str = "127.0.0.1", port: int = 0, address: str | None = None
    ) -> AsyncIterator[str]:
        """Listen for the duration of a block, and yield the address at which the emulator is
        reachable.
        """
        runner = web.AppRunner(
            self.app(control=may_control(host)), access_log=None, shutdown_timeout=0.5
        )
        await runner.setup()
        site = web.TCPSite(runner, host, port)
        await site.start()
        known = runner.addresses[0]
        self.hub.address = address or f"http://{known[0]}:{known[1]}"
        try:
            yield self.hub.address
        finally:
            for session in list(self.gateway.sessions.values()):
                if session.socket is not None:
                    await session.socket.close(code=1001)
            await asyncio.shield(runner.cleanup())
