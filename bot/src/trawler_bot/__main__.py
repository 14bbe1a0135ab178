"""Entry point of the bot: wires settings, clients and tasks. Nothing else decides what exists."""

import asyncio
import logging
import math
from contextlib import AsyncExitStack
from typing import Final

from nats.errors import Error as NatsError
from prometheus_client import CollectorRegistry

from trawler_bot import address
from trawler_bot.bot import Bot, ShardAssignment
from trawler_bot.connection import Connection, TokenChanged
from trawler_bot.delivery.attachments import Attachments
from trawler_bot.delivery.message import OwnDeletions
from trawler_bot.delivery.public_links import PublicLinks
from trawler_bot.delivery.rate_limits import RateLimitMonitor
from trawler_bot.delivery.throttle import EditThrottle
from trawler_bot.delivery.tracker import JobTracker
from trawler_bot.delivery.upload_limits import UploadLimits
from trawler_bot.interactions import commands
from trawler_bot.interactions.commands import Commands
from trawler_bot.interactions.components import Presses
from trawler_bot.interactions.submission import RequestService
from trawler_bot.interactions.validation import Rules
from trawler_bot.jobs.client import Jobs
from trawler_bot.jobs.left_guilds import LeftGuilds
from trawler_bot.services import Services
from trawler_bot.settings import Settings
from trawler_bot.storage.database import Database
from trawler_common import health, lifecycle, logs, telemetry
from trawler_common.bus import Bus
from trawler_common.egress import AllowList
from trawler_common.kube import Kube
from trawler_common.store import Store, StoreSettings
from trawler_crds import subjects
from trawler_crds.messages import Positions, Progress

log = logs.get("main")

CONNECTIONS: Final = 8
"""Connections to the API server; one of them watches. Many concurrent requests wait for its
processors anyway, and after a pause each further connection first costs both sides a handshake
(docs/bench.md).
"""


class _Ended(Exception):
    """Ends the task group."""


async def serve(stop: asyncio.Event, settings: Settings) -> None:
    """Run the bot until it is told to stop."""
    address.point(
        api=settings.discord_api_base,
        gateway=settings.discord_gateway_url,
        cdn=settings.discord_cdn_base,
    )
    tracing = telemetry.setup(
        "trawler-bot", endpoint=settings.otlp_endpoint, install=settings.install
    )
    try:
        async with asyncio.TaskGroup() as tasks, AsyncExitStack() as stack:
            kube = await Kube.connect(settings.install, connections=CONNECTIONS)
            stack.push_async_callback(kube.close)
            services = _services(settings, kube)
            share = ShardAssignment(settings.shards, settings.replicas, settings.ordinal())
            bot = Bot(services.rates, services.database, share=share)
            stack.push_async_callback(bot.close)
            connection = Connection(bot, settings.token_file, stop)
            await stack.enter_async_context(
                health.serve(
                    port=settings.health_port,
                    live={},
                    ready={"discord": connection.ready},
                    metrics=CollectorRegistry(),
                )
            )
            if settings.links_public_url:
                await stack.enter_async_context(
                    health.listen(services.links.app(), settings.links_port)
                )
            tracker = JobTracker(bot, services, tasks, share.owns)
            _offer(bot, tracker, services, settings)

            def served(guild: int) -> bool:
                busy = tracker.index.of_guild(guild)  # user installs work in any server
                return bot.stays(guild) or bool(busy) or not share.owns(guild)

            left = LeftGuilds(services.jobs, served)
            leaving = lifecycle.supervise("left guilds", lambda: left.run(tracker.connected))
            tasks.create_task(leaving, name="left guilds")
            tasks.create_task(_hear(settings, tracker, tasks), name="bus")
            tasks.create_task(services.database.run(), name="records")
            tasks.create_task(lifecycle.supervise("jobs", tracker.run), name="follow jobs")
            tasks.create_task(connection.run(services.database, services.limits), name="discord")
            await stop.wait()
            raise _Ended
    except* _Ended:
        log.info("bot_ended")
    except* TokenChanged:
        log.info("token_changed")
    finally:
        tracing.shutdown()


async def _hear(settings: Settings, tracker: JobTracker, tasks: asyncio.TaskGroup) -> None:
    """Subscribe to the bus as soon as it is available: without it there is no progress, but
    everything else works.
    """
    bus = await Bus.connect(settings.nats_url, name="bot", tasks=tasks, patience=math.inf)
    install = settings.install
    while True:
        try:
            await bus.serve(subjects.progress(install, "*", "*"), Progress, tracker.hear_progress)
            await bus.serve(subjects.positions(install, "*"), Positions, tracker.hear_positions)
        except (OSError, NatsError) as error:
            log.warning("bus_away", extra={"error": repr(error)})
            await asyncio.sleep(1)
        else:
            return


def _services(settings: Settings, kube: Kube) -> Services:
    """Create the services that every part of the bot uses."""
    store = Store(
        StoreSettings.read(
            settings.s3_credentials,
            endpoint=settings.s3_endpoint,
            bucket=settings.s3_bucket,
            region=settings.s3_region,
            prefix=settings.s3_prefix,
        )
    )
    database = Database(
        settings.postgres_file.read_text().strip(), settings.key_file.read_bytes().strip()
    )
    rates = RateLimitMonitor()
    return Services(
        jobs=Jobs(kube),
        attachments=Attachments(store, settings.scratch, settings.scratch_bytes),
        database=database,
        limits=UploadLimits(database),
        links=PublicLinks(
            database,
            store,
            public_url=settings.links_public_url,
            seconds=settings.links_seconds,
        ),
        rates=rates,
        throttle=EditThrottle(rates.low),
        deletions=OwnDeletions(),
    )


def _offer(bot: Bot, tracker: JobTracker, services: Services, settings: Settings) -> None:
    """Add commands and buttons to the bot."""
    rules = Rules(
        egress=AllowList.parse(filter(None, settings.egress_allow.split(","))),
        guilds=settings.guilds(),
        apart=settings.cooldown_seconds,
        per_minute=settings.requests_per_minute,
        queue=settings.queue.wire(),
        reuse_seconds=settings.reuse_seconds,
        shrink=settings.shrink,
    )
    requests = RequestService(tracker, services, rules)
    offered = Commands(
        requests,
        tracker,
        services,
        user_install=settings.user_install,
        rules=commands.rules(rules.apart, rules.per_minute),
        reuse_seconds=settings.reuse_seconds,
    )
    bot.serve(requests, tracker, offered, Presses(requests, tracker, services))


def main() -> None:
    settings = Settings()
    logs.setup("bot", settings.log_level)
    # below that level it logs addresses and events that contain tokens of interactions
    logging.getLogger("discord").setLevel(logging.INFO)
    lifecycle.run(lambda stop: serve(stop, settings))


if __name__ == "__main__":
    main()
