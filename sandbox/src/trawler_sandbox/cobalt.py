"""An emulator of Cobalt's API, as strict as the real one (versions 10 and 11, as published).

The link determines the answer: the last part of its path is CASE_SEED, for example
https://www.instagram.com/p/album3_abc.

video            a tunnel with a length
merge            a tunnel without a length
redirect         the site's own URL, without a file name
albumN           N pictures and videos
slidesN          N pictures and their audio
local-merge, local-mute, local-audio, local-remux, local-proxy, local-odd
                 parts that the client must put together
pacedN           a tunnel of N MB at 10 MB per second
empty            a tunnel of 0 bytes
half             a tunnel that ends cleanly in the middle
broken           a tunnel that sends less than its length
late             a tunnel that has expired the first time
foreign          a tunnel that always answers 401
page             HTML that is named as a video
script, inward   URLs that no client may follow
slow             an answer after 30 s
odd, nonsense    invalid answers
limited          429
e.CODE           400 with error.api.CODE
"""

import asyncio
import json
import secrets
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from aiohttp import web

from trawler_sandbox.media import TYPES, Body, Studio

SERVICES: Final = {
    "bsky.app": "bluesky",
    "instagram.com": "instagram",
    "pinterest.com": "pinterest",
    "reddit.com": "reddit",
    "site": "sandbox",
    "streamable.com": "streamable",
    "tiktok.com": "tiktok",
    "tumblr.com": "tumblr",
    "twitter.com": "twitter",
    "vimeo.com": "vimeo",
    "x.com": "twitter",
    "youtube.com": "youtube",
}
MAX_BODY: Final = 1024
LIFESPAN: Final = 90.0
BLOCK: Final = 256 * 1024
PACE: Final = 10_000_000
"""Bytes per second of a paced tunnel."""

_QUALITY: Final = ("max", "4320", "2160", "1440", "1080", "720", "480", "360", "240", "144")
_BOOLEAN: Final = (True, False)
_KEYS: Final[dict[str, tuple[Any, ...]]] = {
    "videoQuality": _QUALITY,
    "audioFormat": ("best", "mp3", "ogg", "wav", "opus"),
    "audioBitrate": ("320", "256", "128", "96", "64", "8"),
    "downloadMode": ("auto", "audio", "mute"),
    "filenameStyle": ("classic", "pretty", "basic", "nerdy"),
    "youtubeVideoCodec": ("h264", "av1", "vp9"),
    "alwaysProxy": _BOOLEAN,
    "disableMetadata": _BOOLEAN,
    "tiktokFullAudio": _BOOLEAN,
}
_OF_10: Final[dict[str, tuple[Any, ...]]] = {"tiktokH265": _BOOLEAN, "twitterGif": _BOOLEAN}
_OF_11: Final[dict[str, tuple[Any, ...]]] = {
    "allowH265": _BOOLEAN,
    "convertGif": _BOOLEAN,
    "localProcessing": ("disabled", "preferred", "forced"),
    "youtubeVideoContainer": ("auto", "mp4", "webm", "mkv"),
    "youtubeBetterAudio": _BOOLEAN,
    "youtubeHLS": _BOOLEAN,
}
_TYPES: Final = frozenset(["application/json", "application/json; charset=utf-8"])

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Refused(Exception):
    """An error with one of the API's codes."""

    def __init__(self, code: str, status: int = 400, **context: Any) -> None:
        super().__init__(code)
        self.code = code
        self.status = status
        self.context = context


@dataclass
class _Stream:
    """The content of one tunnel."""

    body: Body
    type: str
    length: bool = True
    """Whether it sends its length. Tunnels that Cobalt encodes itself do not, and ignore Range."""
    upto: int | None = None
    status: int = 200
    rate: int | None = None
    made: float = field(default_factory=time.monotonic)


class CobaltApi:
    """One Cobalt process: its tunnels work nowhere else and end with it."""

    def __init__(
        self,
        studio: Studio,
        *,
        site: str,
        version: str = "11.7.1",
        key: str = "",
        lifespan: float = LIFESPAN,
    ) -> None:
        self._studio = studio
        self._site = site
        self.version = version
        self._key = key
        self._lifespan = lifespan
        self._tunnels: dict[str, _Stream] = {}
        self._late: set[str] = set()
        self.asked: list[dict[str, Any]] = []
        """Bodies of accepted requests, newest last."""

    def app(self) -> web.Application:
        app = web.Application(client_max_size=64 * 1024)
        app.router.add_get("/", self._home)
        app.router.add_post("/", self._ask)
        app.router.add_get("/tunnel", self._tunnel)
        app.router.add_route("*", "/{tail:.*}", _elsewhere)
        return app

    async def _home(self, request: web.Request) -> web.StreamResponse:
        cobalt = {
            "version": self.version,
            "url": f"http://{request.host}/",
            "startTime": "1700000000000",
            "services": sorted(set(SERVICES.values())),
        }
        git = {"branch": "main", "commit": "0" * 40, "remote": "imputnet/cobalt"}
        return web.json_response({"cobalt": cobalt, "git": git})

    # requests ---------------------------------------------------------------------------------

    async def _ask(self, request: web.Request) -> web.StreamResponse:
        try:
            wanted = await self._wanted(request)
            return await self._answer(request, wanted)
        except Refused as error:
            said: dict[str, Any] = {"code": f"error.api.{error.code}"}
            if error.context:
                said["context"] = error.context
            retry = {"Retry-After": "7"} if error.status == 429 else {}
            body = {"status": "error", "error": said}
            return web.json_response(body, status=error.status, headers=retry)

    async def _wanted(self, request: web.Request) -> dict[str, Any]:
        """Validate a request and return its body. Raises Refused."""
        if request.headers.get("Accept") not in _TYPES:
            raise Refused("header.accept")
        if request.headers.get("Content-Type") not in _TYPES:
            raise Refused("header.content_type")
        if self._key:
            self._authorize(request.headers.get("Authorization", ""))
        raw = await request.read()
        try:
            wanted = json.loads(raw)
        except ValueError:
            raise Refused("invalid_body") from None
        if len(raw) > MAX_BODY or not isinstance(wanted, dict) or not self._is_valid(wanted):
            raise Refused("invalid_body")
        self.asked.append(wanted)
        return wanted

    def _authorize(self, header: str) -> None:
        if not header:
            raise Refused("auth.key.missing", 401)
        kind, _, key = header.partition(" ")
        if kind != "Api-Key":
            raise Refused("auth.key.not_api_key", 401)
        if key != self._key:
            raise Refused("auth.key.not_found", 401)

    def _is_valid(self, wanted: dict[str, Any]) -> bool:
        known = _KEYS | (_OF_11 if self.version.startswith("11.") else _OF_10)
        url = wanted.get("url")
        return (
            isinstance(url, str)
            and bool(urlsplit(url).scheme)
            and all(
                key == "url" or (key in known and any(v is value or v == value for v in known[key]))
                for key, value in wanted.items()
            )
        )

    async def _answer(self, request: web.Request, wanted: dict[str, Any]) -> web.StreamResponse:
        parts = urlsplit(wanted["url"])
        host = (parts.hostname or "").removeprefix("www.")
        if host not in SERVICES:
            raise Refused("link.invalid")
        case, _, seed = parts.path.strip("/").rpartition("/")[2].rpartition("_")
        if not case or not seed:
            raise Refused("link.unsupported", service=SERVICES[host])
        if case.startswith("e."):
            limit = {"limit": 180} if case == "e.content.too_long" else {}
            raise Refused(case[2:], service=SERVICES[host], **limit)
        if case == "limited":
            raise Refused("rate_exceeded", 429, limit=60)
        if case == "slow":
            await asyncio.sleep(30)
        if case == "nonsense":
            return web.Response(text="<html>", content_type="text/html")
        asked = _Asked(
            seed, wanted.get("downloadMode") == "audio", f"http://{request.host}", self._site
        )
        return web.json_response(await self._case(case, asked))

    async def _case(self, case: str, asked: "_Asked") -> dict[str, Any]:
        count = int(case[5:] or 1) if case.startswith("album") else 0
        slides = int(case[6:] or 1) if case.startswith("slides") else 0
        if count:
            return {"status": "picker", "picker": list(asked.album(count))}
        if slides:
            sound = await self._file(asked, "mp3")
            pictures = [{"type": "photo", "url": asked.image(n)} for n in range(1, slides + 1)]
            made = {"status": "picker", "picker": pictures, "audio": sound}
            return {**made, "audioFilename": f"sound_{asked.seed}.mp3"}
        if case.startswith("local-"):
            return await self._local(case[6:], asked)
        if case == "redirect":
            return {"status": "redirect", "url": f"{asked.site}/video/{asked.seed}.mp4"}
        if case in {"script", "inward"}:
            there = {"script": "javascript:alert(1)", "inward": "http://10.0.0.1/a.mp4"}[case]
            return {"status": "redirect", "url": there, "filename": "../../a.mp4"}
        if case == "odd":
            return {"status": "stream", "url": asked.image(1)}
        name = f"instagram_{asked.seed}.{'mp3' if asked.sound else 'mp4'}"
        return {"status": "tunnel", "url": await self._bad(case, asked), "filename": name}

    async def _bad(self, case: str, asked: "_Asked") -> str:
        """The URL of a tunnel, valid or faulty."""
        ending = "mp3" if asked.sound else "fragmented.mp4" if case in {"merge", "half"} else "mp4"
        paced = int(case[5:] or 1) if case.startswith("paced") else 0
        body = await asyncio.to_thread(self._studio.body, ending, asked.seed, paced * 1_000_000)
        stream = _Stream(
            body,
            TYPES[ending.rpartition(".")[2]],
            length=case not in {"merge", "half"},
            rate=PACE if paced else None,
        )
        match case:
            case "empty":
                stream.body = Body(b"", b"\0", 0)
            case "half" | "broken":
                stream.upto = body.length // 2
            case "page":
                stream.body = Body(b"<html>Sorry.</html>" + b" " * 2000, b"\0", 2019)
                stream.type = "text/html"
            case "foreign":
                stream.status = 401
            case "late" if asked.seed not in self._late:
                self._late.add(asked.seed)
                stream.made -= 2 * self._lifespan
        return self._open(asked, stream)

    async def _file(self, asked: "_Asked", ending: str) -> str:
        body = await asyncio.to_thread(self._studio.body, ending, asked.seed)
        return self._open(asked, _Stream(body, TYPES[ending]))

    async def _local(self, kind: str, asked: "_Asked") -> dict[str, Any]:
        endings = {"merge": ["mp4", "m4a"], "audio": ["mp4"]}.get(kind, ["mp4"])
        made = "mp3" if kind == "audio" else "mp4"
        tunnels = [await self._file(asked, ending) for ending in endings]
        return {
            "status": "local-processing",
            "type": kind,
            "service": "instagram",
            "tunnel": tunnels,
            "output": {"type": TYPES[made], "filename": f"made_{asked.seed}.{made}"},
            "audio": {"copy": False, "format": "mp3", "bitrate": "128"},
            "isHLS": False,
        }

    # tunnels ----------------------------------------------------------------------------------

    def _open(self, asked: "_Asked", stream: _Stream) -> str:
        number = secrets.token_urlsafe(16)
        self._tunnels[number] = stream
        expires = int(time.time() * 1000) + 90_000
        return f"{asked.api}/tunnel?id={number}&exp={expires}&sig=x&sec=x&iv=x"

    async def _tunnel(self, request: web.Request) -> web.StreamResponse:
        if request.query.get("p") == "1":
            return web.Response()
        stream = self._tunnels.get(request.query.get("id", ""))
        if stream is None or stream.status != 200:
            return web.Response(status=401, text="unauthorized")
        if time.monotonic() - stream.made > self._lifespan:
            return web.Response(status=404, text="not found")
        answer = web.StreamResponse()
        answer.content_type = stream.type
        if stream.length:
            answer.content_length = stream.body.length
        else:
            answer.headers["Estimated-Content-Length"] = str(int(stream.body.length * 1.1))
            answer.enable_chunked_encoding()
        await answer.prepare(request)
        end = stream.body.length if stream.upto is None else stream.upto
        begun = time.monotonic()
        for at in range(0, end, BLOCK):
            await answer.write(stream.body.part(at, min(at + BLOCK, end)))
            if stream.rate is not None:
                await asyncio.sleep(max(0.0, begun + at / stream.rate - time.monotonic()))
        if stream.length and end < stream.body.length and request.transport is not None:
            request.transport.close()
        return answer


@dataclass(frozen=True)
class _Asked:
    """The parts of a request that determine its answer."""

    seed: str
    sound: bool
    api: str
    site: str

    def image(self, number: int) -> str:
        return f"{self.site}/image/{self.seed}-{number}.jpg"

    def album(self, count: int) -> Iterator[dict[str, str]]:
        """The items of an album. Every third one is a video; none has a file name or a size."""
        for n in range(1, count + 1):
            video = f"{self.site}/video/{self.seed}-{n}.mp4"
            yield (
                {"type": "photo", "url": self.image(n), "thumb": self.image(n)}
                if n % 3
                else {"type": "video", "url": video, "thumb": self.image(n)}
            )


async def _elsewhere(request: web.Request) -> web.StreamResponse:
    """Answer unknown paths as Express does."""
    if request.method == "GET":
        raise web.HTTPFound("/")
    text = f"<!DOCTYPE html><pre>Cannot {request.method} {request.path}</pre>"
    return web.Response(status=404, text=text, content_type="text/html")


def main() -> None:
    """`python -m trawler_sandbox.cobalt PORT SITE`: run the emulator as a process or in a pod."""
    with tempfile.TemporaryDirectory(prefix="cobalt-") as folder:
        api = CobaltApi(Studio(Path(folder)), site=sys.argv[2])
        web.run_app(
            api.app(), port=int(sys.argv[1]), access_log=None, shutdown_timeout=1, print=None
        )


if __name__ == "__main__":
    main()
