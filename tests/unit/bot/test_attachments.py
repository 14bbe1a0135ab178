"""The disk that deliveries share."""

import asyncio

from trawler_bot.delivery.attachments import Room


async def test_who_needs_much_room_is_not_overtaken_by_who_needs_little() -> None:
    """A large delivery waited for as long as small ones kept coming."""
    room, done = Room(10), asyncio.Event()
    begun: list[str] = []

    async def take(name: str, size: int) -> None:
        async with room.taken(size):
            begun.append(name)
            await done.wait()

    async with asyncio.TaskGroup() as tasks:
        for name, size in (("small", 4), ("large", 12), ("late", 2)):
            tasks.create_task(take(name, size))
            await asyncio.sleep(0)
        for _ in range(10):
            await asyncio.sleep(0)
        assert ["small"] == begun
        done.set()
    assert ["small", "large", "late"] == begun


async def test_who_stops_waiting_for_room_holds_up_nobody() -> None:
    """The job was cancelled meanwhile."""
    room = Room(10)
    async with room.taken(4):
        with_patience = asyncio.wait_for(room.taken(10).__aenter__(), 0.01)
        assert isinstance(
            (await asyncio.gather(with_patience, return_exceptions=True))[0], TimeoutError
        )
        async with asyncio.timeout(5), room.taken(2):
            pass
