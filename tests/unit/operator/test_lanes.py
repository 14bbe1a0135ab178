"""Hands for each kind of work."""

import asyncio

from trawler_operator.control.lanes import HANDS, Lane, LaneName, lane_of, lanes
from trawler_operator.planning.actions import Copy, DeleteJob, Dispatch, WriteStatus


def test_what_waits_for_the_store_has_no_hand_of_what_waits_for_pods() -> None:
    """200 duplicates whose copies waited kept an unrelated job from being dispatched for 20 s."""
    assert LaneName.STORE is lane_of(Copy(uid="a", version="1", source="b"))
    assert LaneName.ORDERS is lane_of(Dispatch(uid="a", pod="p", attempt=1))
    assert LaneName.STATUS is lane_of(WriteStatus(uid="a", version="1", changes={}))
    assert LaneName.CLEANING is lane_of(DeleteJob(uid="a", name="a", version=1))


async def test_a_lane_does_a_bounded_number_together_and_all_in_order() -> None:
    """What waits is counted, and others are not held up."""
    go_on = asyncio.Event()
    begun: list[int] = []

    async def work(number: int) -> None:
        begun.append(number)
        await go_on.wait()

    async with asyncio.TaskGroup() as tasks:
        all_lanes = lanes(tasks)
        store = all_lanes[LaneName.STORE]
        for number in range(200):
            store.put(lambda number=number: work(number))  # type: ignore[misc]
        other = asyncio.Event()

        async def dispatch() -> None:
            other.set()

        all_lanes[LaneName.ORDERS].put(dispatch)
        async with asyncio.timeout(1):
            await other.wait()
        assert list(range(HANDS[LaneName.STORE])) == begun
        assert 200 - HANDS[LaneName.STORE] == store.waiting
        go_on.set()
    assert list(range(200)) == begun
    assert (0, 0) == (store.waiting, store.under_way)


async def test_a_hand_is_free_again_also_where_work_is_cancelled() -> None:
    """Else a lane would stand still in the end."""

    async def cancelled() -> None:
        raise asyncio.CancelledError

    done = asyncio.Event()

    async def work() -> None:
        done.set()

    async with asyncio.TaskGroup() as tasks:
        lane = Lane(LaneName.STORE, 1, tasks)
        lane.put(cancelled)
        lane.put(work)
        async with asyncio.timeout(1):
            await done.wait()
