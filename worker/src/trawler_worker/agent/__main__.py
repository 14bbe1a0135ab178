"""Starts the agent: connects to the fetcher and the bus, then works until it is stopped."""

import asyncio
import time
from contextlib import ExitStack
from typing import Final

import aiohttp
from prometheus_client import CollectorRegistry, Gauge

from trawler_common import health, lifecycle, logs, telemetry
from trawler_common.bus import Bus
from trawler_crds import subjects
from trawler_crds.messages import Control, Order
from trawler_worker.agent.fetching import Fetcher
from trawler_worker.agent.heartbeat import Heartbeat
from trawler_worker.agent.job import Runner
from trawler_worker.agent.job_table import JobTable
from trawler_worker.agent.order_handler import OrderHandler
from trawler_worker.agent.settings import Settings
from trawler_worker.agent.upload import Uploader

log = logs.get("agent")

UNHEARD: Final = 10.0
"""Seconds without a reply to a presence after which a draining pod stops at once."""
HAND_BACK: Final = 10.0
"""Seconds of the grace period reserved for handing jobs back."""


class _Ended(Exception):
    """Raised to leave the task group."""


async def serve(stop: asyncio.Event, settings: Settings) -> None:
    """Run until stopped, or until the fetcher is lost."""
    tracing = telemetry.setup(
        "trawler-worker", endpoint=settings.otlp_endpoint, install=settings.install
    )
    job_table = JobTable(settings.slots, jobs=settings.jobs)
    last = ExitStack()
    last.callback(tracing.shutdown)
    try:
        async with asyncio.TaskGroup() as tasks, aiohttp.ClientSession(trust_env=False) as session:
            fetcher = await lifecycle.unless_stopped(
                stop, Fetcher.connect(settings.socket, patience=90)
            )
            last.callback(fetcher.close)
            tasks.create_task(fetcher.run(), name="hear the fetcher")
            bus = Bus.opening(settings.nats_url, name=settings.pod, tasks=tasks)
            names = {"install": settings.install, "pod": settings.pod}
            uploader = Uploader(bus, session, **names)
            runner = Runner(
                bus=bus,
                job_table=job_table,
                fetcher=fetcher,
                uploader=uploader,
                scratch=settings.scratch,
                tasks=tasks,
                **names,
            )
            heartbeat = Heartbeat(bus, job_table, pool=settings.pool, **names)
            order_handler = OrderHandler(job_table, runner, heartbeat, tasks)

            heard = asyncio.Event()

            async def listen() -> None:
                await bus.serve(subjects.orders(**names), Order, order_handler.order)
                await bus.serve(subjects.control(**names), Control, order_handler.control)
                heard.set()

            tasks.create_task(listen(), name="listen")
            async with health.serve(
                port=settings.health_port,
                live={"fetcher": lambda: not fetcher.lost.is_set()},
                ready={"bus": lambda: bus.connected, "operator": lambda: heartbeat.seen_once},
                metrics=_metrics(job_table),
            ):
                # wait while the bus is down: a container that exits is restarted after ever longer
                # delays
                await _any(stop, fetcher.lost, heard)
                if not (stop.is_set() or fetcher.lost.is_set()):
                    tasks.create_task(heartbeat.run(), name="presence")
                    log.info("agent_ready")
                    await _any(stop, fetcher.lost)
                    if stop.is_set():
                        await _leave(job_table, order_handler, heartbeat, fetcher, settings.grace)
            await bus.close()
            raise _Ended
    except* (_Ended, lifecycle.Stopped):
        log.info("agent_ended")
    finally:
        last.close()


async def _any(*events: asyncio.Event) -> None:
    """Wait until one of the events is set."""
    waits = [asyncio.create_task(event.wait(), name="wait") for event in events]
    await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
    for wait in waits:
        wait.cancel()


async def _leave(
    job_table: JobTable,
    order_handler: OrderHandler,
    heartbeat: Heartbeat,
    fetcher: Fetcher,
    grace: float,
) -> None:
    """Accept no more orders. Finish the running jobs, or hand them back near the end of the grace
    period.
    """
    job_table.draining = True
    job_table.touch()
    begun = time.monotonic()
    handed_back = False
    log.info("leaving", extra={"held": len(job_table.works)})
    while job_table.works and not fetcher.lost.is_set():
        if heartbeat.silence() > UNHEARD:
            log.warning("leaving_unheard", extra={"held": len(job_table.works)})
            return
        if not handed_back and time.monotonic() - begun > grace - HAND_BACK:
            order_handler.hand_back()
            handed_back = True
        await asyncio.sleep(0.1)


def _metrics(job_table: JobTable) -> CollectorRegistry:
    registry = CollectorRegistry()
    taken = Gauge("trawler_worker_jobs", "Jobs in hand.", registry=registry)
    taken.set_function(lambda: len(job_table.works))
    free = Gauge("trawler_worker_free_slots", "Orders this pod would accept.", registry=registry)
    free.set_function(job_table.free)
    return registry


def main() -> None:
    settings = Settings()
    logs.setup("worker", settings.log_level)
    lifecycle.run(lambda stop: serve(stop, settings))


if __name__ == "__main__":
    main()
