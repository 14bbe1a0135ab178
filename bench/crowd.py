"""Simulates people, each with their own client, on the Discord in a box. Runs inside a pod and
prints one JSON line.

    crowd.py PEOPLE CHANNELS BYTES TOGETHER|TURNS [RATE]

The given number of people, spread over the given number of channels, each request a file of their
own: all at once (TOGETHER), or one after the previous has received theirs (TURNS). With RATE, the
site sends that many bytes per second. It runs in a pod because the API server would carry every
byte of a port-forward.
"""

import asyncio
import json
import secrets
import sys
import time
from typing import Any

import aiohttp

HERE = "http://discord:8091"
API = HERE + "/api/v10"
PATIENCE = 240.0


class Ear:
    """One gateway connection for everybody. Fifty connections that each receive every event would
    load this machine with work that is really Discord's.
    """

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket = socket
        self._waiting: dict[str, asyncio.Future[float]] = {}
        self._said: dict[str, float] = {}
        """Seed → when (monotonic) a message with progress last changed."""
        self.first: dict[str, float] = {}
        """Seed → when (monotonic) progress was first shown."""
        self.oldest: dict[str, float] = {}
        """Seed → the longest time in seconds for which the same progress was shown."""

    def expect(self, seed: str) -> asyncio.Future[float]:
        """A future of the time (monotonic) when a message about this seed has its file."""
        future = self._waiting[seed] = asyncio.get_running_loop().create_future()
        return future

    async def run(self) -> None:
        """Receive events until the connection closes."""
        async for frame in self._socket:
            said = json.loads(frame.data)
            if said.get("t") not in {"MESSAGE_CREATE", "MESSAGE_UPDATE"}:
                continue
            body = said["d"]
            for seed in [s for s in self._waiting if f"/{s}." in body["content"]]:
                self._note(seed, body)

    def _note(self, seed: str, body: dict[str, Any]) -> None:
        now = time.monotonic()
        if seed in self._said:
            self.oldest[seed] = max(self.oldest.get(seed, 0.0), now - self._said[seed])
        if " % · " in body["content"]:
            self._said[seed] = now
            self.first.setdefault(seed, now)
        if body.get("attachments"):
            self._waiting.pop(seed).set_result(now)


async def ask(
    http: aiohttp.ClientSession,
    ear: Ear,
    known: dict[str, str],
    token: str,
    channel: str,
    size: int,
    rate: int,
) -> float:
    """Send one `/download` as one person. Returns the seconds from the click to the file."""
    seed = secrets.token_hex(6)
    slowly = f"&rate={rate}" if rate else ""
    link = f"http://site:8080/video/{seed}.mp4?bytes={size}{slowly}"
    option = {"type": 3, "name": "url", "value": link}
    body = {
        "type": 2,
        "application_id": known["application"],
        "guild_id": known["guild"],
        "channel_id": channel,
        "session_id": "crowd",
        "nonce": seed,
        "data": {"id": known["command"], "name": "download", "type": 1, "options": [option]},
    }
    there = ear.expect(seed)
    begun = time.monotonic()
    headers = {"Authorization": token}
    async with http.post(API + "/interactions", json=body, headers=headers) as answer:
        assert answer.status < 300, await answer.text()
    async with asyncio.timeout(PATIENCE):
        over = await there
    if seed in ear.first:
        ear.first[seed] -= begun
    return over - begun


async def main(people: int, channels: int, size: int, *, together: bool, rate: int) -> None:
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector) as http:

        async def control(path: str, **body: object) -> dict[str, Any]:
            method = "POST" if body else "GET"
            async with http.request(method, f"{HERE}/_control/{path}", json=body or None) as answer:
                found: dict[str, Any] = await answer.json(content_type=None)
                return found

        there = await control("people")
        guild = there["guilds"][0]["id"]
        made = await control("crowd", guild=guild, people=people, channels=channels)
        headers = {"Authorization": made["tokens"][0]}
        index = f"{API}/guilds/{guild}/application-command-index"
        async with http.get(index, headers=headers) as answer:
            found = (await answer.json(content_type=None))["application_commands"]
        command = next(each for each in found if each["name"] == "download")
        known = {
            "application": command["application_id"],
            "command": command["id"],
            "guild": guild,
        }
        before = await control("counters")
        socket = await http.ws_connect(HERE.replace("http", "ws") + "/gateway", max_msg_size=0)
        await socket.send_json({"op": 2, "d": {"token": made["tokens"][0]}})
        ear = Ear(socket)
        hearing = asyncio.ensure_future(ear.run())
        wishes = [
            ask(http, ear, known, token, made["channels"][number % channels], size, rate)
            for number, token in enumerate(made["tokens"])
        ]
        if together:
            seconds = await asyncio.gather(*wishes)
        else:
            seconds = [await wish for wish in wishes]
        await socket.close()
        await hearing
        after = await control("counters")
        result = {
            "seconds": seconds,
            "oldest": list(ear.oldest.values()),
            "first": list(ear.first.values()),
            "answers": [s for _, s in after["timings"][len(before["timings"]) :]],
            **{key: after[key] - before[key] for key in ("invalid", "limited")},
        }
        print(json.dumps(result))


if __name__ == "__main__":
    numbers = [int(word) for word in sys.argv[1:4]]
    pace = int(sys.argv[5]) if len(sys.argv) > 5 else 0
    asyncio.run(main(*numbers, together=sys.argv[4] == "TOGETHER", rate=pace))
