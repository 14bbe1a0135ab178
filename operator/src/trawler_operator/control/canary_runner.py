"""Tries of new images, carried out: what each needs is made, looked at, and taken away."""

import asyncio
from typing import Any, Final

from pydantic import ValidationError

from trawler_common import logs
from trawler_common.kube import ApiUnavailable, Conflict, NotFound, Rejected, WatchExpired
from trawler_crds.keys import LABEL_CANARY
from trawler_crds.worker_pool import WorkerPool
from trawler_operator.kube.client import ClusterClient
from trawler_operator.kube.leader import Leader
from trawler_operator.planning import canary
from trawler_operator.planning.canary import State, Trial, Verdict
from trawler_operator.state.cluster_state import ClusterState

log = logs.get("canaries")

EVERY: Final = 2.0
"""Seconds between two looks, while an image waits."""
REMEMBERED: Final = 1000


class CanaryRunner:
    """Those of all pools."""

    def __init__(
        self, *, state: ClusterState, client: ClusterClient, leader: Leader, release: str
    ) -> None:
        self._state = state
        self._client = client
        self._leader = leader
        self._release = release
        self._verdicts: dict[str, Verdict] = {}
        self._uids: dict[str, str] = {}
        """Names of jobs → their uids, by which the cluster state knows them."""

    def verdict(self, pool: WorkerPool) -> Verdict | None:
        """What is known of the image that a pool is to have; None where none is tried."""
        known = self._verdicts.get(pool.name)
        return known if known and known.image == canary.wanted(pool, self._release) else None

    async def run(self) -> None:
        """Look for ever; what one pool's try meets keeps no other from its own."""
        while True:
            await asyncio.sleep(EVERY)
            if not self._leader.valid():
                continue
            for gone in self._verdicts.keys() - self._state.pools.keys():
                del self._verdicts[gone]
            for pool in list(self._state.pools.values()):
                try:
                    await self._look(pool)
                except (
                    ApiUnavailable,
                    Rejected,
                    NotFound,
                    WatchExpired,
                    Conflict,
                    ValidationError,
                ) as error:
                    log.warning("canary_waits", extra={"pool": pool.name, "error": str(error)})

    async def _look(self, pool: WorkerPool) -> None:
        if LABEL_CANARY in pool.metadata.labels:
            return
        if not canary.is_due(pool, self._release):
            self._verdicts.pop(pool.name, None)
            await self._clear(pool)
            return
        image = canary.wanted(pool, self._release)
        if not self._is_ours(pool):
            why = f"There is another WorkerPool called {canary.pool_name(pool)}."
            self._note(pool, Verdict(image, State.FAILED, why))
            return
        manifests = canary.job_manifests(pool, image)
        trials = [await self._trial(each) for each in manifests]
        found = canary.judge(image, trials)
        if found.state is State.CHECKING:
            await self._ensure_pool(pool, image)
            for manifest, trial in zip(manifests, trials, strict=True):
                if trial is None:
                    self._leader.require()
                    await self._client.create_job(manifest)
        else:
            await self._clear(pool)
        self._note(pool, found)

    async def _ensure_pool(self, pool: WorkerPool, image: str) -> None:
        there = self._state.pools.get(canary.pool_name(pool))
        if there is None or there.spec.image != image:
            self._leader.require()
            await self._client.apply_pool(canary.pool_manifest(pool, image))

    async def _trial(self, manifest: dict[str, Any]) -> Trial | None:
        """As we see it; asked for only where it is not known yet, or gone."""
        name, link = str(manifest["metadata"]["name"]), str(manifest["spec"]["url"])
        uid = self._uids.get(name, "")
        job = self._state.jobs.get(uid)
        if job is not None:
            return Trial(link, job.status.phase)
        ended = self._state.finished.get(uid)
        if ended is not None:
            return Trial(link, ended.phase, ended.reason, ended.message)
        try:
            found = await self._client.get_job(name)
        except NotFound:
            self._uids.pop(name, None)
            return None
        self._uids[name] = found.uid
        if len(self._uids) > REMEMBERED:
            del self._uids[next(iter(self._uids))]
        status = found.status
        return Trial(link, status.phase, status.reason, status.message)

    def _note(self, pool: WorkerPool, found: Verdict) -> None:
        """The pool's condition and its events tell it."""
        if self._verdicts.get(pool.name) != found:
            self._verdicts[pool.name] = found
            said = {"image": found.image, "state": found.state}
            log.info("canary", extra={"pool": pool.name, **said})

    def _is_ours(self, pool: WorkerPool) -> bool:
        there = self._state.pools.get(canary.pool_name(pool))
        return there is None or there.metadata.labels.get(LABEL_CANARY) == pool.name

    async def _clear(self, pool: WorkerPool) -> None:
        """The pod with the new image is needed no more."""
        there = self._state.pools.get(canary.pool_name(pool))
        if there is None or there.metadata.labels.get(LABEL_CANARY) != pool.name:
            return
        if there.metadata.deletion_timestamp is None:
            self._leader.require()
            await self._client.delete_pool(there.name)
