"""Start the fetcher: warm the zygote, open the socket, work until the agent leaves."""

import asyncio

from trawler_common import lifecycle, logs
from trawler_worker.fetcher.engines.settings import CobaltSettings, EngineSettings
from trawler_worker.fetcher.server import Server
from trawler_worker.fetcher.settings import Settings
from trawler_worker.fetcher.supervision.supervisor import JobSupervisor

log = logs.get("fetcher")


async def serve(stop: asyncio.Event, settings: Settings) -> None:
    """Until the agent hangs up; a stop before it came ends us too.

    SIGTERM alone does not: the kubelet sends it to both containers, and the agent may still
    finish what runs.
    """
    async with JobSupervisor(
        scratch=settings.scratch, job_memory=settings.job_memory, room=settings.scratch_bytes
    ) as supervisor:
        await supervisor.start(_engines(settings))
        server = Server(supervisor, agent_uid=settings.agent_uid)
        listener = await server.listen(settings.socket)
        log.info("fetcher_ready")
        async with listener:
            waits = [
                asyncio.create_task(server.left.wait(), name="agent left"),
                asyncio.create_task(supervisor.lost.wait(), name="zygote lost"),
                asyncio.create_task(_unused(stop, server), name="stopped unused"),
            ]
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
            for wait in waits:
                wait.cancel()
            server.hang_up()  # else closing the listener would wait for the agent


def _engines(settings: Settings) -> EngineSettings:
    cobalt = CobaltSettings(
        url=settings.cobalt_url,
        key=settings.cobalt_key,
        picker=settings.cobalt_picker,
        quality=settings.cobalt_quality,
        codec=settings.cobalt_codec,
        audio_format=settings.cobalt_audio_format,
    )
    return EngineSettings(
        proxy=settings.proxy,
        allow=[entry for entry in settings.egress_allow.split(",") if entry],
        cobalt=cobalt if settings.cobalt_url else None,
        gallery_extractors=settings.gallery_extractors,
    )


async def _unused(stop: asyncio.Event, server: Server) -> None:
    await stop.wait()
    if server.taken:
        await asyncio.Event().wait()


def main() -> None:
    settings = Settings()
    logs.setup("fetcher", settings.log_level)
    lifecycle.run(lambda stop: serve(stop, settings))


if __name__ == "__main__":
    main()
