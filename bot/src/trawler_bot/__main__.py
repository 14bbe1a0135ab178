"""Wires settings, clients and tasks; nothing else decides what exists."""

import asyncio
import logging
import math
from contextlib import AsyncExitStack
from typing import Final

from nats.errors import Error as NatsError
from prometheus_client import CollectorRegistry

from trawler_bot import address, commands
from trawler_bot.asking import Asking, Rules
from trawler_bot.bot import Bot, Share
from trawler_bot.budget import Budget
from trawler_bot.commands import Commands
from trawler_bot.connection import Connection, TokenChanged
from trawler_bot.delivery import Delivery
from trawler_bot.desk import Desk
from trawler_bot.following import Following
from trawler_bot.jobs import Jobs
from trawler_bot.left_guilds import LeftGuilds
from trawler_bot.limits import Limits
from trawler_bot.presses import Presses
from trawler_bot.publishing import Publishing
from trawler_bot.rates import Rates
from trawler_bot.records import Records
from trawler_bot.settings import Settings
from trawler_common import health, lifecycle, logs, telemetry
from trawler_common.bus import Bus
from trawler_common.egress import AllowList
from trawler_common.kube import Kube
from trawler_common.store import Store, StoreSettings
from trawler_crds import subjects
from trawler_crds.messages import Positions, Progress

log = logs.get("main")

CONNECTIONS: Final = 8
"""To the API server; one of them watches. Many who ask at once wait for its processors anyway, and after
a pause each further connection costs both sides a handshake first (docs/bench.md).
"""


class _Ended(Exception):
    """The way out of the task group."""


async def serve(stop: asyncio.Event, settings: Settings) -> None:
    """Answer people until told to stop."""
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
            desk = _desk(settings, kube)
            share = Share(settings.shards, settings.replicas, settings.ordinal())
            bot = Bot(desk.rates, desk.records, share=share)
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
                    health.listen(desk.publishing.app(), settings.links_port)
                )
            following = Following(bot, desk, tasks, share.owns)
            _offer(bot, following, desk, settings)

            def served(guild: int) -> bool:
                busy = following.recent.of_guild(guild)  # people bring the bot along to any server
                return bot.stays(guild) or bool(busy) or not share.owns(guild)

            left = LeftGuilds(desk.jobs, served)
            leaving = lifecycle.supervise("left guilds", lambda: left.run(following.connected))
            tasks.create_task(leaving, name="left guilds")
            tasks.create_task(_hear(settings, following, tasks), name="bus")
            tasks.create_task(desk.records.run(), name="records")
            tasks.create_task(lifecycle.supervise("jobs", following.run), name="follow jobs")
            tasks.create_task(connection.run(desk.records, desk.limits), name="discord")
            await stop.wait()
            raise _Ended
    except* _Ended:
        log.info("bot_ended")
    except* TokenChanged:
        log.info("token_changed")
    finally:
        tracing.shutdown()


async def _hear(settings: Settings, following: Following, tasks: asyncio.TaskGroup) -> None:
    """The bus, as soon as it is there: without it there is no progress, and all else works."""
    bus = await Bus.connect(settings.nats_url, name="bot", tasks=tasks, patience=math.inf)
    install = settings.install
    while True:
        try:
            await bus.serve(subjects.progress(install, "*", "*"), Progress, following.hear_progress)
            await bus.serve(subjects.positions(install, "*"), Positions, following.hear_positions)
        except (OSError, NatsError) as error:
            log.warning("bus_away", extra={"error": repr(error)})
            await asyncio.sleep(1)
        else:
            return


def _desk(settings: Settings, kube: Kube) -> Desk:
    """What every teller has at hand."""
    store = Store(
        StoreSettings.read(
            settings.s3_credentials,
            endpoint=settings.s3_endpoint,
            bucket=settings.s3_bucket,
            region=settings.s3_region,
            prefix=settings.s3_prefix,
        )
    )
    records = Records(
        settings.postgres_file.read_text().strip(), settings.key_file.read_bytes().strip()
    )
    return Desk(
        jobs=Jobs(kube),
        delivery=Delivery(store, settings.scratch, settings.scratch_bytes),
        records=records,
        limits=Limits(records),
        publishing=Publishing(
            records,
            store,
            public_url=settings.links_public_url,
            seconds=settings.links_seconds,
        ),
        rates=Rates(),
        budget=Budget(),
    )


def _offer(bot: Bot, following: Following, desk: Desk, settings: Settings) -> None:
    """Commands and buttons."""
    rules = Rules(
        egress=AllowList.parse(filter(None, settings.egress_allow.split(","))),
        guilds=settings.guilds(),
        apart=settings.cooldown_seconds,
        per_minute=settings.requests_per_minute,
        queue=settings.queue.wire(),
        reuse_seconds=settings.reuse_seconds,
    )
    asking = Asking(following, desk, rules)
    offered = Commands(
        asking,
        following,
        desk,
        user_install=settings.user_install,
        rules=commands.rules(rules.apart, rules.per_minute),
        reuse_seconds=settings.reuse_seconds,
    )
    bot.serve(asking, following, offered, Presses(asking, desk))


def main() -> None:
    settings = Settings()
    logs.setup("bot", settings.log_level)
    # below that it writes addresses and events with the tokens of interactions in them
    logging.getLogger("discord").setLevel(logging.INFO)
    lifecycle.run(lambda stop: serve(stop, settings))


if __name__ == "__main__":
    main()
