"""What the agent does with orders, without any fetcher."""

import asyncio
from typing import cast

from trawler_crds.media_job import Limits, Media
from trawler_crds.messages import Control, ControlAction, Order
from trawler_worker.agent.board import Board, Work
from trawler_worker.agent.intake import Intake
from trawler_worker.agent.job import Runner
from trawler_worker.agent.presence import Herald

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

    async def run(self, work: Work) -> None:
        raise AssertionError(f"{work.name} was begun")

    def tick(self) -> int:
        return 1


async def test_an_order_that_is_cancelled_before_its_first_step_frees_its_slot() -> None:
    """Both messages in one go; else it would be held, and its slot taken, for ever."""
    board, unreached = Board(1), _Unreached()
    async with asyncio.TaskGroup() as tasks:
        intake = Intake(board, cast("Runner", unreached), cast("Herald", unreached), tasks)
        assert (await intake.order("", ORDER)).accepted
        assert 0 == board.free()
        await intake.control("", Control(action=ControlAction.CANCEL, uid="u", attempt=1))
    assert 1 == board.free()
    assert [] == board.held()
    assert not (await intake.order("", ORDER)).accepted
