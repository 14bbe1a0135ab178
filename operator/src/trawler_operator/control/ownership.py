"""Whose the store's prefix is: nothing is stored or deleted below one that is not marked as
ours.
"""

import asyncio
from typing import Final

from trawler_common import logs
from trawler_common.backoff import Backoff
from trawler_common.errors import Permanent, Transient
from trawler_common.store import Store
from trawler_operator.kube.client import ClusterClient

log = logs.get("ownership")

LOOK_EVERY: Final = 60.0
"""Seconds between two looks at the mark."""


class Ownership:
    """Claims the prefix for this install, once, and looks now and then whether the mark is still
    ours.
    """

    def __init__(self, store: Store, client: ClusterClient) -> None:
        self._store = store
        self._client = client
        self.ours = False
        self.others = ""
        """Whose the prefix is instead; empty while that is not known."""

    def free(self) -> bool:
        """Whether the prefix is ours, or nothing is known to the contrary."""
        return not self.others

    async def run(self) -> None:
        """Look for ever."""
        pause = Backoff()
        while True:
            try:
                await self._look()
            except (Transient, Permanent) as error:
                log.warning("owner_unknown", extra={"error": str(error)})
                await pause.pause()
            else:
                pause.reset()
                await asyncio.sleep(LOOK_EVERY)

    async def _look(self) -> None:
        install = await self._client.identity()
        owner = await self._store.claim(install)
        self.ours = owner == install
        self.others = "" if self.ours else owner
        if self.others:
            log.error(
                "prefix_is_anothers",
                extra={
                    "prefix": self._store.prefix,
                    "owner": self.others,
                    "hint": "give this install a prefix of its own (store.prefix), or delete"
                    f" {self._store.prefix}/owner.json if that install is gone for good",
                },
            )
