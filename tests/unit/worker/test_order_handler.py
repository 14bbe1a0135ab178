"""What the agent does with orders, without any fetcher."""

import asyncio
from typing import cast

from trawler_crds.media_job import Limits, Media
from trawler_crds.messages import Control, ControlAction, Order
from trawler_worker.agent.heartbeat import Heartbeat
from trawler_worker.agent.job import Runner
from trawler_worker.agent.job_table import ActiveJob, JobTable
from trawler_worker.agent.order_handler import OrderHandler

ORDER = Order(
    uid="u",
    name="n",
    attempt=1,
    url="http://site/a.mp4",
    media=Media(),
    engines=[],
    limits=Limits(),
    attempt_seconds=60,
)


class _Unreached:
    """Whoever was cancelled before his first step never comes here; and nobody listens."""

    async def run(self, work: ActiveJob) -> None:
        raise AssertionError(f"{work.name} was begun")

    def tick(self) -> int:
        return 1


async def test_an_order_that_is_cancelled_before_its_first_step_frees_its_slot() -> None:
    """Both messages in one go; else it would be held, and its slot taken, for ever."""
    job_table, unreached = JobTable(1), _Unreached()
    async with asyncio.TaskGroup() as tasks:
        order_handler = OrderHandler(
            job_table, cast("Runner", unreached), cast("Heartbeat", unreached), tasks
        )
        assert (await order_handler.order("", ORDER)).accepted
        assert 0 == job_table.free()
        await order_handler.control("", Control(action=ControlAction.CANCEL, uid="u", attempt=1))
    assert 1 == job_table.free()
    assert [] == job_table.held()
    assert not (await order_handler.order("", ORDER)).accepted
