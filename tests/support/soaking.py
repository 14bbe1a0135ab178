"""An install under load while its parts are killed: what became of each job and each message, and
whether any process grows.

Real: the cluster, its pods, their images. Kills are SIGKILL of a process in a pod, as the kernel
does it, or a pod that is deleted by force, as when a node is lost.
"""

import asyncio
import contextlib
import math
import random
import secrets
import signal
import subprocess
import time
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Iterable, Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, Final

import aiohttp
import httpx

import apiclient
import usage
from bareclient import Client
from churning import Life, Witness
from installed import Installed
from trawler_cluster.sandbox_client import API, SLASH, SandboxClient

OURS: Final = ("operator", "bot", "worker", "nats", "store", "postgres")
"""Components that are killed. The Discord and the site in the box stand in for others'."""
SHARED_DISK: Final = frozenset({"store", "postgres"})
"""Never deleted by force: their next pod could begin on the volume before the old one is gone."""
BYTES: Final = 200_000
KEPT: Final = 300
"""Seconds for which a finished job is kept: so that what is kept stops growing soon."""
PEOPLE: Final = 60
CHANNELS: Final = 10
LOOK_EVERY: Final = 10.0
WARM: Final = 600.0
"""Seconds of a process's life that do not count for its slope."""
BIN: Final = 300.0
"""The least memory in so many seconds is what a process keeps; above that is work under way. Go
collects what is free every two minutes where little happens: each bin has two of its collections.
"""
SETTLED_WITHIN: Final = 300.0


@dataclass(frozen=True)
class Kill:
    """One, and when (seconds from the start)."""

    at: float
    component: str
    by_force: bool


@dataclass(frozen=True)
class Plan:
    """How much, and what dies."""

    seconds: float
    jobs_per_second: float
    people_per_second: float
    kills: tuple[Kill, ...]


def kills(spans: Iterable[tuple[float, float, Iterable[str]]], *, every: float) -> list[Kill]:
    """In each span (begin, end, components) one about every so many seconds, at random; each
    component has its turn before one has its second.
    """
    chance = random.Random(7)
    found: list[Kill] = []
    for begin, end, components in spans:
        names = list(components)
        for number in range(int((end - begin) // every)):
            if number % len(names) == 0:
                chance.shuffle(names)
            name = names[number % len(names)]
            at = begin + (number + chance.random()) * every
            found.append(Kill(at, name, name not in SHARED_DISK and chance.random() < 0.5))
    return found


@dataclass(frozen=True)
class Process:
    """One process of a pod, for as long as it lives."""

    component: str
    pid: int
    started: int
    command: str


@dataclass(frozen=True)
class Growth:
    """What became of the memory of one process. MiB."""

    per_hour: float
    seconds: float
    """For so long it was seen."""
    before: float
    after: float
    least: tuple[float, ...]
    """The least in each bin."""


class Memory:
    """Anonymous memory of every process of every pod that is ours, now and then."""

    def __init__(self, install: Installed) -> None:
        self._install = install
        self.seen: dict[Process, list[tuple[float, float]]] = defaultdict(list)
        """Seconds (monotonic) and MiB."""

    async def watch(self) -> None:
        """Look for ever."""
        while True:
            with contextlib.suppress(AssertionError, OSError, httpx.HTTPError):
                await asyncio.to_thread(self._look)
            await asyncio.sleep(LOOK_EVERY)

    def _look(self) -> None:
        for component in OURS:
            for pod in self._install.pods(component):
                for pid in usage.of_pod(pod["metadata"]["uid"]):
                    with contextlib.suppress(OSError, StopIteration, ValueError):
                        process = Process(component, pid, usage.started(pid), usage.command(pid))
                        self.seen[process].append((time.monotonic(), usage.anonymous_mib(pid)))

    def growths(self, until: float) -> dict[Process, Growth]:
        """Of each process that was seen for ten minutes after its first ten and up to a time
        (monotonic).
        """
        found = {}
        for process, points in self.seen.items():
            late = [(at, size) for at, size in points if at - points[0][0] >= WARM and at < until]
            if late and late[-1][0] - late[0][0] >= WARM:
                lowest = lows(late)
                found[process] = Growth(
                    per_hour=slope(lowest) * 3600,
                    least=tuple(size for _, size in lowest),
                    seconds=late[-1][0] - late[0][0],
                    before=late[0][1],
                    after=late[-1][1],
                )
        return found


def lows(points: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """The least of each bin: what a process keeps."""
    least: dict[int, tuple[float, float]] = {}
    for at, size in points:
        key = int((at - points[0][0]) // BIN)
        if key not in least or size < least[key][1]:
            least[key] = (at, size)
    return list(least.values())


def slope(points: list[tuple[float, float]]) -> float:
    """By how much it rises per second (least squares)."""
    xs, ys = zip(*points, strict=True)
    middle_x, middle_y = sum(xs) / len(xs), sum(ys) / len(ys)
    spread = sum((x - middle_x) ** 2 for x in xs)
    both = sum((x - middle_x) * (y - middle_y) for x, y in zip(xs, ys, strict=True))
    return both / spread if spread else 0.0


def quiet_until(kills: Iterable[Kill]) -> float:
    """When (seconds from the start) the longest time without a kill is over."""
    times = sorted(kill.at for kill in kills)
    pauses = [(after - before, after) for before, after in pairwise([0.0, *times])]
    return max(pauses, default=(0.0, math.inf))[1]


@dataclass
class Found:
    """What was seen, for whoever judges."""

    made: int = 0
    ends: Counter[str] = field(default_factory=Counter)
    asked: int = 0
    unanswered: int = 0
    """People whom Discord told that nothing came: nothing was begun for them."""
    lost: list[str] = field(default_factory=list)
    """Jobs that did not succeed, though nothing was wrong with them, and messages without their
    file.
    """
    doubled: list[str] = field(default_factory=list)
    killed: Counter[str] = field(default_factory=Counter)
    growths: dict[Process, Growth] = field(default_factory=dict)
    seconds: float = 0.0


class Load:
    """Jobs through the API, and people in Discord."""

    def __init__(
        self, plan: Plan, client: Client, http: aiohttp.ClientSession, discord: str
    ) -> None:
        self._plan = plan
        self._client = client
        self._http = http
        self._discord = discord
        self.made: list[str] = []
        """Names of the jobs."""
        self.asked: set[str] = set()
        """Seeds of the addresses that people asked for."""
        self._known: dict[str, str] = {}
        self._tokens: list[str] = []
        self.channels: list[str] = []

    async def enter(self, harbour: SandboxClient) -> None:
        """Sixty people in ten channels."""
        command = harbour.command("download")
        made = harbour.control("crowd", guild=harbour.guild, people=PEOPLE, channels=CHANNELS)
        self._tokens, self.channels = made["tokens"], made["channels"]
        self._known = {
            "application": command["application_id"],
            "command": command["id"],
            "guild": harbour.guild,
        }

    async def jobs(self) -> None:
        """So many a second, at even distances."""
        begun = time.monotonic()
        for number in range(round(self._plan.seconds * self._plan.jobs_per_second)):
            due = begun + number / self._plan.jobs_per_second
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            seed = secrets.token_hex(6)
            name = f"soak-{seed}"
            url = f"http://site:8080/video/{seed}.mp4?bytes={BYTES}"
            await self._client.ask_for(name, url=url, ttlSecondsAfterFinished=KEPT)
            self.made.append(name)

    async def people(self) -> None:
        """One after another asks for something of their own."""
        begun = time.monotonic()
        for number in range(round(self._plan.seconds * self._plan.people_per_second)):
            due = begun + number / self._plan.people_per_second
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            channel = self.channels[number % len(self.channels)]
            await self._click(self._tokens[number % len(self._tokens)], channel)

    async def _click(self, token: str, channel: str) -> None:
        seed = secrets.token_hex(6)
        url = f"http://site:8080/video/{seed}.mp4?bytes={BYTES}"
        body = {
            "type": SLASH,
            "application_id": self._known["application"],
            "guild_id": self._known["guild"],
            "channel_id": channel,
            "session_id": "soak",
            "nonce": seed,
            "data": {
                "id": self._known["command"],
                "name": "download",
                "type": 1,
                "options": [{"type": 3, "name": "url", "value": url}],
            },
        }
        headers = {"Authorization": token}
        address = f"{self._discord}{API}/interactions"
        async with self._http.post(address, json=body, headers=headers) as answer:
            if answer.status < 300:  # else the bot is not there, and the person sees that
                self.asked.add(seed)

    async def messages(self) -> dict[str, list[dict[str, Any]]]:
        """Seed → messages that are about it, of all channels."""
        found: dict[str, list[dict[str, Any]]] = defaultdict(list)
        for channel in self.channels:
            before = ""
            while page := await self._page(channel, before):
                for message in page:
                    for seed in [s for s in _seeds(message["content"]) if s in self.asked]:
                        found[seed].append(message)
                before = f"&before={page[-1]['id']}"
        return found

    async def _page(self, channel: str, before: str) -> list[dict[str, Any]]:
        address = f"{self._discord}{API}/channels/{channel}/messages?limit=100{before}"
        async with self._http.get(address, headers={"Authorization": self._tokens[0]}) as answer:
            assert answer.status == 200, await answer.text()
            page: list[dict[str, Any]] = await answer.json()
            return page


def _seeds(content: str) -> set[str]:
    return {part.partition(".mp4")[0][-12:] for part in content.split("/video/")[1:]}


class Soak:
    """One run."""

    def __init__(
        self, plan: Plan, install: Installed, client: Client, load: Load, witness: Witness
    ) -> None:
        self._plan = plan
        self._install = install
        self._client = client
        self._load = load
        self._witness = witness
        self._chance = random.Random(3)
        self.killed: Counter[str] = Counter()

    async def kill(self) -> None:
        """Each in its time. Where there is nothing to kill just then, it is dead already."""
        begun = time.monotonic()
        for kill in sorted(self._plan.kills, key=lambda each: each.at):
            await asyncio.sleep(max(0.0, begun + kill.at - time.monotonic()))
            how = await asyncio.to_thread(self._kill, kill)
            self.killed[f"{kill.component} {how}"] += 1

    def _kill(self, kill: Kill) -> str:
        pods = [
            pod
            for pod in self._install.pods(kill.component)
            if "deletionTimestamp" not in pod["metadata"]
        ]
        if not pods:
            return "was dead"
        pod = self._chance.choice(pods)["metadata"]
        if kill.by_force:
            words = ("delete", "pod", pod["name"], "--grace-period=0", "--force", "--wait=false")
            self._install.kubectl.run(*words, check=False)
            return "by force"
        pids = usage.of_pod(pod["uid"])
        if not pids:
            return "was dead"
        pid = str(self._chance.choice(pids))
        subprocess.run(["kill", f"-{signal.SIGKILL.value}", pid], check=False, capture_output=True)
        return "by SIGKILL"

    async def forget_delivered(self) -> None:
        """The bot keeps what it made for a day; so that nothing grows for a day, an admin tidies
        up.
        """
        while True:
            await asyncio.sleep(20)
            items, _ = await self._witness.list()
            for item in items:
                if item["metadata"]["name"].startswith("d-") and _delivered_long_ago(item):
                    with contextlib.suppress(AssertionError):  # the next round tries again
                        await self._client.ask("DELETE", f"/mediajobs/{item['metadata']['name']}")

    async def settle(self) -> None:
        """Wait until each job has ended and each message has its file."""
        end = time.monotonic() + SETTLED_WITHIN
        while time.monotonic() < end:
            await asyncio.sleep(2)
            messages = await self._load.messages()
            ended = self._witness.all_over(len(self._load.made))
            if ended and all(_complete(found) for found in messages.values()):
                return

    async def judge(self) -> Found:
        """Compare what was asked for with what the witness, the site and the channels show."""
        lives = {life.name: life for life in self._witness.lives.values()}
        found = Found(
            made=len(self._load.made),
            asked=len(self._load.asked),
            ends=Counter(phase for life in lives.values() for phase, _ in life.ends),
            killed=self.killed,
        )
        for name in self._load.made:
            life = lives.get(name)
            if life is None or {phase for phase, _ in life.ends} != {"Succeeded"}:
                found.lost.append(f"{name}: {life}")
        found.doubled += [
            f"{life.name}: {life.ends}"
            for life in lives.values()
            if len(life.ends) > 1 or life.revived
        ]
        found.doubled += await self._downloads(lives)
        await self._judge_messages(found, lives)
        return found

    async def _judge_messages(self, found: Found, lives: Mapping[str, Life]) -> None:
        messages = await self._load.messages()
        begun = {
            seed: life
            for life in lives.values()
            if life.name.startswith("d-")
            for seed in _seeds(life.url)
        }
        for seed in self._load.asked:
            about = messages.get(seed, [])
            if len(about) > 1:
                found.doubled.append(f"{seed}: {len(about)} messages")
            elif about and not _complete(about):
                found.lost.append(f"{seed}: {about[0]['content'][:200]}")
            elif not about:
                found.unanswered += 1
                life = begun.get(seed)
                if life is not None and not any(phase == "Cancelled" for phase, _ in life.ends):
                    found.lost.append(f"{seed}: no message, though it was begun: {life}")

    async def _downloads(self, lives: Mapping[str, Life]) -> list[str]:
        """Files that were fetched more often than there were attempts."""
        entries = await asyncio.to_thread(self._install.requests_for, "/video/")
        begun = Counter(
            seed
            for entry in entries
            if entry["method"] == "GET" and entry["begin"] == 0 and entry["sent"]
            for seed in _seeds(entry["path"])
        )
        attempts = {seed: life.attempt for life in lives.values() for seed in _seeds(life.url)}
        return [
            f"{seed}: {count} downloads in {attempts[seed]} attempts"
            for seed, count in begun.items()
            if count > attempts.get(seed, count)
        ]


def _complete(about: list[dict[str, Any]]) -> bool:
    return all(message["attachments"] for message in about)


def _delivered_long_ago(job: dict[str, Any]) -> bool:
    for condition in job.get("status", {}).get("conditions", []):
        if condition["type"] == "Delivered":
            then = time.strptime(condition["lastTransitionTime"], "%Y-%m-%dT%H:%M:%SZ")
            return time.mktime(time.gmtime()) - time.mktime(then) > KEPT
    return False


@contextlib.asynccontextmanager
async def _connected(install: Installed) -> AsyncIterator[tuple[Client, Witness]]:
    access, context = apiclient.access(install.kubectl.provider.config.kubeconfig)
    connector = aiohttp.TCPConnector(ssl=context, limit=32)
    async with aiohttp.ClientSession(connector=connector, trust_env=False) as session:
        yield (
            Client(access, install.namespace, session),
            Witness(access, install.namespace, session),
        )


async def soak(install: Installed, plan: Plan) -> Found:
    """Run it, wait until all is quiet, and say what was seen."""
    memory = Memory(install)
    begun = time.monotonic()
    with (
        install.kubectl.forwarded("service/discord", 8091) as port,
        SandboxClient.entered(f"http://127.0.0.1:{port}") as harbour,
    ):
        async with (
            _connected(install) as (client, witness),
            aiohttp.ClientSession(trust_env=False) as http,
        ):
            load = Load(plan, client, http, harbour.address)
            await load.enter(harbour)
            run = Soak(plan, install, client, load, witness)
            _, since = await witness.list()
            beside = [
                asyncio.create_task(work, name=name)
                for name, work in (
                    ("witness", witness.watch(since)),
                    ("memory", memory.watch()),
                    ("forget", run.forget_delivered()),
                )
            ]
            try:
                async with asyncio.TaskGroup() as tasks:
                    for work in (load.jobs(), load.people(), run.kill()):
                        tasks.create_task(work)
                await run.settle()
                found = await run.judge()
            finally:
                for task in beside:
                    task.cancel()
                ends = await asyncio.gather(*beside, return_exceptions=True)
            broke = [end for end in ends if not isinstance(end, asyncio.CancelledError)]
            assert not broke, f"what looks on broke: {broke}"
    until = begun + quiet_until(plan.kills)
    found.growths, found.seconds = memory.growths(until), time.monotonic() - begun
    return found
