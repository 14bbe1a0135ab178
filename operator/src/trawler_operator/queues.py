"""What queues show: places on the bus for who waits, counts in their status for who looks."""

import asyncio
import time
from typing import Final

from trawler_common import logs
from trawler_common.bus import Bus
from trawler_common.kube import ApiAway, Conflict, Missing, Refused
from trawler_crds import subjects
from trawler_crds.media_queue import MediaQueue, MediaQueueStatus
from trawler_operator.board import Board, Clock
from trawler_operator.cluster import Cluster
from trawler_operator.leader import Leader
from trawler_operator.places import positions
from trawler_operator.scheduling import Scheduler
from trawler_operator.wording import stamp

log = logs.get("queues")

TELL_EVERY: Final = 2.0
WRITE_EVERY: Final = 30.0


class QueueDesk:
    """Publishes and writes; decides nothing."""

    def __init__(
        self,
        *,
        board: Board,
        cluster: Cluster,
        bus: Bus,
        leader: Leader,
        scheduler: Scheduler,
        install: str,
    ) -> None:
        self._board = board
        self._cluster = cluster
        self._bus = bus
        self._leader = leader
        self._scheduler = scheduler
        self._install = install
        self._written: dict[str, float] = {}

    async def run(self) -> None:
        """Speak for ever."""
        while True:
            await asyncio.sleep(TELL_EVERY)
            clock = Clock(now=time.monotonic(), wall=time.time(), listening_since=None)
            self._board.ledger.turn_over(stamp(clock.wall - 86400)[:10])
            for message in positions(self._board, clock, self._scheduler):
                await self._bus.publish(subjects.positions(self._install, message.queue), message)
            for queue in tuple(self._board.queues.values()):
                await self._checkpoint(queue, clock)

    async def _checkpoint(self, queue: MediaQueue, clock: Clock) -> None:
        wanted = status(queue, self._board, clock)
        has = queue.status.model_copy(update={"conditions": None})
        due = clock.now - self._written.get(queue.name, 0.0) >= WRITE_EVERY
        if wanted == has or not due:
            return
        self._written[queue.name] = clock.now
        self._leader.require()
        try:
            self._board.see_queue(await self._cluster.write_queue(queue, wanted.wire()))
        except (ApiAway, Conflict, Missing, Refused) as error:
            log.info("checkpoint_waits", extra={"queue": queue.name, "error": str(error)})


def restore(board: Board, wall: float) -> None:
    """Take up the checkpoints: they know of jobs that were deleted since."""
    today = stamp(wall)[:10]
    for queue in board.queues.values():
        known = board.stored_bytes(queue.name, today)
        if queue.status.day == today and queue.status.day_bytes > known:
            board.ledger.restore(queue.name, today, queue.status.day_bytes - known)


def status(queue: MediaQueue, board: Board, clock: Clock) -> MediaQueueStatus:
    """What a queue has now. Only what is stored counts into the checkpoint."""
    day = stamp(clock.wall)[:10]
    return MediaQueueStatus(
        queued=board.waiting.count(queue.name),
        running=board.running()[queue.name],
        day=day,
        day_bytes=board.stored_bytes(queue.name, day),
    )
