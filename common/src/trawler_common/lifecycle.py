"""How a service starts and stops: one stop event, set by SIGTERM or SIGINT."""

import asyncio
import gc
import signal
import sys
import time
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Final, TypeVar

import uvloop

from trawler_common import logs, memory
from trawler_common.backoff import Backoff

log = logs.get("lifecycle")

Done = TypeVar("Done")

AGAIN: Final = 0.1
"""Seconds after which what goes on though it was cancelled is cancelled once more."""


STEADY: Final = 60.0
"""Seconds after which what broke had worked well, and is begun again soon."""


class Stopped(Exception):
    """Told to go in the middle of a step."""


def run(service: Callable[[asyncio.Event], Awaitable[None]]) -> None:
    """Run a service until it ends or a signal sets its stop event. Any fault: exit code 1. Memory
    that is free again goes back to the node meanwhile.

    Python's collector does not look again at what was loaded until now: a hundred thousand objects,
    each look at which keeps a service from all else for some 70 ms.
    """
    gc.collect()
    gc.freeze()
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(_run(service))
    except Exception:
        log.exception("service_died")
        sys.exit(1)


async def _run(service: Callable[[asyncio.Event], Awaitable[None]]) -> None:
    stop = asyncio.Event()
    listen_to_signals(stop)
    tidying = asyncio.create_task(memory.give_back(), name="give memory back")
    try:
        await service(stop)
    finally:
        tidying.cancel()
    log.info("service_ended")


def listen_to_signals(stop: asyncio.Event) -> None:
    """Let SIGTERM and SIGINT set the event; replaces whatever listened before."""
    loop = asyncio.get_running_loop()
    for signum in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(signum, stop.set)


async def unless_stopped(stop: asyncio.Event, step: Coroutine[Any, Any, Done]) -> Done:
    """What a step that may take long, or for ever, answers. Raises Stopped when told to go
    meanwhile; the step has ended by then.
    """
    working, stopping = asyncio.create_task(step), asyncio.create_task(stop.wait())
    both: set[asyncio.Task[Any]] = {working, stopping}
    try:
        await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
        if working.done():
            return working.result()
        raise Stopped
    finally:
        # more than once: before Python 3.12 `wait_for` may lose a cancellation
        while not all(task.done() for task in both):
            for task in both:
                task.cancel()
            await asyncio.wait(both, timeout=AGAIN)


async def supervise(
    name: str,
    work: Callable[[], Awaitable[None]],
    *,
    fatal: tuple[type[Exception], ...] = (),
    failed: Callable[[], None] = lambda: None,
) -> None:
    """Do what is to go on for ever, and begin it again, after a growing pause, when a fault of ours
    ends it. Only cancellation and what is `fatal` get out. `failed` is told of each fault.
    """
    pause = Backoff()
    while True:
        begun = time.monotonic()
        try:
            await work()
            return
        except fatal:
            raise
        except Exception:
            failed()
            log.exception("part_broke", extra={"part": name})
        if time.monotonic() - begun > STEADY:
            pause.reset()
        await pause.pause()
