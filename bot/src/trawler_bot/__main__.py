"""Wires settings, clients and tasks; nothing else decides what exists."""

import asyncio
from contextlib import AsyncExitStack

import discord
from prometheus_client import CollectorRegistry

from trawler_bot import address
from trawler_bot.bot import Bot
from trawler_bot.delivery import Delivery
from trawler_bot.following import Following
from trawler_bot.jobs import Jobs
from trawler_bot.settings import Settings
from trawler_common import health, lifecycle, logs, telemetry
from trawler_common.bus import Bus
from trawler_common.egress import AllowList
from trawler_common.kube import Kube
from trawler_common.store import Store, StoreSettings
from trawler_crds import subjects
from trawler_crds.messages import Positions, Progress

log = logs.get("main")

TOKEN_EVERY = 5.0
"""Seconds between two looks at a token that Discord refused."""


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
    allowed = AllowList.parse(filter(None, settings.egress_allow.split(",")))
    try:
        async with asyncio.TaskGroup() as tasks, AsyncExitStack() as stack:
            kube = await Kube.connect(settings.install)
            stack.push_async_callback(kube.close)
            jobs = Jobs(kube)
            bot = Bot(
                jobs,
                allowed,
                apart=settings.cooldown_seconds,
                per_minute=settings.requests_per_minute,
            )
            stack.push_async_callback(bot.close)
            await stack.enter_async_context(
                health.serve(
                    port=settings.health_port,
                    live={},
                    ready={"discord": bot.is_ready},
                    metrics=CollectorRegistry(),
                )
            )
            bot.following = Following(
                bot, jobs, Delivery(_store(settings), settings.scratch), tasks
            )
            bus = await Bus.connect(settings.nats_url, name="bot", tasks=tasks, patience=600)
            install = settings.install
            await bus.serve(
                subjects.progress(install, "*", "*"), Progress, bot.following.hear_progress
            )
            await bus.serve(
                subjects.positions(install, "*"), Positions, bot.following.hear_positions
            )
            tasks.create_task(bot.following.run(), name="follow jobs")
            tasks.create_task(_connect(bot, settings, stop), name="discord")
            await stop.wait()
            raise _Ended
    except* _Ended:
        log.info("bot_ended")
    finally:
        tracing.shutdown()


async def _connect(bot: Bot, settings: Settings, stop: asyncio.Event) -> None:
    """Stay connected; that it ends untold is a reason to end."""
    await bot.start(await _accepted_token(settings))
    if not stop.is_set():
        raise RuntimeError("the client ended without being told to")


async def _accepted_token(settings: Settings) -> str:
    """The token in its file, once Discord takes it. One that it refuses is said once and not asked
    about again: ten thousand refusals are a ban (docs, Rate Limits).
    """
    refused = ""
    while True:
        token = settings.token_file.read_text().strip()
        if token != refused:
            async with discord.Client(intents=discord.Intents(guilds=True)) as asking:
                try:
                    await asking.login(token)
                except discord.LoginFailure:
                    log.error("token_refused", extra={"file": str(settings.token_file)})
                    refused = token
                else:
                    return token
        await asyncio.sleep(TOKEN_EVERY)


def _store(settings: Settings) -> Store:
    known = StoreSettings.read(
        settings.s3_credentials,
        endpoint=settings.s3_endpoint,
        bucket=settings.s3_bucket,
        region=settings.s3_region,
    )
    return Store(known)


def main() -> None:
    settings = Settings()
    logs.setup("bot", settings.log_level)
    lifecycle.run(lambda stop: serve(stop, settings))


if __name__ == "__main__":
    main()
