"""MediaJobs that are made, cancelled and deleted faster than a cluster can rest, while everything
is listed again and again and the leader changes. What becomes of each is seen by a witness of its
own.

Real: the API server, etcd, the bus, the store and two operators. The pods are stand-ins.
"""

import asyncio
import contextlib
import json
import random
import signal
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import aiohttp

from apiclient import Access
from bareclient import Client, fresh_names, manifest
from operator_process import BODY, Operator, settings, stored
from servers import ApiServer, nats_server, running, settings_of, store_server, unverified
from standins import PODS, Seen, StandIn, fill, take_over
from trawler_common.store import Store
from trawler_crds.failures import FailureReason
from trawler_crds.media_job import TERMINAL
from trawler_crds.messages import Order, Outcome, Result

QUEUES: Final = 10
"""Half of them are declared, and count what was stored for them."""
WRITERS: Final = 24
CANCELLED: Final = 0.05
DELETED: Final = 0.05
"""Shares of the jobs that somebody cancels, or deletes, up to three seconds after they were made.
"""
LATEST: Final = 3.0
FAILING: Final = 0.03
HANDED_BACK: Final = 0.01
REFUSED: Final = 0.002
"""Shares of the orders that end so."""
SETTLED_WITHIN: Final = 240.0


@dataclass(frozen=True)
class Plan:
    """How much, and what happens meanwhile."""

    seconds: float
    per_second: float = 50.0
    lists: int = 10
    """How often each operator lists everything meanwhile, beside its watches."""
    ends: tuple[signal.Signals, ...] = (signal.SIGKILL, signal.SIGTERM)
    """What the leader gets, at even distances."""


@dataclass
class Life:
    """One MediaJob as the witness saw it."""

    name: str
    queue: str
    ends: set[tuple[str, str]] = field(default_factory=set)
    """Phase and completion time of each end."""
    revived: bool = False
    deleted: bool = False
    url: str = ""
    attempt: int = 0
    """The last one that was seen."""

    def over(self) -> bool:
        """Whether it has ended, or is not there any more."""
        return self.deleted or bool(self.ends)


class Witness:
    """Watches all MediaJobs of a namespace, from before the first."""

    def __init__(self, api: Access, namespace: str, session: aiohttp.ClientSession) -> None:
        self._address = f"{api.address}/apis/trawler.dev/v1alpha1/namespaces/{namespace}/mediajobs"
        self._headers = api.headers()
        self._session = session
        self.lives: dict[str, Life] = {}

    async def list(self) -> tuple[list[dict[str, Any]], str]:
        """All that there are, and the version of that."""
        while True:
            async with self._session.get(self._address, headers=self._headers) as answer:
                text = await answer.text()
            if answer.status not in {429, 503}:  # it makes room for a new kind, or is busy
                break
            await asyncio.sleep(0.5)
        assert answer.status == 200, text[:300]
        found = json.loads(text)
        return found["items"], found["metadata"]["resourceVersion"]

    async def watch(self, since: str) -> None:
        """See everything, for ever. A gap would make it blind, so that ends it with an error."""
        forever = aiohttp.ClientTimeout(total=None)
        while True:
            query = {"watch": "true", "resourceVersion": since, "allowWatchBookmarks": "true"}
            async with self._session.get(
                self._address, params=query, headers=self._headers, timeout=forever
            ) as answer:
                async for line in answer.content:
                    event = json.loads(line)
                    assert event["type"] != "ERROR", event
                    since = event["object"]["metadata"]["resourceVersion"]
                    if event["type"] != "BOOKMARK":
                        self._see(event["type"], event["object"])

    def all_over(self, made: int) -> bool:
        """Whether it has seen so many, and each of them is over."""
        return len(self.lives) >= made and all(life.over() for life in self.lives.values())

    def _see(self, kind: str, job: dict[str, Any]) -> None:
        meta, status = job["metadata"], job.get("status", {})
        life = self.lives.setdefault(
            meta["uid"], Life(meta["name"], job["spec"].get("queue", "default"))
        )
        life.url, life.attempt = job["spec"]["url"], status.get("attempt", 0)
        life.deleted = life.deleted or kind == "DELETED"
        phase = status.get("phase", "Pending")
        if phase in TERMINAL:
            life.ends.add((phase, status["completionTime"]))
        elif life.ends:
            life.revived = True


class ChurnPod(StandIn):
    """Works for a moment; fails some, hands some back, refuses few. It repeats a result for as long
    as nobody has recorded it, as a real pod does.
    """

    def open(self, tasks: asyncio.TaskGroup, seen: Seen) -> None:
        chance = random.Random(self.name)

        async def work(order: Order) -> None:
            await asyncio.sleep(chance.random() * 0.4)
            result = _result(order, chance.random())
            while (order.uid, order.attempt) in self.held:
                with contextlib.suppress(TimeoutError):
                    answer = await self.report(order.uid, result)
                    if result.outcome is Outcome.STORED and not answer.stale:
                        self.believed[order.uid] += 1
            await self.say()

        async def decide(order: Order) -> bool:
            if (order.uid, order.attempt) in self.held:
                return True
            if (order.uid, order.attempt) in self.accepted or chance.random() < REFUSED:
                return False  # as a real pod: what ended here is not begun a second time
            self.accepted.add((order.uid, order.attempt))
            tasks.create_task(work(order), name="work")
            return True

        self.accepted: set[tuple[str, int]] = set()
        """Attempts that were begun here."""
        self.believed: Counter[str] = Counter()
        """Uid → results with files that were recorded, and not as stale."""
        self.decide = decide


def _result(order: Order, chance: float) -> Result:
    if chance < HANDED_BACK:
        return Result(attempt=order.attempt, outcome=Outcome.HANDED_BACK)
    if chance < HANDED_BACK + FAILING:
        return Result(
            attempt=order.attempt, outcome=Outcome.FAILED, reason=FailureReason.SITE_ERROR
        )
    return stored(order.attempt)


@dataclass
class Found:
    """What was seen, for whoever judges."""

    made: int = 0
    per_second: float = 0.0
    deleted: int = 0
    ends: Counter[str] = field(default_factory=Counter)
    lost: list[str] = field(default_factory=list)
    """Made, not deleted by anybody, and without an end, or not there at all."""
    ended_twice: list[str] = field(default_factory=list)
    """With two ends, or that went on after one."""
    begun_twice: list[str] = field(default_factory=list)
    """With one attempt in two pods, or two results with files."""
    stopped: list[str] = field(default_factory=list)
    """Attempts that a pod was told to stop, though nobody had cancelled or deleted their job."""
    miscounted: list[str] = field(default_factory=list)
    """Counters that are not what a recount says."""
    leaders: int = 0
    """Elections in all."""
    lists: list[int] = field(default_factory=list)
    """How often each operator that is there at the end has listed all MediaJobs."""
    broken: list[str] = field(default_factory=list)
    """Faults of our own that the operators logged."""
    seconds: float = 0.0

    def faults(self) -> dict[str, list[str]]:
        """What must be empty."""
        return {
            name: kept[:5]
            for name in ("lost", "ended_twice", "begun_twice", "stopped", "miscounted", "broken")
            if (kept := getattr(self, name))
        }


class Churn:
    """One run."""

    def __init__(
        self, plan: Plan, operators: list[Operator], client: Client, witness: Witness
    ) -> None:
        self._plan = plan
        self._operators = operators
        self._client = client
        self._witness = witness
        self._chance = random.Random(12)
        self.made: list[str] = []
        self.rate = 0.0
        """At which they were made: one processor may be too few for what was planned."""

    async def make(self, tasks: asyncio.TaskGroup) -> None:
        """So many a second; some are cancelled or deleted soon after."""
        total = round(self._plan.seconds * self._plan.per_second)
        names = iter(enumerate(fresh_names("churn", total)))
        begun = time.monotonic()

        async def some() -> None:
            for number, name in names:
                due = begun + number / self._plan.per_second
                await asyncio.sleep(max(0.0, due - time.monotonic()))
                await self._client.create(name, f"guild-{number % QUEUES}")
                self.made.append(name)
                fate = self._chance.random()
                if fate < CANCELLED + DELETED:
                    step = self._cancel if fate < CANCELLED else self._delete
                    tasks.create_task(step(name), name=f"disturb {name}")

        await asyncio.gather(*(some() for _ in range(WRITERS)))
        self.rate = total / (time.monotonic() - begun)

    async def _cancel(self, name: str) -> None:
        await asyncio.sleep(self._chance.random() * LATEST)
        merge = "application/merge-patch+json"
        await self._client.ask("PATCH", f"/mediajobs/{name}", {"spec": {"cancel": True}}, merge)

    async def _delete(self, name: str) -> None:
        await asyncio.sleep(self._chance.random() * LATEST)
        await self._client.ask("DELETE", f"/mediajobs/{name}")

    async def change_leaders(self) -> None:
        """The one that leads is told to go, or killed; its kubelet starts it again."""
        pause = self._plan.seconds / (len(self._plan.ends) + 1)
        for signum in self._plan.ends:
            await asyncio.sleep(pause)
            leader = await self._leader()
            await asyncio.to_thread(leader.kill, signum)
            await asyncio.sleep(1)
            self._start(leader)

    async def _leader(self) -> Operator:
        while True:
            for operator in self._operators:
                if operator.died() is None and await asyncio.to_thread(operator.leading):
                    return operator
            await asyncio.sleep(0.2)

    def start(self) -> None:
        for operator in self._operators:
            self._start(operator)

    def _start(self, operator: Operator) -> None:
        every = self._plan.seconds / (self._plan.lists + 1)
        operator.start(TRAWLER_OPERATOR_RESYNC_SECONDS=f"{every:.2f}")

    async def settle(self) -> None:
        """Wait until everybody who is still there has ended."""
        end = time.monotonic() + SETTLED_WITHIN
        while not self._witness.all_over(len(self.made)) and time.monotonic() < end:
            await asyncio.sleep(0.5)  # whoever judges finds lost what is left

    async def judge(self, pods: list[ChurnPod]) -> Found:
        """Compare what the witness, the pods and the API server saw."""
        items, _ = await self._witness.list()
        there = {item["metadata"]["name"]: item for item in items}
        by_name = {life.name: life for life in self._witness.lives.values()}
        lives = [by_name.get(name) for name in self.made]
        found = Found(
            made=len(self.made),
            per_second=self.rate,
            deleted=sum(life is not None and life.deleted for life in lives),
            ends=Counter(item["status"].get("phase", "Pending") for item in items),
            ended_twice=[
                str(life) for life in by_name.values() if life.revived or len(life.ends) > 1
            ],
            begun_twice=[*_begun_twice(pods)],
            stopped=[*_stopped(pods, self._witness.lives)],
            leaders=self._operators[0].said("elected"),
            lists=[
                round(operator.counted("trawler_operator_lists_of_jobs"))
                for operator in self._operators
            ],
            broken=self._broken(),
        )
        for name, life in zip(self.made, lives, strict=True):
            if life is None or not (life.deleted or (name in there and life.over())):
                found.lost.append(f"{name}: {life}")
        found.miscounted = await self._recount(items)
        return found

    def _broken(self) -> list[str]:
        events = ("effect_broke", "object_not_taken", "job_set_aside", "part_broke")
        return [f"{event}: {n}" for event in events if (n := self._operators[0].said(event))]

    async def _recount(self, items: list[dict[str, Any]]) -> list[str]:
        """Each counter of each operator that a list of everything says differently, also after a
        while.
        """
        end = time.monotonic() + 45  # a queue's figures are written every 30 s
        while True:
            wrong = [*self._wrong_phases(items), *await self._wrong_queues(items)]
            if not wrong or time.monotonic() > end:
                return wrong
            await asyncio.sleep(1)

    def _wrong_phases(self, items: list[dict[str, Any]]) -> Iterator[str]:
        true = Counter(item["status"].get("phase", "Pending") for item in items)
        for operator in self._operators:
            for phase in ("Pending", "Queued", "Running", *sorted(TERMINAL)):
                says = operator.counted(f'trawler_jobs{{phase="{phase}"}}')
                if says != true[phase]:
                    yield f"{phase}: {says:.0f} instead of {true[phase]}"
            if operator.counted("trawler_jobs_set_aside"):
                yield "jobs are set aside"

    async def _wrong_queues(self, items: list[dict[str, Any]]) -> list[str]:
        """What was stored for jobs that were deleted since still counts for the day."""
        kept = Counter(
            item["spec"]["queue"] for item in items if item["status"].get("phase") == "Succeeded"
        )
        ever = Counter(
            life.queue
            for life in self._witness.lives.values()
            if any(phase == "Succeeded" for phase, _ in life.ends)
        )
        wrong = []
        for queue in (await self._client.ask("GET", "/mediaqueues"))["items"]:
            name, status = queue["metadata"]["name"], queue.get("status", {})
            files = status.get("dayBytes", 0) / len(BODY)
            if status.get("queued") or status.get("running"):
                wrong.append(f"{name}: {status}, though nobody waits or runs")
            if not kept[name] <= files <= ever[name]:
                wrong.append(f"{name}: {files} files stored instead of {kept[name]}..{ever[name]}")
        return wrong


def _begun_twice(pods: list[ChurnPod]) -> Iterator[str]:
    attempts = Counter(attempt for pod in pods for attempt in pod.accepted)
    results = Counter[str]()
    for pod in pods:
        results.update(pod.believed)
    yield from (f"{key} began in {n} pods" for key, n in attempts.items() if n > 1)
    yield from (f"{uid} has {n} results" for uid, n in results.items() if n > 1)


def _stopped(pods: list[ChurnPod], lives: Mapping[str, Life]) -> Iterator[str]:
    for pod in pods:
        for uid, attempt in {*pod.cancelled} & pod.accepted:
            life = lives[uid]
            if not (life.deleted or any(phase == "Cancelled" for phase, _ in life.ends)):
                yield f"attempt {attempt} in {pod.name}: {life}"


@contextlib.asynccontextmanager
async def _operators(
    api: ApiServer, namespace: str, folder: Path
) -> AsyncIterator[tuple[list[Operator], str, Store]]:
    with running(nats_server(folder)) as bus, running(store_server(folder)) as s3:
        nats_url = f"nats://127.0.0.1:{bus.port}"
        env = settings(
            folder,
            namespace=namespace,
            nats_url=nats_url,
            store=settings_of(s3),
            pool={"replicas": PODS, "slotsPerPod": 4},
        )
        env |= {"KUBECONFIG": str(api.kubeconfig)}
        one = Operator(api, namespace, env, folder / "operator.log")
        both = [one, one.another("operator-2")]
        try:
            yield both, nats_url, Store(settings_of(s3))
        finally:
            for operator in both:
                operator.stop()


async def churn(api: ApiServer, folder: Path, plan: Plan) -> Found:
    """Run it in a namespace of its own, and say what was seen."""
    namespace = folder.name.replace("_", "-").lower()[:40]
    api.kubectl("create", "namespace", namespace)
    connector = aiohttp.TCPConnector(ssl=unverified(), limit=WRITERS + 40)
    async with (
        aiohttp.ClientSession(connector=connector, trust_env=False) as session,
        _operators(api, namespace, folder) as (operators, nats_url, store),
    ):
        client, witness = (
            Client(api.access, namespace, session),
            Witness(api.access, namespace, session),
        )
        for number in range(0, QUEUES, 2):
            await client.ask(
                "POST",
                "/mediaqueues",
                manifest("MediaQueue", f"guild-{number}", {"dailyBytes": 10**12}),
            )
        run = Churn(plan, operators, client, witness)
        begun = time.monotonic()
        try:
            async with asyncio.TaskGroup() as tasks:
                _, since = await witness.list()
                watching = tasks.create_task(witness.watch(since), name="witness")
                run.start()
                await run._leader()
                await fill(store, session)
                pods = await take_over(operators[0], nats_url, tasks, Seen(), ChurnPod)
                async with asyncio.TaskGroup() as disturbing:
                    disturbing.create_task(run.make(disturbing), name="make")
                    disturbing.create_task(run.change_leaders(), name="change leaders")
                await run.settle()
                found = await run.judge(pods)
                watching.cancel()
                for pod in pods:
                    await pod.bus.close()
                raise _Over
        except* _Over:
            pass
    found.seconds = time.monotonic() - begun
    return found


class _Over(Exception):
    """Everything has been seen."""
