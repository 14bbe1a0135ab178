"""What `helm uninstall` runs last: end the worker pods, forget the Lease.

A pool owns its pods, but the garbage collector learns of a new kind only every 30 s: pods of an
install that is taken away sooner, CRDs included, would keep an owner that nobody can look up,
and stay for ever.
"""

import asyncio
from contextlib import suppress
from typing import Final

from pydantic_settings import BaseSettings, SettingsConfigDict

from trawler_common import lifecycle, logs
from trawler_common.kube import ApiUnavailable, NotFound, Rejected
from trawler_operator.kube.client import ClusterClient
from trawler_operator.kube.leader import NAME

log = logs.get("uninstall")

PATIENCE: Final = 45.0
"""Seconds to try for; then what is left is named, and the uninstall goes on."""


class Settings(BaseSettings):
    model_config = SettingsConfigDict(env_prefix="TRAWLER_OPERATOR_", frozen=True)

    install: str
    deployment: str = "trawler-operator"
    log_level: str = "INFO"


async def clean(client: ClusterClient, deployment: str) -> None:
    """Delete every worker pod and the Lease, unless the operator is still installed: whoever
    applies the chart's manifests without Helm runs this, too. What may not be deleted keeps nothing
    else from it. Raises ApiUnavailable, Rejected.
    """
    try:
        found = await client.get_deployment(deployment)
    except NotFound:
        log.info("uninstalling")
    else:
        if "deletionTimestamp" not in found["metadata"]:
            log.info("still_installed")
            return
    refused: Rejected | None = None
    for pod in await client.list_pods():
        try:
            await client.delete_pod(pod.name)
            log.info("worker_deleted", extra={"pod": pod.name})
        except NotFound:
            pass
        except Rejected as error:
            refused = error
    with suppress(NotFound):
        await client.delete_lease(NAME)
    if refused is not None:
        raise refused


async def serve(_: asyncio.Event, settings: Settings) -> None:
    """Clean, with patience for an API server that is away."""
    client = await ClusterClient.connect(settings.install)
    try:
        async with asyncio.timeout(PATIENCE):
            while True:
                try:
                    return await clean(client, settings.deployment)
                except (ApiUnavailable, Rejected) as error:
                    log.warning("uninstall_waits", extra={"error": str(error)})
                    await asyncio.sleep(1)
    except TimeoutError:
        log.error("workers_left", extra={"hint": "kubectl delete pods -l trawler.dev/pool"})
    finally:
        await client.close()


def main() -> None:
    settings = Settings()
    logs.setup("uninstall", settings.log_level)
    lifecycle.run(lambda stop: serve(stop, settings))


if __name__ == "__main__":
    main()
