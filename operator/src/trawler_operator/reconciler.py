"""The loop: what changed → decide → perform. One step of a job at a time, all jobs in turn."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Final

from trawler_common import logs
from trawler_common.bus import Bus
from trawler_common.kube import ApiAway
from trawler_crds.worker_pool import WorkerPool
from trawler_operator import deciding, pods, scheduling
from trawler_operator.actions import Action, CreatePod, ScalePool, WritePool
from trawler_operator.board import Board, Clock
from trawler_operator.cluster import Cluster
from trawler_operator.deciding import Decider
from trawler_operator.leader import Leader
from trawler_operator.performer import Performer
from trawler_operator.scaling import Scaler, Shape
from trawler_operator.scheduling import Scheduler

log = logs.get("reconciler")

TICK: Final = 1.0
"""Seconds after which the loop turns though nothing changed."""
REST: Final = 3.0
"""Times as long as a turn took is what passes before the next."""
LONGEST_REST: Final = 0.05
LIST_EVERY: Final = 300.0
POOL_STATUS_EVERY: Final = 3.0


class Reconciler:
    """Decides whenever something changed; performs without waiting for the slowest."""

    def __init__(
        self,
        *,
        board: Board,
        cluster: Cluster,
        bus: Bus,
        leader: Leader,
        performer: Performer,
        scheduler: Scheduler,
        pod_settings: pods.PodSettings,
        tasks: asyncio.TaskGroup,
    ) -> None:
        self._board = board
        self._cluster = cluster
        self._bus = bus
        self._leader = leader
        self._performer = performer
        self._decider = Decider(scheduler)
        self._scaler = Scaler()
        self._pods = pod_settings
        self._tasks = tasks
        self._busy: set[str] = set()
        self._freed = asyncio.Condition()
        self._changed = asyncio.Event()
        self._limit = asyncio.Semaphore(deciding.AT_ONCE)
        self._pool_written: dict[str, float] = {}
        self._templates: dict[tuple[str, int], str] = {}
        self.turned_at = time.monotonic()
        """When the loop last turned; liveness looks at it."""
        board.on_change = self._changed.set

    async def list_all(self) -> str:
        """Look at everything: at the start of a leader, and to repair what a watch missed. Answers
        with the version from which a watch of the jobs goes on.
        """
        (jobs, version), pods, pools, queues = await asyncio.gather(
            self._cluster.list_jobs(),
            self._cluster.list_pods(),
            self._cluster.list_pools(),
            self._cluster.list_queues(),
        )
        self._board.replace(jobs, pods, pools, queues)
        log.info("listed", extra={"jobs": len(jobs), "pods": len(pods), "pools": len(pools)})
        return version

    async def run(self) -> None:
        """Turn for ever."""
        listed = time.monotonic()
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._pause()):
                    await self._changed.wait()
            self._changed.clear()
            now = self.turned_at = time.monotonic()
            if now - listed > LIST_EVERY:
                listed = now
                self._start("list", self._relist)
            self._turn()
            # under load one look takes in many changes: looking is never more than a part of the work
            await asyncio.sleep(min(LONGEST_REST, REST * (time.monotonic() - now)))

    def _pause(self) -> float:
        """Seconds to the next turn if nothing changes."""
        resting = scheduling.next_wake(self._board, self._clock())
        settling = deciding.SETTLE if self._board.waiting.let_in() else None
        return min(wait for wait in (TICK, resting, settling) if wait is not None)

    async def _relist(self) -> None:
        try:
            await self.list_all()
        except ApiAway as error:
            log.warning("list_failed", extra={"error": str(error)})

    def _clock(self) -> Clock:
        since = [self._bus.connected_since, self._leader.since]
        known = [at for at in since if at is not None]
        return Clock(
            now=time.monotonic(),
            wall=time.time(),
            listening_since=max(known) if len(known) == len(since) else None,
        )

    def _turn(self) -> None:
        """One look at everything that changed."""
        board, clock = self._board, self._clock()
        for key, action in self._decider.due(board, clock, self._busy):
            self._do(key, action)
        for pool in board.pools.values():
            template = self._template(pool)
            shape = self._scaler.shape(pool, board, clock, template=template)
            if shape.wanted != pool.spec.replicas:
                self._do(f"scale {pool.name}", ScalePool(pool=pool.name, replicas=shape.wanted))
            self._shape(pool, shape, clock)

    def _template(self, pool: WorkerPool) -> str:
        """Made once per generation of a pool: every turn asks for it."""
        key = (pool.metadata.uid, pool.metadata.generation)
        if key not in self._templates:
            self._templates = {key: pods.template(pool, self._pods), **self._templates}
        return self._templates[key]

    def _shape(self, pool: WorkerPool, shape: Shape, clock: Clock) -> None:
        key = f"pool {pool.name}"
        if key in self._busy:
            return
        if shape.actions:
            self._start(key, lambda: self._perform_all(shape.actions))
            return
        due = clock.now - self._pool_written.get(pool.name, 0.0) > POOL_STATUS_EVERY
        if shape.status != pool.status and due:
            self._pool_written[pool.name] = clock.now
            self._do(key, WritePool(pool=pool.name, status=shape.status))

    async def _perform_all(self, actions: list[Action]) -> None:
        created = 0
        for action in actions:
            created += isinstance(action, CreatePod)
            await self._performer.perform(action)
        if len(actions) > created:
            await asyncio.sleep(0.2)  # a drain shows in the next presence, a deletion in the watch

    # one at a time ----------------------------------------------------------------------------

    def _do(self, key: str, action: Action) -> None:
        self._start(key, lambda: self._performer.perform(action))

    def _start(self, key: str, work: Callable[[], object]) -> None:
        if key in self._busy:
            return
        self._busy.add(key)
        self._tasks.create_task(self._run(key, work), name=f"effect {key}")

    async def _run(self, key: str, work: Callable[[], object]) -> None:
        try:
            async with self._limit:
                result = work()
                assert asyncio.iscoroutine(result)
                await result
        finally:
            await self._release(key)

    async def _release(self, key: str) -> None:
        self._busy.discard(key)
        deciding.settled(key, self._board)
        async with self._freed:
            self._freed.notify_all()
        self._changed.set()

    @asynccontextmanager
    async def alone_with(self, uid: str) -> AsyncIterator[None]:
        """Keep everybody else's hands off a job for the length of a block."""
        async with self._freed:
            await self._freed.wait_for(lambda: uid not in self._busy)
            self._busy.add(uid)
        try:
            yield
        finally:
            await self._release(uid)
