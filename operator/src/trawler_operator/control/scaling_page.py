"""`/scaling`: what pools have and want, as JSON for KEDA's metrics-api scaler."""

import asyncio
import time
from typing import Any, Final

from trawler_common.health import Unknown
from trawler_common.kube import ApiUnavailable, Rejected
from trawler_operator.kube.client import ClusterClient

KEEP: Final = 2.0
"""Seconds for which an answer is given again: who asks often asks us, not the API server."""


class ScalingPage:
    """Reads what the leader wrote on the pools: whoever stands by gives the same answer."""

    def __init__(self, client: ClusterClient) -> None:
        self._client = client
        self._alone = asyncio.Lock()
        self._known: tuple[float, dict[str, Any]] | None = None

    async def read(self) -> dict[str, Any]:
        """Pool → wanted, replicas, ready. Raises Unknown while the API server does not answer."""
        async with self._alone:
            now = time.monotonic()
            if self._known is None or now - self._known[0] > KEEP:
                self._known = (now, await self._ask())
            return self._known[1]

    async def _ask(self) -> dict[str, Any]:
        try:
            pools = await self._client.list_pools()
        except (ApiUnavailable, Rejected) as error:
            raise Unknown("the API server does not answer") from error
        return {
            "pools": {
                pool.name: {
                    "wanted": pool.status.wanted,
                    "replicas": pool.status.replicas,
                    "ready": pool.status.ready_replicas,
                }
                for pool in pools
            }
        }
