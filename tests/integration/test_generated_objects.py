"""Five hundred objects as strangers may write them, on a real API server, with operator, worker and
bot up: each has an end or a condition, and nobody else notices.
"""

import asyncio
import random
import secrets
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from apiclient import MERGE
from bot_process import BotProcess, ended
from emulated import Emulated
from forkserver import ForkServer
from generate import Generator
from operator_process import Operator
from servers import unverified
from stack import Stack
from trawler_crds.keys import LABEL_POOL
from trawler_crds.media_job import TERMINAL, Phase

pytestmark = pytest.mark.timeout(300)

HANDS = 8
"""So many write side by side, each an equal share."""
COUNTS = {"mediajobs": 344, "workerpools": 80, "mediaqueues": 80}
KINDS = {"mediajobs": "MediaJob", "workerpools": "WorkerPool", "mediaqueues": "MediaQueue"}


class Stranger:
    """Who writes all that, and knows what was let in."""

    def __init__(self, operator: Operator, seed: int) -> None:
        self._operator = operator
        self._chance = random.Random(seed)
        self._made = Generator(seed)
        self.taken: dict[str, list[str]] = {kind: [] for kind in COUNTS}
        self.ended_by_hand: set[str] = set()
        """Jobs whose end was written by the stranger, with or without a sentence."""
        self._http = httpx.AsyncClient(
            base_url=operator.api.access.address,
            headers=operator.api.access.headers(),
            verify=unverified(),
            timeout=20,
            trust_env=False,
        )

    async def write(self) -> None:
        """Pools and queues first, as the jobs name them."""
        for kind in ("workerpools", "mediaqueues", "mediajobs"):
            share = COUNTS[kind] // HANDS
            await asyncio.gather(*(self._write(kind, share) for _ in range(HANDS)))
        await self._http.aclose()

    async def _write(self, kind: str, share: int) -> None:
        taken = 0
        for _ in range(20 * share):
            taken += await self._create(kind)
            if taken == share:
                return

    async def _create(self, kind: str) -> bool:
        """Whether it was let in."""
        name = f"g-{self._chance.randrange(2**40):010x}"
        body = {
            "apiVersion": "trawler.dev/v1alpha1",
            "kind": KINDS[kind],
            "metadata": {"name": name},
            "spec": self._spec(kind),
        }
        answer = await self._http.post(self._operator.ours(kind), json=body)
        if answer.status_code != 201:
            assert answer.status_code in {400, 422}, answer.text
            return False
        self.taken[kind].append(name)
        if kind == "mediajobs" and self._chance.random() < 0.3:
            await self._write_status(name)
        return True

    async def _write_status(self, name: str) -> None:
        status = self._made.status("mediajobs.yaml")
        answer = await self._http.patch(
            self._operator.ours("mediajobs", name) + "/status",
            json={"status": status},
            headers={"Content-Type": MERGE},
        )
        if answer.status_code == 200 and status.get("phase") in TERMINAL:
            self.ended_by_hand.add(name)

    def _spec(self, kind: str) -> dict[str, Any]:
        """What could take long, or a thousand pods, is kept small."""
        made, pick = self._made, self._chance.choice
        if kind == "workerpools":
            small = {"replicas": pick((0, 0, 1)), "minReplicas": pick((0, 0, 1))}
            return made.spec("workerpools.yaml", **small, maxReplicas=pick((0, 1, 2)))
        if kind == "mediaqueues":
            return made.spec("mediaqueues.yaml")
        pools, queues = self.taken["workerpools"], self.taken["mediaqueues"]
        short = {"maxQueueSeconds": pick((1, 3, 5)), "backoffLimit": pick((0, 1))}
        where = {"pool": pick(("default", "none", pick(pools)))}
        return made.spec("mediajobs.yaml", **short, **where, queue=pick(("none", pick(queues))))


@asynccontextmanager
async def _bot(
    stack: Stack, emulated: Emulated, database: str, forks: ForkServer, folder: Path
) -> AsyncIterator[BotProcess]:
    emulated.hub.limits.identify_seconds = 0.0
    token = emulated.application.bot.token
    found = BotProcess(
        stack.operator, emulated.hub.address, token, folder, database=database, start=forks.start
    )
    found.start()
    try:
        await stack.until(found.ready, what=f"the bot ({found.log})")
        yield found
    finally:
        found.stop()
        print(found.log.read_text()[-20_000:])


def _unsettled(operator: Operator, by_hand: set[str]) -> Iterator[str]:
    """Jobs without an end, pools without a condition, queues that are not known; who fails is told
    why.
    """
    for job in operator.jobs():
        over = job.status.phase in TERMINAL or job.status.phase is Phase.SUSPENDED
        told = job.status.message or job.status.phase is not Phase.FAILED or job.name in by_hand
        if not (over and told):
            yield f"{job.name}: {job.status}"
    for pool in operator.all("workerpools"):
        if not pool.get("status", {}).get("conditions"):
            yield f"{pool['metadata']['name']}: {pool.get('status')}"
    queues, known = len(operator.all("mediaqueues")), operator.counted("trawler_queues")
    if queues != known:
        yield f"{queues} queues, of which {known:.0f} are known"


async def _settled(stranger: Stranger, operator: Operator) -> None:
    end = time.monotonic() + 120
    while left := await asyncio.to_thread(
        lambda: list(_unsettled(operator, stranger.ended_by_hand))
    ):
        if time.monotonic() > end:
            pytest.fail("\n".join(left))
        await asyncio.sleep(0.5)


async def _serves(stack: Stack, emulated: Emulated) -> None:
    """Somebody else gets what they ask for."""
    async with emulated.person(emulated.ben) as ben:
        await ben.types("download", url=f"{stack.address}/video/{stack.seed()}.mp4?bytes=9000")
        first = await ben.hears("MESSAGE_CREATE")
        assert 1 == len((await ended(ben, first["id"]))["attachments"])


async def test_five_hundred_objects_of_strangers_stop_neither_operator_nor_bot(
    stack: Stack,
    database: str,
    forks: ForkServer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Operator and bot are up throughout, serve others, and come up again with all of them
    there.
    """
    operator = stack.operator
    stack.node.selector = f"{LABEL_POOL}=default"
    seed = secrets.randbits(32)
    print(f"seed {seed}")
    stranger = Stranger(operator, seed)
    emulated = Emulated(tmp_path)
    async with emulated.discord.serving():
        emulated.point(monkeypatch)
        async with _bot(stack, emulated, database, forks, tmp_path / "bot") as bot:
            await stranger.write()
            assert COUNTS == {kind: len(names) for kind, names in stranger.taken.items()}
            await _settled(stranger, operator)
            await _serves(stack, emulated)
            assert operator.died() is None
            assert not bot.died()
            operator.kill()
            bot.kill()
            operator.start()
            bot.start()
            await asyncio.to_thread(operator.lead)
            await stack.until(bot.ready, what="the bot, again")
            await _serves(stack, emulated)
