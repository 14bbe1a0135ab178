"""A media site that behaves well or badly, depending on the path. Every path contains a seed.

/video/SEED.mp4             the file itself; supports Range
/audio/SEED.mp3             likewise
/image/SEED.jpg|png|gif     likewise
/odd/KIND/SEED.EXT          media that few players support (odd_media.py): /odd/hevc/SEED.mp4,
                            /odd/tiled/SEED.heic
/page/SEED                  a page with <video>; ?title= ?times= ?subtitles=en,de,fr ?about ?cover
/text/SEED                  a page without media
/album/SEED?count=3         a page with several videos
/gallery/SEED?count=4       a page of pictures, with an icon and a broken link among them
/post/SEED?count=3          a post with captions, as JSON at /api/post/SEED
/user/NAME                  a list of posts, as JSON at /api/user/NAME
/feed/SEED?count=30         RSS; each entry links to a page
/hls/SEED.m3u8              three segments; for more streams see streams.py
/subtitles/LANGUAGE/SEED.srt|vtt|ass  in en, de and fr

/html/SEED.mp4              HTML with the content type of a video
/cut/SEED.mp4               always breaks off in the middle
/healing/SEED.mp4           breaks off once
/slow/SEED.mp4              sends 100 bytes per second
/stalled/SEED.mp4           stops sending in the middle
/endless/SEED.mp4           never ends
/larger/SEED.mp4            announces 10 GB
/shorter/SEED.mp4           announces half of the file
/truncated/SEED.mp4         sends half of the file, without a length
/empty/SEED.mp4             0 bytes
/status/CODE/SEED.mp4       answers with this status
/redirect/N/SEED.mp4        N redirects, then the video
/inward/SEED.mp4            redirects to a private address
/moody/SEED.mp4             a video; 503 from /_/mood?bad=1 until /_/mood?bad=0

?bytes=N                    size of the file in bytes
?rate=N                     bytes per second
/_/log?containing=          the requests so far
/_/record?path=             size in bytes and SHA-256 of a file
"""

import asyncio
import hashlib
import html
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final

from aiohttp import web

from trawler_sandbox import spoken
from trawler_sandbox.journal import Entry, Journal
from trawler_sandbox.media import TYPES, Body, Studio
from trawler_sandbox.odd_media import ODD
from trawler_sandbox.streams import Streams

BLOCK: Final = 256 * 1024
MOST: Final = 2_000_000_000
_SEED: Final = r"{seed:[\w.-]{1,64}}"

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Site:
    """The media site and its journal."""

    def __init__(self, folder: Path) -> None:
        self._studio = Studio(folder)
        self.journal = Journal()
        self._streams = Streams(self._studio, self.journal)
        self._broken: set[str] = set()
        self._bad_mood = False

    def app(self) -> web.Application:
        app = web.Application()
        get = app.router.add_get
        for kind, endings in (("video", "mp4"), ("audio", "mp3"), ("image", "jpg|png|gif")):
            get(f"/{kind}/{_SEED}.{{ext:{endings}}}", self._file)
        get(f"/part/{{kind:silent|small}}/{_SEED}.{{ext:mp4}}", self._file)
        odd = "|".join(sorted({name.partition(".")[0] for name in ODD}))
        get(f"/odd/{{kind:{odd}}}/{_SEED}.{{ext:\\w+}}", self._odd)
        get(f"/part/sound/{_SEED}.{{ext:m4a}}", self._file)
        get(f"/segment/{_SEED}.{{ext:ts}}", self._file)
        for name, handler in (
            ("html", self._html),
            ("cut", self._cut),
            ("healing", self._healing),
            ("slow", self._slow),
            ("stalled", self._stalled),
            ("endless", self._endless),
            ("larger", self._larger),
            ("shorter", self._shorter),
            ("truncated", self._truncated),
            ("empty", self._empty),
            ("inward", self._inward),
            ("moody", self._moody),
        ):
            get(f"/{name}/{_SEED}.{{ext:mp4}}", handler)
        get(f"/status/{{code:[45]\\d\\d}}/{_SEED}.{{ext:mp4}}", self._status)
        get(f"/redirect/{{left:\\d+}}/{_SEED}.{{ext:mp4}}", self._redirect)
        get(f"/page/{_SEED}", self._page)
        get(f"/album/{_SEED}", self._album)
        get(f"/gallery/{_SEED}", self._gallery)
        get(f"/api/post/{_SEED}", self._post)
        get(f"/api/user/{_SEED}", self._user)
        get(f"/icon/{_SEED}.png", self._icon)
        get(f"/text/{_SEED}", self._text)
        get(f"/feed/{_SEED}", self._feed)
        get(
            f"/subtitles/{{language:{'|'.join(spoken.LANGUAGES)}}}/{_SEED}.{{ending:srt|vtt|ass}}",
            self._subtitles,
        )
        self._streams.add_to(app)
        get("/_/mood", self._mood)
        get("/_/log", self._log)
        get("/_/record", self._record)
        get("/", self._home)
        return app

    # files ------------------------------------------------------------------------------------

    async def _body(self, request: web.Request) -> Body:
        extension, seed = request.match_info["ext"], request.match_info["seed"]
        size = min(MOST, int(request.query.get("bytes", "0")))
        kind = request.match_info.get("kind")
        special = f"{kind}.{extension}" if kind else extension
        return await asyncio.to_thread(self._studio.body, special, seed, size)

    async def _send(
        self,
        request: web.Request,
        body: Body,
        *,
        begin: int = 0,
        upto: int | None = None,
        announced: int | None = None,
        length: bool = True,
        rate: float | None = None,
        status: int = 200,
        ranges: bool = True,
    ) -> web.StreamResponse:
        """Stream `body` from `begin` to `upto` at `rate` bytes per second, and record how much was
        sent.
        """
        size = announced if announced is not None else body.length
        entry = self.journal.open(request.path_qs, request.method, begin=begin, size=body.length)
        answer = web.StreamResponse(status=status)
        answer.content_type = TYPES[request.match_info["ext"]]
        answer.headers["ETag"] = f'"{_mark(body)}"'
        if ranges:
            answer.headers["Accept-Ranges"] = "bytes"
        if status == 206:
            answer.headers["Content-Range"] = f"bytes {begin}-{size - 1}/{size}"
        if length:
            answer.content_length = size - begin
        else:
            answer.enable_chunked_encoding()
        await answer.prepare(request)
        if request.method == "HEAD":
            return answer
        end = body.length if upto is None else upto
        rate = rate or float(request.query.get("rate", "0")) or None
        await _stream(answer, body, entry, rate, begin=begin, end=end)
        entry.complete = end >= body.length
        if not entry.complete and length and request.transport is not None:
            request.transport.close()  # break off
        return answer

    async def _file(self, request: web.Request) -> web.StreamResponse:
        body = await self._body(request)
        asked = request.headers.get("Range", "")
        if asked.startswith("bytes=") and asked.endswith("-"):
            begin = int(asked[6:-1])
            if begin >= body.length:
                raise web.HTTPRequestRangeNotSatisfiable
            return await self._send(request, body, begin=begin, status=206)
        return await self._send(request, body)

    async def _odd(self, request: web.Request) -> web.StreamResponse:
        if f"{request.match_info['kind']}.{request.match_info['ext']}" not in ODD:
            raise web.HTTPNotFound
        return await self._file(request)

    # faulty answers ---------------------------------------------------------------------------

    async def _html(self, request: web.Request) -> web.StreamResponse:
        self.journal.open(request.path_qs, request.method, begin=0, size=0)
        body = b"<html><body>Not a video at all. " + b"." * 2000 + b"</body></html>"
        return web.Response(body=body, content_type="video/mp4")

    async def _cut(self, request: web.Request) -> web.StreamResponse:
        body = await self._body(request)
        return await self._send(request, body, upto=body.length // 2, ranges=False)

    async def _healing(self, request: web.Request) -> web.StreamResponse:
        """Break off the first time. A Range request then returns the rest."""
        if request.path_qs in self._broken:
            return await self._file(request)
        self._broken.add(request.path_qs)
        body = await self._body(request)
        return await self._send(request, body, upto=body.length // 2)

    async def _slow(self, request: web.Request) -> web.StreamResponse:
        return await self._send(request, await self._body(request), rate=100)

    async def _stalled(self, request: web.Request) -> web.StreamResponse:
        body = await self._body(request)
        entry = self.journal.open(request.path_qs, request.method, begin=0, size=body.length)
        answer = web.StreamResponse()
        answer.content_type, answer.content_length = "video/mp4", body.length
        await answer.prepare(request)
        await _stream(answer, body, entry, None, end=body.length // 2)
        await asyncio.sleep(3600)
        return answer

    async def _endless(self, request: web.Request) -> web.StreamResponse:
        body = await self._body(request)
        entry = self.journal.open(request.path_qs, request.method, begin=0, size=MOST)
        answer = web.StreamResponse()
        answer.content_type = "video/mp4"
        answer.enable_chunked_encoding()
        await answer.prepare(request)
        await _stream(answer, body, entry, None)
        while entry.sent < MOST:
            await _stream(answer, Body(b"", b"\0", BLOCK), entry, None)
        return answer

    async def _larger(self, request: web.Request) -> web.StreamResponse:
        body = await self._body(request)
        return await self._send(request, body, announced=10_000_000_000, upto=body.length - 1)

    async def _shorter(self, request: web.Request) -> web.StreamResponse:
        body = await self._body(request)
        half = Body(body.begin, body.noise, body.length // 2)
        return await self._send(request, half, ranges=False)

    async def _truncated(self, request: web.Request) -> web.StreamResponse:
        body = await self._body(request)
        return await self._send(request, body, upto=body.length // 2, length=False, ranges=False)

    async def _empty(self, request: web.Request) -> web.StreamResponse:
        self.journal.open(request.path_qs, request.method, begin=0, size=0)
        return web.Response(body=b"", content_type="video/mp4")

    async def _status(self, request: web.Request) -> web.StreamResponse:
        code = int(request.match_info["code"])
        self.journal.open(request.path_qs, request.method, begin=0, size=0)
        headers = {"Retry-After": "7"} if code in {429, 503} else {}
        return web.Response(status=code, text="no", headers=headers)

    async def _redirect(self, request: web.Request) -> web.StreamResponse:
        left, seed = int(request.match_info["left"]), request.match_info["seed"]
        query = f"?{request.query_string}" if request.query_string else ""
        target = f"/redirect/{left - 1}/{seed}.mp4" if left > 1 else f"/video/{seed}.mp4"
        raise web.HTTPFound(target + query)

    async def _inward(self, request: web.Request) -> web.StreamResponse:
        self.journal.open(request.path_qs, request.method, begin=0, size=0)
        raise web.HTTPFound("http://10.0.0.1/latest/meta-data.mp4")

    async def _moody(self, request: web.Request) -> web.StreamResponse:
        if self._bad_mood:
            self.journal.open(request.path_qs, request.method, begin=0, size=0)
            raise web.HTTPServiceUnavailable
        return await self._file(request)

    # pages ------------------------------------------------------------------------------------

    async def _page(self, request: web.Request) -> web.StreamResponse:
        seed = request.match_info["seed"]
        query = f"?{request.query_string}" if request.query_string else ""
        title = request.query.get("title", f"Clip {seed}") * int(request.query.get("times", "1"))
        rating = '<meta name="rating" content="RTA-5042-1996-1400-1577-RTA">'
        adult = rating if "adult" in request.query else ""
        tracks = "".join(
            f'<track kind="subtitles" srclang="{language}"'
            f' src="/subtitles/{language}/{seed}.{spoken.ENDINGS[language]}">'
            for language in request.query.get("subtitles", "").split(",")
            if language in spoken.LANGUAGES
        )
        shown = f'<meta property="og:image" content="{_here(request)}/image/{seed}.png">'
        cover = shown if "cover" in request.query else ""
        if "about" in request.query:  # page extractors use either this or the tag
            return _html_page(html.escape(title), f"{adult}{cover}{_json_ld(_here(request), seed)}")
        return _html_page(
            html.escape(title),
            f'{adult}{cover}<video src="/video/{seed}.mp4{html.escape(query)}">{tracks}</video>',
        )

    async def _album(self, request: web.Request) -> web.StreamResponse:
        seed, count = request.match_info["seed"], int(request.query.get("count", "3"))
        videos = (f'<video src="/video/{seed}-{n}.mp4"></video>' for n in range(count))
        return _html_page(f"Album {seed}", "".join(videos))

    async def _gallery(self, request: web.Request) -> web.StreamResponse:
        """A typical gallery page: decoration beside the pictures, and one picture that is gone."""
        seed, count = request.match_info["seed"], int(request.query.get("count", "4"))
        shown = (f'<img src="/image/{seed}-{n}.jpg" alt="">' for n in range(1, count + 1))
        return _html_page(
            f"Gallery {seed}",
            f'<link rel="icon" href="/icon/{seed}.png"><img src="/icon/{seed}.png">'
            f'{"".join(shown)}<img src="/status/404/{seed}.mp4">'
            "<style>.x{background:url(/css/bg.png)}</style>",
        )

    async def _post(self, request: web.Request) -> web.StreamResponse:
        """The JSON that the site's own client would get."""
        seed, count = request.match_info["seed"], int(request.query.get("count", "3"))
        if seed.startswith("private"):
            raise web.HTTPForbidden
        if seed.startswith("gone"):
            raise web.HTTPNotFound
        pictures = [
            {"url": f"/image/{seed}-{n}.jpg", "caption": f"Picture {n} of {count}"}
            for n in range(1, count + 1)
        ]
        post = {"id": seed, "title": f"Post {seed}", "author": "somebody", "images": pictures}
        return web.json_response({**post, "date": "2026-05-06T07:08:09Z"})

    async def _user(self, request: web.Request) -> web.StreamResponse:
        seed = request.match_info["seed"]
        return web.json_response({"posts": [f"{seed}-{n}" for n in range(1, 31)]})

    async def _icon(self, request: web.Request) -> web.StreamResponse:
        self.journal.open(request.path_qs, request.method, begin=0, size=0)
        body = await asyncio.to_thread(self._studio.clip, "icon.png")
        return web.Response(body=body, content_type="image/png")

    async def _text(self, request: web.Request) -> web.StreamResponse:
        self.journal.open(request.path_qs, request.method, begin=0, size=0)
        return _html_page("Words", f"<p>Nothing to see, {request.match_info['seed']}.</p>")

    async def _feed(self, request: web.Request) -> web.StreamResponse:
        """An RSS 2.0 feed, as for podcasts and channels: each entry links to a page."""
        seed, count = request.match_info["seed"], int(request.query.get("count", "30"))
        self.journal.open(request.path_qs, request.method, begin=0, size=0)
        here = _here(request)
        entries = "".join(
            f"<item><title>Part {n} of {seed}</title><link>{here}/page/{seed}-{n}</link></item>"
            for n in range(1, count + 1)
        )
        text = (
            f'<?xml version="1.0"?><rss version="2.0"><channel><title>Channel {seed}</title>'
            f"<link>{here}/feed/{seed}</link><description>All of"
            f" it</description>{entries}</channel></rss>"
        )
        return web.Response(text=text, content_type="application/rss+xml")

    async def _subtitles(self, request: web.Request) -> web.StreamResponse:
        language, ending = request.match_info["language"], request.match_info["ending"]
        self.journal.open(request.path_qs, request.method, begin=0, size=0)
        text = spoken.subtitles(language, ending)
        return web.Response(text=text, content_type=spoken.TYPES[ending])

    async def _home(self, _: web.Request) -> web.StreamResponse:
        return web.Response(text=__doc__ or "")

    # for tests --------------------------------------------------------------------------------

    async def _mood(self, request: web.Request) -> web.StreamResponse:
        self._bad_mood = request.query.get("bad") == "1"
        return web.json_response({"bad": self._bad_mood})

    async def _log(self, request: web.Request) -> web.StreamResponse:
        entries = self.journal.wire(request.query.get("containing", ""))
        return web.json_response(entries, dumps=json.dumps)

    async def _record(self, request: web.Request) -> web.StreamResponse:
        """The size and SHA-256 of a file as this site generates it, to compare with a download."""
        name = request.query["path"].partition("?")[0].rsplit("/", 1)[-1]
        seed, _, extension = name.rpartition(".")
        size = int(request.query.get("bytes", "0"))
        body = await asyncio.to_thread(self._studio.body, extension, seed, size)
        sha256 = await asyncio.to_thread(_sha256, body)
        return web.json_response({"bytes": body.length, "sha256": sha256})


async def _stream(
    answer: web.StreamResponse,
    body: Body,
    entry: Entry,
    rate: float | None,
    *,
    begin: int = 0,
    end: int | None = None,
) -> None:
    """Send at `rate` bytes per second, in ten blocks per second; without a rate, as fast as
    possible.
    """
    end = min(body.length, body.length if end is None else end)
    block = BLOCK if rate is None else max(1, int(rate / 10))
    for at in range(begin, end, block):
        part = body.part(at, min(at + block, end))
        await answer.write(part)
        entry.sent += len(part)
        if rate is not None and at + block < end:  # no pause after the last block
            await asyncio.sleep(0.1)


def _mark(body: Body) -> str:
    """A hash that identifies this version of a file, for its ETag."""
    return hashlib.md5(body.part(body.length - 4096, body.length)).hexdigest()  # noqa: S324


def _sha256(body: Body) -> str:
    made_of = hashlib.sha256()
    for at in range(0, body.length, 4 * BLOCK):
        made_of.update(body.part(at, at + 4 * BLOCK))
    return made_of.hexdigest()


def _here(request: web.Request) -> str:
    return f"{request.scheme}://{request.host}"


def _json_ld(here: str, seed: str) -> str:
    """The JSON-LD with which pages describe a video to search engines (schema.org)."""
    said = {
        "@context": "https://schema.org",
        "@type": "VideoObject",
        "name": f"Video {seed}",
        "description": "First line.\nSecond <b>line</b>.",
        "uploadDate": "2026-05-06T07:08:09Z",
        "duration": "PT4S",
        "author": {"@type": "Person", "name": "Somebody"},
        "keywords": "one,two",
        "contentUrl": f"{here}/video/{seed}.mp4",
        "hasPart": [
            {"@type": "Clip", "name": "Begin", "startOffset": 0, "endOffset": 2},
            {"@type": "Clip", "name": "End", "startOffset": 2, "endOffset": 4},
        ],
    }
    return f'<script type="application/ld+json">{json.dumps(said)}</script>'


def _html_page(title: str, inside: str) -> web.Response:
    text = f"<!doctype html><html><head><title>{title}</title></head><body>{inside}</body></html>"
    return web.Response(text=text, content_type="text/html")
