"""Handles the operator's requests to this pod: accept an order, cancel an attempt, drain."""

import asyncio

from trawler_common import logs
from trawler_crds.messages import (
    Control,
    ControlAction,
    ControlReply,
    Order,
    OrderReply,
)
from trawler_worker.agent.heartbeat import Heartbeat
from trawler_worker.agent.job import Runner
from trawler_worker.agent.job_table import ActiveJob, JobTable

log = logs.get("intake")


class OrderHandler:
    """Accepts or refuses orders. Each accepted order becomes a task."""

    def __init__(
        self, job_table: JobTable, runner: Runner, heartbeat: Heartbeat, tasks: asyncio.TaskGroup
    ) -> None:
        self._job_table = job_table
        self._runner = runner
        self._heartbeat = heartbeat
        self._tasks = tasks

    async def order(self, _: str, order: Order) -> OrderReply:
        """Accept an order if a slot is free. An order that is already held is accepted again: its
        fencing key is the same.
        """
        job_table = self._job_table
        key = (order.uid, order.attempt)
        older = [work for work in job_table.works.values() if work.order.uid == order.uid]
        if key in job_table.works:
            return self._reply(accepted=True)
        if key in job_table.ended:
            return self._reply(accepted=False, why="this attempt ended here")
        if any(work.order.attempt > order.attempt for work in older):
            return self._reply(accepted=False, why="a later attempt is held here")
        for work in older:
            self.cancel(work)
        if job_table.free() == 0:
            return self._reply(accepted=False, why="draining" if job_table.draining else "full")
        work = ActiveJob(order=order)
        job_table.take(work)
        work.task = self._tasks.create_task(self._runner.run(work), name=f"job {order.uid}")
        work.task.add_done_callback(lambda task: self._unbegun(work, task))
        return self._reply(accepted=True)

    def _unbegun(self, work: ActiveJob, task: asyncio.Task[None]) -> None:
        """Free the slot of a task that was cancelled before its first step."""
        if task.cancelled():
            self._job_table.end(work)

    def _reply(self, *, accepted: bool, why: str | None = None) -> OrderReply:
        return OrderReply(
            accepted=accepted, why=why, free=self._job_table.free(), sequence=self._heartbeat.tick()
        )

    async def control(self, _: str, control: Control) -> ControlReply:
        """Cancel one attempt, or drain. Presence shows when it is done."""
        if control.action is ControlAction.DRAIN:
            self._job_table.draining = True
        elif control.uid is not None and control.attempt is not None:
            work = self._job_table.works.get((control.uid, control.attempt))
            if work is not None:
                self.cancel(work)
        self._job_table.touch()
        return ControlReply()

    def cancel(self, work: ActiveJob) -> None:
        """Stop an attempt for good."""
        log.info("attempt_cancelled", extra={"job": work.order.uid, "attempt": work.order.attempt})
        work.cancelled = True
        if work.task is not None:
            work.task.cancel()

    def hand_back(self) -> None:
        """Stop all jobs. The operator can give each to another pod without counting a failure."""
        for work in list(self._job_table.works.values()):
            if not work.handed_back and not work.cancelled and work.task is not None:
                work.handed_back = True
                work.task.cancel()
