"""The middleware of every REST request: authentication, injected faults, rate limits, errors as
JSON.
"""

import json
from collections.abc import Awaitable, Callable
from typing import Any, Final

from aiohttp import web

from trawler_sandbox.discord import errors
from trawler_sandbox.discord.bodies import JSON
from trawler_sandbox.discord.buckets import Bucket, Buckets
from trawler_sandbox.discord.faults import Answer, Faults
from trawler_sandbox.discord.hub import Exchange, Hub
from trawler_sandbox.discord.world import User

PREFIX: Final = "/api/v10"
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
_MAJOR: Final = ("channel", "guild", "webhook_token", "interaction_token")


def reply(body: Any, status: int = 200) -> web.Response:
    """A JSON answer of exactly `application/json`: with a charset, discord.py sees text."""
    return web.Response(
        body=json.dumps(body).encode(), status=status, content_type="application/json"
    )


def nothing() -> web.Response:
    return web.Response(status=204)


class Middleware:
    """The middleware in front of all REST routes."""

    def __init__(self, hub: Hub, faults: Faults, buckets: Buckets) -> None:
        self._hub = hub
        self._faults = faults
        self._buckets = buckets

    def who(self, request: web.Request) -> User:
        """The bot or user whose token a request carries. Raises DiscordError."""
        token = request.headers.get("Authorization", "")
        user = self._hub.world.by_token(token.removeprefix("Bot "))
        if user is None or user.bot is not token.startswith("Bot "):
            raise errors.UNAUTHORIZED
        return user

    @property
    def middleware(self) -> Any:
        @web.middleware
        async def meet(request: web.Request, handler: Handler) -> web.StreamResponse:
            if not request.path.startswith(PREFIX):
                return await handler(request)
            self._hub.counters.requests += 1
            # users have rate limits of their own, which are not emulated
            bucket = Bucket(1000, 1.0) if _by_person(request) else self._buckets.of(_route(request))
            answer = await self._answer(request, handler, bucket)
            self._count(answer)
            self._observe(request, answer)
            if not answer.prepared:
                self._head(answer, bucket, _route(request))
            return answer

        return meet

    async def _answer(
        self, request: web.Request, handler: Handler, bucket: Bucket
    ) -> web.StreamResponse:
        now = self._hub.now()
        webhook = "webhook" in request.path or "interactions" in request.path
        spared = not self._buckets.enabled or webhook or _by_person(request)
        everywhere = spared or self._buckets.whole.take(now)
        if not everywhere or not bucket.take(now):
            wait = bucket.resets_in(now) if everywhere else self._buckets.whole.resets_in(now)
            return _limited(wait, is_global=not everywhere)
        files = request.content_type == "multipart/form-data"
        most = self._hub.limits.request_bytes
        if most is not None and (request.content_length or 0) > most:
            return _hung_up_on()
        fault = self._faults.take(request.method, request.path, files=files)
        if fault is not None and not fault.done:
            return _instead(fault)
        try:
            answer = await handler(request)
        except errors.DiscordError as refusal:
            answer = reply(refusal.body(), refusal.status)
            if refusal.status == 429:  # as on every answer that has passed Discord's edge
                answer.headers["Via"] = "1.1 google"
        except web.HTTPNotFound:
            answer = reply({"message": "404: Not Found", "code": 0}, 404)
        return answer if fault is None else _instead(fault)

    def _count(self, answer: web.StreamResponse) -> None:
        counters = self._hub.counters
        shared = answer.headers.get("X-RateLimit-Scope") == "shared"
        counters.invalid += answer.status in {401, 403, 429} and not shared
        counters.limited += answer.status == 429
        counters.too_large += answer.status == 413

    def _observe(self, request: web.Request, answer: web.StreamResponse) -> None:
        said: Any = None
        if isinstance(answer, web.Response) and answer.content_type == "application/json":
            said = json.loads(answer.body) if isinstance(answer.body, bytes) else None
        exchange = Exchange(
            request.method,
            request.path.removeprefix(PREFIX),
            dict(request.query),
            request.get(JSON),
            answer.status,
            said,
            by_bot=request.headers.get("Authorization", "Bot").startswith("Bot"),
        )
        for observe in self._hub.observers:
            observe(exchange)

    def _head(self, answer: web.StreamResponse, bucket: Bucket, route: str) -> None:
        now = self._hub.now()
        answer.headers["X-RateLimit-Limit"] = str(bucket.size)
        answer.headers["X-RateLimit-Remaining"] = str(bucket.remaining())
        answer.headers["X-RateLimit-Reset"] = f"{now + bucket.resets_in(now):.3f}"
        answer.headers["X-RateLimit-Reset-After"] = f"{bucket.resets_in(now):.3f}"
        answer.headers["X-RateLimit-Bucket"] = f"{abs(hash(route)) % 16**12:012x}"


def _by_person(request: web.Request) -> bool:
    """Whether a request carries a user's token. A bot's token has the prefix `Bot`; an
    interaction's token comes without an Authorization header.
    """
    return not request.headers.get("Authorization", "Bot ").startswith("Bot ")


def _route(request: web.Request) -> str:
    """The key of a bucket: the method, the pattern of the path, and its first id."""
    info = request.match_info
    pattern = info.route.resource.canonical if info.route.resource is not None else request.path
    major = next((info[name] for name in _MAJOR if name in info), "")
    return f"{request.method} {pattern} {major}"


def _limited(wait: float, *, is_global: bool) -> web.Response:
    answer = reply(
        {
            "message": "You are being rate limited.",
            "retry_after": round(wait, 3),
            "global": is_global,
            "code": 0,
        },
        429,
    )
    answer.headers["Retry-After"] = str(max(1, round(wait)))
    answer.headers["X-RateLimit-Scope"] = "global" if is_global else "user"
    answer.headers["Via"] = "1.1 google"
    return answer


def _hung_up_on() -> web.Response:
    """A proxy's 413 for a request that it does not even start to read."""
    page = "<html><body><h1>413 Request Entity Too Large</h1></body></html>"
    answer = web.Response(text=page, status=413, content_type="text/html")
    answer.force_close()
    return answer


def _instead(fault: Answer) -> web.Response:
    if fault.status == 429 and not fault.code:
        return _limited(fault.retry_after, is_global=fault.is_global)
    if fault.html:
        page = f"<html><body><h1>{fault.status}</h1><p>cloudflare</p></body></html>"
        return web.Response(text=page, status=fault.status, content_type="text/html")
    code = fault.code or (40005 if fault.status == 413 else 0)
    text = errors.TOO_LARGE.message if fault.status == 413 else f"{fault.status}: on purpose"
    answer = reply(errors.DiscordError(fault.status, code, text).body(), fault.status)
    if fault.status == 429:
        answer.headers["Via"] = "1.1 google"
    return answer
