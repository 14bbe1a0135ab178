"""The watch of MediaJobs: each event put on the board, from the version of a full list on.

Ours and not kopf's: a job has four events, and each cost kopf five milliseconds (ADR 0014).
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

from trawler_common import logs
from trawler_common.kube import ApiAway, Gone, Refused, understood
from trawler_crds.media_job import MediaJob
from trawler_operator.board import Board
from trawler_operator.cluster import Cluster

log = logs.get("watching")

PAUSE: Final = 1.0
"""Seconds before a watch that broke is opened again."""


class JobWatch:
    """Follows the MediaJobs of the namespace for ever."""

    def __init__(
        self, cluster: Cluster, board: Board, list_all: Callable[[], Awaitable[str]]
    ) -> None:
        self._cluster = cluster
        self._board = board
        self._list_all = list_all

    async def run(self, version: str) -> None:
        """Watch from a version on; where the API server forgot it, from a new list on."""
        since: str | None = version
        while True:
            try:
                if since is None:
                    since = await self._list_all()
                async for event in self._cluster.watch_jobs(since):
                    since = event["object"]["metadata"]["resourceVersion"]
                    self._take(event)
            except Gone as error:
                log.info("watch_too_old", extra={"error": str(error)})
                since = None
            except (ApiAway, Refused) as error:
                log.warning("watch_broke", extra={"error": str(error)})
                await asyncio.sleep(PAUSE)

    def _take(self, event: Mapping[str, Any]) -> None:
        """What is our own write, whose answer we have, is not read a second time."""
        kind, meta = event["type"], event["object"]["metadata"]
        if kind == "BOOKMARK":
            return
        gone = kind == "DELETED"
        if not gone and self._board.knows(meta["uid"], meta["resourceVersion"]):
            return
        job = understood(MediaJob, event["object"])
        if job is not None:
            self._board.see_job(job, gone=gone)
