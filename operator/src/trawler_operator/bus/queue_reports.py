"""What queues show: places on the bus for who waits, counts in their status for who looks."""

import asyncio
import time
from typing import Final

from trawler_common import logs
from trawler_common.bus import Bus
from trawler_common.errors import Permanent, Transient
from trawler_common.turns import Turn
from trawler_crds import subjects
from trawler_crds.media_job import Condition
from trawler_crds.media_queue import MediaQueue, MediaQueueStatus
from trawler_operator.formatting import MARKED_BY, NOT_UNDERSTOOD, stamp
from trawler_operator.kube.client import ClusterClient
from trawler_operator.kube.leader import Leader
from trawler_operator.planning.positions import positions
from trawler_operator.planning.scheduling import Scheduler
from trawler_operator.state.cluster_state import Clock, ClusterState

log = logs.get("queues")

TELL_EVERY: Final = 2.0
WRITE_EVERY: Final = 30.0
MOST_BYTES: Final = 2**62
"""More cannot be written: somebody else wrote sizes by hand."""
AT_ONCE: Final = 4
"""Checkpoints that are written together."""
LOOKED_AT: Final = 1000
"""Queues whose figures are compared with what their status says in one go."""


class QueueReporter:
    """Publishes and writes; decides nothing."""

    def __init__(
        self,
        *,
        state: ClusterState,
        client: ClusterClient,
        bus: Bus,
        leader: Leader,
        scheduler: Scheduler,
        install: str,
    ) -> None:
        self._state = state
        self._client = client
        self._bus = bus
        self._leader = leader
        self._scheduler = scheduler
        self._install = install
        self._written: dict[str, float] = {}
        self._next = 0

    async def tell(self) -> None:
        """Say on the bus where everybody stands, for ever."""
        while True:
            await asyncio.sleep(TELL_EVERY)
            turn = Turn()
            for message in positions(self._state, self._clock(), self._scheduler):
                await turn.breathe()
                if message is not None:
                    await self._bus.publish(
                        subjects.positions(self._install, message.queue), message
                    )

    async def keep(self) -> None:
        """Write the figures of queues into their status, for ever: some together, so that one that
        is not answered delays few others.
        """
        while True:
            await asyncio.sleep(TELL_EVERY)
            clock = self._clock()
            self._state.usage.turn_over(stamp(clock.wall - 86400)[:10])
            turn = Turn()
            due: list[str] = []
            for queue in self._some():
                if self._due(queue, clock):
                    due.append(queue.name)
                await turn.breathe()
            while due:
                some, due = due[:AT_ONCE], due[AT_ONCE:]
                await asyncio.gather(*(self._checkpoint(name) for name in some))
            for gone in self._written.keys() - self._state.queues.keys():
                del self._written[gone]

    @staticmethod
    def _clock() -> Clock:
        return Clock(now=time.monotonic(), wall=time.time(), listening_since=None)

    def _some(self) -> list[MediaQueue]:
        """All queues where there are few; of many some each time, all of them in turn."""
        names = list(self._state.queues)
        begin = self._next if self._next < len(names) else 0
        self._next = begin + LOOKED_AT
        return [self._state.queues[name] for name in names[begin : begin + LOOKED_AT]]

    def _due(self, queue: MediaQueue, clock: Clock) -> bool:
        """Whether its status says something else than there is, and was not written just now."""
        if clock.now - self._written.get(queue.name, 0.0) < WRITE_EVERY:
            return False
        has = queue.status
        said = (has.queued, has.running, has.day, has.day_bytes)
        return counts(queue.name, self._state, clock) != said or _still_marked(queue)

    async def _checkpoint(self, name: str) -> None:
        queue, clock = self._state.queues.get(name), self._clock()
        if queue is None:
            return
        self._written[name] = clock.now
        self._leader.require()
        has = status(counts(name, self._state, clock)).wire()
        if _still_marked(queue):
            has["conditions"] = [c.wire() for c in queue.status.conditions or () if not _marks(c)]
        try:
            self._state.see_queue(await self._client.write_queue(queue, has))
        except (Transient, Permanent) as error:
            log.info("checkpoint_waits", extra={"queue": name, "error": str(error)})


def _marks(condition: Condition) -> bool:
    """Whether it says that this queue cannot be read."""
    return (condition.type, condition.reason) == (MARKED_BY["MediaQueue"], NOT_UNDERSTOOD)


def _still_marked(queue: MediaQueue) -> bool:
    """Whether it says so although it could be read."""
    return any(_marks(condition) for condition in queue.status.conditions or ())


def restore(state: ClusterState, wall: float) -> None:
    """Take up the checkpoints: they know of jobs that were deleted since."""
    today = stamp(wall)[:10]
    for queue in state.queues.values():
        known = state.usage.stored(queue.name, today)
        if queue.status.day == today and queue.status.day_bytes > known:
            state.usage.restore(queue.name, today, queue.status.day_bytes - known)


Counts = tuple[int, int, str, int]
"""Jobs that wait, jobs that run, the day (UTC), and the bytes stored on it."""


def counts(queue: str, state: ClusterState, clock: Clock) -> Counts:
    """What a queue has now. Only what is stored counts into the checkpoint."""
    day = stamp(clock.wall)[:10]
    return (
        state.pending.count(queue),
        state.running_in(queue),
        day,
        state.usage.stored(queue, day),
    )


def status(has: Counts) -> MediaQueueStatus:
    """The same, as a status shows it."""
    queued, running, day, day_bytes = has
    return MediaQueueStatus(
        queued=queued, running=running, day=day, day_bytes=min(day_bytes, MOST_BYTES)
    )
