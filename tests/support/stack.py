"""Operator, worker, bus, store, API server and a media site, all real and on one machine: what
tests of faults ask of them together.
"""

import asyncio
import secrets
import signal
import time
from collections.abc import Callable, Iterable
from typing import Any

from installed import SIDECAR
from node import Node
from operator_process import Operator
from servers import Server
from trawler_common.bus import Bus
from trawler_common.store import Store
from trawler_crds import subjects
from trawler_crds.keys import OWNER_OBJECT
from trawler_crds.media_job import TERMINAL, MediaJob
from trawler_crds.media_job import Phase as JobPhase
from trawler_crds.messages import Presence, Stage
from trawler_sandbox.site import Site


class Stack:
    """Everything, and what must hold of it at the end."""

    def __init__(
        self,
        *,
        operator: Operator,
        node: Node,
        site: Site,
        address: str,
        bus: Server,
        s3: Server,
        store: Store,
    ) -> None:
        self.operator = operator
        self.node = node
        self.bus = bus
        self.s3 = s3
        self.store = store
        self._site = site
        self.address = address
        self._asked: dict[str, str] = {}
        self._said: dict[str, Presence] = {}

    def logs(self) -> dict[str, str]:
        """What each part said last."""
        parts = (self.operator, self.node, self.bus, self.s3)
        return {name: text for part in parts for name, text in part.logs().items()}

    # asking -----------------------------------------------------------------------------------

    def seed(self) -> str:
        return secrets.token_hex(6)

    def ask(
        self, seed: str, *, kind: str = "video", size: int = 200_000, rate: int = 0, **spec: Any
    ) -> MediaJob:
        query = f"?bytes={size}" + (f"&rate={rate}" if rate else "")
        job = self.operator.ask(url=f"{self.address}/{kind}/{seed}.mp4{query}", **spec)
        self._asked[job.name] = seed
        return job

    def edit(self, job: MediaJob, **spec: Any) -> None:
        self.operator.edit(job.name, **spec)

    def jobs(self) -> dict[str, MediaJob]:
        """Name → job, of all that are there."""
        return {job.name: job for job in self.operator.jobs()}

    async def until(
        self, condition: Callable[[], bool], *, what: str, timeout: float = 60
    ) -> float:
        """Wait; answers with how long that took (seconds)."""
        begun = time.monotonic()
        while not await asyncio.to_thread(condition):
            assert time.monotonic() - begun < timeout, f"{what} not within {timeout} s"
            await asyncio.sleep(0.1)
        return time.monotonic() - begun

    async def ended(self, jobs: Iterable[MediaJob], *, timeout: float = 60) -> dict[str, MediaJob]:
        """Wait until all of these are in a terminal phase."""
        names = {job.name for job in jobs}
        found: dict[str, MediaJob] = {}

        def over() -> bool:
            found.update({n: job for n, job in self.jobs().items() if n in names})
            return names == {n for n, job in found.items() if job.status.phase in TERMINAL}

        try:
            await self.until(over, what="the end of all jobs", timeout=timeout)
        except AssertionError:
            left = {n: found[n].status for n in names if n in found}
            raise AssertionError(f"not all ended: {left}") from None
        return found

    def scale(self, replicas: int) -> None:
        self.operator.edit("default", "workerpools", replicas=replicas)

    def forget(self) -> None:
        """Nothing of what was so far counts any more."""
        self.operator.remove("mediajobs")
        for pod in [name for name, pod in self.node.pods.items() if pod.ended()]:
            del self.node.pods[pod]

    def phase_of(self, job: MediaJob) -> str:
        return str(self.jobs()[job.name].status.phase)

    async def listen(self, bus: Bus) -> None:
        """Hear what the pods say of themselves, as the operator does; without an answer."""

        async def hear(subject: str, presence: Presence) -> None:
            self._said[subjects.sender(subject).pod] = presence

        await bus.serve(subjects.presence(self.operator.namespace, "*"), Presence, hear)

    def stages(self, job: MediaJob) -> list[Stage]:
        """What living pods do with a job now."""
        return [
            held.stage
            for name, presence in self._said.items()
            if name in self.node.pods and not self.node.pods[name].ended()
            for held in presence.held
            if held.uid == job.uid
        ]

    def refused_edit(self, job: MediaJob, spec: str) -> str:
        """What the API server says to an edit that it must refuse."""
        words = ("-n", self.operator.namespace, "patch", "mj", job.name, "--type=merge")
        done = self.operator.api.kubectl(*words, "-p", f'{{"spec":{{{spec}}}}}', check=False)
        assert done.returncode != 0, f"taken: {spec}"
        return done.stderr

    async def fetching(self, job: MediaJob, *, share: float = 0.1) -> None:
        """Wait until the site sent so much of its file."""
        seed = self._asked[job.name]

        def sent() -> bool:
            entries = [e for e in self._site.journal.entries(seed) if e.size]
            return bool(entries) and entries[-1].sent >= share * entries[-1].size

        await self.until(sent, what=f"{share:.0%} of a download")

    async def leading(self, *, timeout: float = 60) -> float:
        """Wait until the operator leads; answers with how long that took (seconds)."""
        return await self.until(self.operator.leading, what="a leader", timeout=timeout)

    async def replace_pods(self, env: dict[str, str]) -> None:
        """Other pods, with further environment."""
        self.node.env = env
        old = {pod["metadata"]["name"] for pod in self.operator.pods()}
        self.operator.kubectl("delete", "pod", *old, "--wait=false")

        def replaced() -> bool:
            now = {pod["metadata"]["name"] for pod in self.operator.pods()}
            return bool(now) and not now & old

        await self.until(replaced, what="other pods")
        await self.working()

    def a_pod_died(self) -> bool:
        return any(
            process.poll() == -signal.SIGKILL
            for pod in self.node.pods.values()
            for process in pod.processes.values()
        )

    async def leave(self) -> None:
        """The operator ends in order."""
        assert await asyncio.to_thread(self.operator.kill, signal.SIGTERM) == 0

    async def working(self, *, timeout: float = 60) -> None:
        """Wait until a pod takes orders."""

        def ready() -> bool:  # who leads makes its pools a moment later
            pools = self.operator.all("workerpools")
            return any(pool.get("status", {}).get("readyReplicas") for pool in pools)

        await self.until(ready, what="a pod that takes orders", timeout=timeout)

    # what the world saw -----------------------------------------------------------------------

    def downloads(self, seed: str) -> int:
        """GETs of the file that began at its first byte and sent some."""
        return sum(
            entry.method == "GET" and entry.begin == 0 and entry.sent > 0
            for entry in self._site.journal.entries(seed)
        )

    def downloads_of(self, job: MediaJob) -> int:
        """The same, of a job that was asked for here."""
        return self.downloads(self._asked[job.name])

    async def objects(self) -> set[str]:
        """Hashes of all objects, without the mark of who owns them."""
        names = {key.rpartition("/")[2] for key in await self.store.keys()}
        return names - {OWNER_OBJECT}

    async def stored(self) -> set[str]:
        """The same of files: without what is said of them. Each attempt says it with its own
        time.
        """
        return {each for each in await self.objects() if not await self._is_sidecar(each)}

    async def _is_sidecar(self, sha256: str) -> bool:
        try:
            return (await self.store.get(sha256)).startswith(SIDECAR)
        except FileNotFoundError:  # swept by now
            return True

    # what must hold ---------------------------------------------------------------------------

    async def nothing_left(self) -> None:
        """No scratch, no job process, no pod too many; every file of a job is there."""
        named = {
            each.sha256
            for job in self.jobs().values()
            if job.status.phase is JobPhase.SUCCEEDED
            for each in job.status.objects
        }
        assert named <= await self.objects()
        await self.until(lambda: not self._left(), what=f"an empty scratch ({self._left()})")
        wanted = self.operator.pool()["spec"]["replicas"]
        await self.until(
            lambda: len(self.operator.pods()) == wanted, what=f"{wanted} pods", timeout=30
        )

    def _left(self) -> list[str]:
        return [
            f"{pod.name}: {name}"
            for pod in self.node.pods.values()
            if not pod.ended()
            for name in pod.scratch()
        ]
