"""Serve HLS streams (RFC 8216) in the variants that sites use, and DASH with separate audio.

/hls/SEED.m3u8             three segments, with a discontinuity before each but the first
/hls/encrypted/SEED.m3u8   AES-128, with the key at /key/SEED and a separate IV per segment
/hls/ranges/SEED.m3u8      byte ranges of one file
/hls/map/SEED.m3u8         fragments of an MP4, with a separate init segment (EXT-X-MAP)
/dash/SEED.mpd             two sizes of a video, and its audio as a separate file
"""

import asyncio
import hashlib
from typing import Final

from aiohttp import web
from cryptography.hazmat.primitives import padding
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from trawler_sandbox.journal import Journal
from trawler_sandbox.media import TYPES, Studio

SEGMENTS: Final = 3
_PACKET: Final = 188
_SEED: Final = r"{seed:[\w.-]{1,64}}"


def _key(seed: str) -> bytes:
    return hashlib.md5(seed.encode()).digest()  # noqa: S324 - any sixteen bytes


class Streams:
    """Handlers for the playlists and manifests, and for files that only streams use."""

    def __init__(self, studio: Studio, journal: Journal) -> None:
        self._studio = studio
        self._journal = journal

    def add_to(self, app: web.Application) -> None:
        get = app.router.add_get
        get(f"/hls/{_SEED}.m3u8", self._plain)
        get(f"/hls/encrypted/{_SEED}.m3u8", self._encrypted)
        get(f"/hls/ranges/{_SEED}.m3u8", self._ranges)
        get(f"/hls/map/{_SEED}.m3u8", self._map)
        get(f"/hls/encrypted/{_SEED}.ts", self._secret)
        get(f"/hls/whole/{_SEED}.{{ext:ts|m4s}}", self._whole)
        get(f"/key/{_SEED}", self._sent_key)
        get(f"/dash/{_SEED}.mpd", self._dash)

    async def _plain(self, request: web.Request) -> web.StreamResponse:
        seed = request.match_info["seed"]
        lines = []
        for n in range(SEGMENTS):
            lines += ["#EXT-X-DISCONTINUITY"] if n else []
            lines += ["#EXTINF:4.0,", f"/segment/{seed}-{n}.ts"]
        return _playlist(lines)

    async def _encrypted(self, request: web.Request) -> web.StreamResponse:
        seed = request.match_info["seed"]
        lines = []
        for n in range(SEGMENTS):
            lines += ["#EXT-X-DISCONTINUITY"] if n else []
            lines.append(f'#EXT-X-KEY:METHOD=AES-128,URI="/key/{seed}",IV=0x{n + 1:032x}')
            lines += ["#EXTINF:4.0,", f"/hls/encrypted/{seed}-{n}.ts"]
        return _playlist(lines)

    async def _secret(self, request: web.Request) -> web.StreamResponse:
        seed, _, number = request.match_info["seed"].rpartition("-")
        if not number.isdecimal():
            raise web.HTTPNotFound
        plain = await asyncio.to_thread(self._studio.make, "ts", f"{seed}-{number}")
        pad = padding.PKCS7(128).padder()
        lock = Cipher(
            algorithms.AES(_key(seed)), modes.CBC((int(number) + 1).to_bytes(16, "big"))
        ).encryptor()
        body = lock.update(pad.update(plain) + pad.finalize()) + lock.finalize()
        self._journal.open(request.path_qs, request.method, begin=0, size=len(body))
        return web.Response(body=body, content_type=TYPES["ts"])

    async def _sent_key(self, request: web.Request) -> web.StreamResponse:
        self._journal.open(request.path_qs, request.method, begin=0, size=16)
        return web.Response(body=_key(request.match_info["seed"]))

    async def _ranges(self, request: web.Request) -> web.StreamResponse:
        seed = request.match_info["seed"]
        size = len(await asyncio.to_thread(self._studio.clip, "ts"))
        third = size // 3 // _PACKET * _PACKET
        lines = []
        for begin, length in ((0, third), (third, third), (2 * third, size - 2 * third)):
            lines += [
                "#EXTINF:1.333,",
                f"#EXT-X-BYTERANGE:{length}@{begin}",
                f"/hls/whole/{seed}.ts",
            ]
        return _playlist(lines, version=4)

    async def _map(self, request: web.Request) -> web.StreamResponse:
        seed = request.match_info["seed"]
        clip = await asyncio.to_thread(self._studio.clip, "fragmented.mp4")
        begin = clip.index(b"moof") - 4
        address = f"/hls/whole/{seed}.m4s"
        lines = [
            f'#EXT-X-MAP:URI="{address}",BYTERANGE="{begin}@0"',
            *("#EXTINF:4.0,", f"#EXT-X-BYTERANGE:{len(clip) - begin}@{begin}", address),
        ]
        return _playlist(lines, version=7)

    async def _whole(self, request: web.Request) -> web.StreamResponse:
        """A file that clients request in byte ranges."""
        kind = {"ts": "ts", "m4s": "fragmented.mp4"}[request.match_info["ext"]]
        clip = await asyncio.to_thread(self._studio.clip, kind)
        asked = request.http_range
        begin, end = asked.start or 0, asked.stop or len(clip)
        self._journal.open(request.path_qs, request.method, begin=begin, size=end - begin)
        headers = {"Content-Range": f"bytes {begin}-{end - 1}/{len(clip)}"}
        if not request.headers.get("Range"):
            return web.Response(body=clip, content_type=TYPES["mp4"])
        return web.Response(status=206, body=clip[begin:end], headers=headers)

    async def _dash(self, request: web.Request) -> web.StreamResponse:
        """A DASH manifest (ISO/IEC 23009-1, on-demand profile): each representation is one file."""
        seed = request.match_info["seed"]
        sizes = (("silent", 320, 240, 200_000), ("small", 160, 120, 80_000))
        videos = "".join(
            f'<Representation id="{kind}" mimeType="video/mp4" codecs="avc1.42c00d" width="{width}"'
            f' height="{height}" frameRate="10" bandwidth="{rate}">'
            f"<BaseURL>/part/{kind}/{seed}.mp4</BaseURL></Representation>"
            for kind, width, height, rate in sizes
        )
        text = (
            '<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static"'
            ' mediaPresentationDuration="PT4S" minBufferTime="PT2S"'
            ' profiles="urn:mpeg:dash:profile:isoff-on-demand:2011"><Period>'
            f'<AdaptationSet contentType="video">{videos}</AdaptationSet>'
            '<AdaptationSet contentType="audio"><Representation id="sound" mimeType="audio/mp4"'
            ' codecs="mp4a.40.2" audioSamplingRate="44100" bandwidth="32000">'
            f"<BaseURL>/part/sound/{seed}.m4a</BaseURL></Representation></AdaptationSet></Period></MPD>"
        )
        return web.Response(text=text, content_type="application/dash+xml")


def _playlist(lines: list[str], *, version: int = 3) -> web.Response:
    head = ["#EXTM3U", f"#EXT-X-VERSION:{version}", "#EXT-X-TARGETDURATION:4"]
    text = "\n".join([*head, *lines, "#EXT-X-ENDLIST", ""])
    return web.Response(text=text, content_type="application/vnd.apple.mpegurl")
