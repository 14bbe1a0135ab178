"""The loop: what changed → decide → perform. One step of a job at a time, all jobs in turn."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final

from trawler_common import logs
from trawler_common.bus import Bus
from trawler_common.pauses import grown
from trawler_common.turns import Turn
from trawler_crds.worker_pool import WorkerPool
from trawler_operator.control.canary_runner import CanaryRunner
from trawler_operator.control.executor import ActionExecutor, Failed, PodRefused
from trawler_operator.control.lanes import Lane, LaneName, lane_of, lanes
from trawler_operator.control.metrics import Metrics
from trawler_operator.formatting import stamp
from trawler_operator.kube.leader import Leader, NotLeader
from trawler_operator.planning import canary, planner, pod_manifest, scheduling
from trawler_operator.planning.actions import (
    Action,
    CreatePod,
    DeletePod,
    DrainPod,
    MarkNotUnderstood,
    ScalePool,
    WritePool,
)
from trawler_operator.planning.planner import Planner, Repeats
from trawler_operator.planning.scaling import Scaler, Shape, Update
from trawler_operator.planning.scheduling import Scheduler
from trawler_operator.state.cluster_state import TOLD, Clock, ClusterState, NotUnderstood

log = logs.get("reconciler")

TICK: Final = 1.0
"""Seconds after which the loop turns though nothing changed."""
REST: Final = 3.0
"""Times as long as a turn took is what passes before the next."""
LONGEST_REST: Final = 0.05
TURN: Final = 0.03
"""Seconds of one turn after which what is left goes into the next; what is begun then ends soon, so
that no turn lasts longer than 50 ms.
"""
POOLS_TURN: Final = 0.015
"""Seconds of that for pools: jobs without end do not keep them from being tended."""
POOL_STATUS_EVERY: Final = 3.0
FIRST_PAUSE: Final = 1.0
LONGEST_PAUSE: Final = 60.0
"""Bounds of the pause after an effect that was not had."""
ASIDE_AGAIN: Final = 300.0
"""Seconds after which what was set aside is tried again though it did not change."""
SETTLED: Final = 120.0
"""Seconds without a failure after which the pauses of a key begin anew."""


@dataclass
class _Failures:
    """Of one key, in a row."""

    count: int
    last: float


class Reconciler:
    """Decides whenever something changed; performs without waiting for the slowest."""

    def __init__(
        self,
        *,
        state: ClusterState,
        bus: Bus,
        leader: Leader,
        executor: ActionExecutor,
        scheduler: Scheduler,
        pod_settings: pod_manifest.PodSettings,
        canary_runner: CanaryRunner,
        metrics: Metrics,
        tasks: asyncio.TaskGroup,
    ) -> None:
        self._state = state
        self._canary_runner = canary_runner
        self._bus = bus
        self._leader = leader
        self._executor = executor
        self._planner = Planner(scheduler)
        self._scaler = Scaler()
        self._pods = pod_settings
        self._metrics = metrics
        self._lanes: dict[LaneName, Lane] = lanes(tasks)
        self._busy: set[str] = set()
        """Keys that are not decided on now: an effect is under way, or a pause after one."""
        self._pausing: dict[str, asyncio.TimerHandle] = {}
        self._failures: dict[str, _Failures] = {}
        self._freed: dict[str, asyncio.Event] = {}
        """Key → set when it is let go; only where somebody waits for it."""
        self._changed = asyncio.Event()
        self._tended = ""
        """The pool that was tended last."""
        self._pool_written: dict[str, float] = {}
        self._set_aside: dict[str, tuple[str, float]] = {}
        """Pool → the version that could not be shaped, and when (monotonic) that is tried again."""
        self._marked: dict[tuple[str, str], tuple[int, float]] = {}
        """Kind and name of what could not be read → the version on which that was to be said, and
        when (monotonic) it is said again.
        """
        self._missing: dict[str, int] = {}
        """Pool → pods that it was short of when it was looked at last: what is being made goes by
        that.
        """
        self._drains = Repeats(longest=TOLD / 2)
        self._templates: dict[tuple[str, int, str | None], str] = {}
        self._longest = 0.0
        self.turned_at = time.monotonic()
        """When the loop last turned; liveness looks at it."""
        state.on_change = self._changed.set
        metrics.watch_lanes({name: self._count(lane) for name, lane in self._lanes.items()})

    def note_faults(self, faults: Mapping[str, str]) -> None:
        """Pools whose configuration could not be applied, and why; all others are as configured."""
        for name in faults.keys() - self._scaler.misconfigured.keys():
            self._metrics.set_aside.labels("WorkerPool").inc()
            log.error("pool_set_aside", extra={"pool": name, "error": faults[name]})
        self._scaler.misconfigured = dict(faults)

    @staticmethod
    def _count(lane: Lane) -> Callable[[], float]:
        return lambda: lane.waiting

    async def run(self) -> None:
        """Turn for ever."""
        while True:
            self.turned_at = time.monotonic()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._pause()):
                    await self._changed.wait()
            self._changed.clear()
            now, spent = time.monotonic(), time.thread_time()
            self._turn()
            took = time.monotonic() - now
            self._metrics.turns.observe(took)
            self._longest = max(self._longest, time.thread_time() - spent)
            self._metrics.longest_turn.set(self._longest)
            # under load one look takes in many changes: looking is never more than a part of the
            # work
            await asyncio.sleep(min(LONGEST_REST, REST * took))

    def _pause(self) -> float:
        """Seconds to the next turn if nothing changes."""
        resting = scheduling.next_wake(self._state, self._clock())
        settling = planner.SETTLE if self._state.pending.let_in() else None
        return min(wait for wait in (TICK, resting, settling) if wait is not None)

    def _clock(self) -> Clock:
        since = [self._bus.connected_since, self._leader.since]
        known = [at for at in since if at is not None]
        return Clock(
            now=time.monotonic(),
            wall=time.time(),
            listening_since=max(known) if len(known) == len(since) else None,
        )

    def _turn(self) -> None:
        """One look at what changed, for as long as a turn may last."""
        state, clock, turn = self._state, self._clock(), Turn(TURN)
        try:
            for key, action in self._planner.due(
                state, clock, self._busy, spent=turn.spent, quiet=self._quiet
            ):
                self._do(key, action)
        finally:  # whatever went wrong there, pools are tended
            self._tend_pools(clock)
        if state.dirty:
            self._changed.set()
        self._scaler.forget(state.pools)
        for gone in self._missing.keys() - state.pools.keys():
            del self._missing[gone]
        self._drains.keep(state.pods)
        for known in self._marked.keys() - state.not_understood.keys():
            del self._marked[known]
        for thing in state.not_understood.values():
            self._leave_alone(thing, clock)

    def _quiet(self) -> bool:
        """Whether there is so little to do that also what can wait is written."""
        lanes = (self._lanes[LaneName.ORDERS], self._lanes[LaneName.STATUS])
        return sum(lane.under_way + lane.waiting for lane in lanes) < planner.QUIET

    # pools ------------------------------------------------------------------------------------

    def _tend_pools(self, clock: Clock) -> None:
        """All of them, or as many as there is time for, and at least one; the others come first in
        the next turn.
        """
        in_hand, turn = scheduling.InHand(self._state), Turn(POOLS_TURN)
        names = list(self._state.pools)
        begin = names.index(self._tended) + 1 if self._tended in self._state.pools else 0
        for number, name in enumerate(names[begin:] + names[:begin]):
            if number and turn.spent():
                self._changed.set()
                return
            self._tended = name
            self._tend(self._state.pools[name], clock, in_hand)

    def _tend(self, pool: WorkerPool, clock: Clock, in_hand: scheduling.InHand) -> None:
        """Bring one pool to its pods. One that cannot be shaped is set aside until it changes."""
        version, until = self._set_aside.get(pool.name, ("", 0.0))
        if version == pool.metadata.resource_version and clock.now < until:
            return
        self._missing[pool.name] = 0
        try:
            update = self._update(pool)
            shape = self._scaler.shape(
                pool,
                self._state,
                clock,
                template=self._template(pool, update.image),
                in_hand=in_hand,
                update=update,
            )
            self._shape(pool, shape, clock)
        except Exception:
            if pool.name not in self._set_aside:
                self._metrics.set_aside.labels("WorkerPool").inc()
                log.exception("pool_set_aside", extra={"pool": pool.name})
            again = clock.now + ASIDE_AGAIN
            self._set_aside[pool.name] = (pool.metadata.resource_version, again)
            self._do(f"aside {pool.name}", self._scaler.set_aside(pool, clock))
        else:
            self._set_aside.pop(pool.name, None)

    def _leave_alone(self, thing: NotUnderstood, clock: Clock) -> None:
        """Counted once, until it could be read meanwhile; said on the object now and then, should
        that fail.
        """
        said = self._marked.get((thing.kind, thing.name))
        if said is not None and said[0] == thing.version and clock.now < said[1]:
            return
        if said is None:
            self._metrics.set_aside.labels(thing.kind).inc()
            log.error("object_set_aside", extra={"kind": thing.kind, "name_": thing.name})
        self._marked[thing.kind, thing.name] = (thing.version, clock.now + ASIDE_AGAIN)
        if thing.marked:
            return
        self._do(
            f"{thing.kind} {thing.name}",
            MarkNotUnderstood(
                kind=thing.kind,
                name=thing.name,
                uid=thing.uid,
                version=thing.version,
                time=stamp(clock.wall),
                others=thing.others,
            ),
        )

    def _update(self, pool: WorkerPool) -> Update:
        verdict, release = self._canary_runner.verdict(pool), self._pods.image
        image = canary.current(pool, release, verdict)
        return Update(
            image=image,
            wanted=canary.wanted(pool, release),
            previous=canary.previous(pool, image),
            verdict=verdict,
        )

    def _template(self, pool: WorkerPool, image: str | None) -> str:
        """Made once per generation and image of a pool: every turn asks for it."""
        key = (pool.metadata.uid, pool.metadata.generation, image)
        if key not in self._templates:
            self._templates[key] = pod_manifest.template(pool, self._pods, image)
            while len(self._templates) > 2 * len(self._state.pools) + 8:
                del self._templates[next(iter(self._templates))]
        return self._templates[key]

    def _shape(self, pool: WorkerPool, shape: Shape, clock: Clock) -> None:
        if shape.wanted != pool.spec.replicas:
            self._do(f"scale {pool.name}", ScalePool(pool=pool.name, replicas=shape.wanted))
        for action in shape.actions:
            if isinstance(action, DeletePod):
                self._do(f"pod {action.pod}", action)
            elif isinstance(action, DrainPod):
                self._drain(action, clock)
        missing = sum(isinstance(action, CreatePod) for action in shape.actions)
        self._missing[pool.name] = missing
        if missing:
            key = f"pods of {pool.name}"
            self._start(key, LaneName.PODS, lambda: self._create_missing(pool.name))
        due = clock.now - self._pool_written.get(pool.name, 0.0) > POOL_STATUS_EVERY
        if shape.status != pool.status and due:
            self._pool_written[pool.name] = clock.now
            self._do(f"status {pool.name}", WritePool(pool=pool.name, status=shape.status))

    def _drain(self, action: DrainPod, clock: Clock) -> None:
        """A pod is told again only after a while: it shows in its next presence that it heard."""
        key, pod = f"pod {action.pod}", self._state.pods[action.pod]
        if key in self._busy or not self._drains.may(action.pod, clock.now):
            return
        pod.told_at = clock.now
        self._do(key, action)

    async def _create_missing(self, pool: str) -> None:
        """One pod after the other, up to the first that is not had, or until none is missing any
        more.
        """
        while self._missing.get(pool, 0) > 0:
            known = self._state.pools.get(pool)
            image = self._update(known).image if known is not None else None
            await self._executor.perform(CreatePod(pool=pool, image=image))
            self._scaler.created(pool)
            # a look at the pool may have counted the new pod already; then the next look mends it
            self._missing[pool] = self._missing.get(pool, 0) - 1

    # one at a time ----------------------------------------------------------------------------

    def _do(self, key: str, action: Action) -> None:
        self._start(key, lane_of(action), lambda: self._executor.perform(action))

    def _start(self, key: str, lane: LaneName, work: Callable[[], Awaitable[None]]) -> None:
        if key in self._busy:
            return
        self._busy.add(key)
        self._lanes[lane].put(lambda: self._run(key, work))

    async def _run(self, key: str, work: Callable[[], Awaitable[None]]) -> None:
        """One piece of work. What it raises is about one object; that waits, and all others go
        on.
        """
        pause = 0.0
        try:
            await work()
        except NotLeader:
            raise
        except PodRefused as refused:
            self._scaler.refused(refused.pool, str(refused), time.monotonic())
        except Failed as failed:
            pause = max(self._longer(key), failed.retry_after)
        except Exception:
            self._metrics.faults.labels("effect").inc()
            log.exception("effect_broke", extra={"key": key})
            pause = self._longer(key)
        finally:
            if pause:
                loop = asyncio.get_running_loop()
                self._pausing[key] = loop.call_later(pause, self._release, key)
                self._wake(key)
            else:
                self._release(key)

    def _longer(self, key: str) -> float:
        """Seconds until the next try of a key that failed once more."""
        now = time.monotonic()
        known = self._failures.get(key)
        count = known.count + 1 if known and now - known.last < SETTLED + LONGEST_PAUSE else 1
        self._failures[key] = _Failures(count, now)
        for old in [k for k, v in self._failures.items() if now - v.last > SETTLED + LONGEST_PAUSE][
            :8
        ]:
            del self._failures[old]
        return grown(FIRST_PAUSE, LONGEST_PAUSE, count - 1)

    def _release(self, key: str) -> None:
        self._pausing.pop(key, None)
        self._busy.discard(key)
        planner.settled(key, self._state)
        self._wake(key)
        self._changed.set()

    def _wake(self, key: str) -> None:
        """Whoever waits for a key looks again."""
        freed = self._freed.pop(key, None)
        if freed is not None:
            freed.set()

    @asynccontextmanager
    async def alone_with(self, uid: str) -> AsyncIterator[None]:
        """Keep everybody else's hands off a job for the length of a block."""
        while uid in self._busy:
            pausing = self._pausing.pop(uid, None)
            if pausing is not None:  # nothing is under way: what comes now is newer than the pause
                pausing.cancel()
                break
            await self._freed.setdefault(uid, asyncio.Event()).wait()
        self._busy.add(uid)
        try:
            yield
        finally:
            self._release(uid)
