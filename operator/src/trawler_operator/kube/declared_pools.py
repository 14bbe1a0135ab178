"""The pools of the operator's own configuration, applied at the start of each leader."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from trawler_common import logs
from trawler_common.backoff import Backoff
from trawler_common.errors import Permanent, Transient
from trawler_common.kube import Conflict, NotFound
from trawler_crds import API_GROUP, API_VERSION
from trawler_crds.keys import LABEL_CONFIGURED
from trawler_crds.worker_pool import WorkerPoolSpec
from trawler_operator.kube.client import ClusterClient

log = logs.get("configured")


@dataclass(frozen=True)
class DeclaredPools:
    """The pools of the chart's values."""

    specs: dict[str, dict[str, Any]]
    """Name → spec, of all that can be WorkerPools."""
    faults: dict[str, str]
    """Name → what is wrong with it, of all others."""


def read(path: Path) -> DeclaredPools:
    """Raises OSError where there is no such file."""
    specs: dict[str, dict[str, Any]] = {}
    faults: dict[str, str] = {}
    for name, spec in (yaml.safe_load(path.read_text()) or {}).items():
        try:
            WorkerPoolSpec.model_validate(spec)
        except ValidationError as error:
            faults[str(name)] = str(error)
            log.error("pool_not_understood", extra={"pool": name, "error": str(error)})
        else:
            specs[str(name)] = spec
    return DeclaredPools(specs, faults)


async def apply(client: ClusterClient, wanted: DeclaredPools, deployment: str) -> dict[str, str]:
    """Make, change and remove pools. `replicas` is set only on creation: scaling owns it then.
    Answers with the pools that could not be had as they are wanted, and why: these stay as they
    are, and the others go on. Raises ApiUnavailable where nothing at all is answered.
    """
    owner = await _owner(client, deployment)
    there = {pool.name: pool for pool in await client.list_pools()}
    faults = dict(wanted.faults)
    for name, spec in wanted.specs.items():
        try:
            await _apply(client, name, spec, owner, new=name not in there)
        except (Transient, Permanent) as error:
            faults[name] = str(error)
            log.error("pool_refused", extra={"pool": name, "error": str(error)})
    for name, pool in there.items():
        named = name in wanted.specs or name in wanted.faults
        if not named and LABEL_CONFIGURED in pool.metadata.labels:
            try:
                await client.delete_pool(name)
                log.info("pool_removed", extra={"pool": name})
            except NotFound:
                log.info("pool_was_gone", extra={"pool": name})
            except (Transient, Permanent) as error:
                faults[name] = f"it is not configured any more, and cannot be removed: {error}"
                log.error("pool_not_removed", extra={"pool": name, "error": str(error)})
    return faults


async def apply_all(
    client: ClusterClient,
    wanted: DeclaredPools,
    *,
    deployment: str,
    tell: Callable[[Mapping[str, str]], None],
) -> None:
    """Apply them, and again what could not be had, with growing pauses, until nothing is left: a
    policy may change, an outage pass. `tell` hears after each answer what is not had, and why.
    """
    left = set(wanted.specs)
    pause = Backoff(first=1.0, longest=60.0)
    while True:
        specs = {name: spec for name, spec in wanted.specs.items() if name in left}
        had = {name: "" for name in wanted.specs if name not in left}
        try:
            faults = await apply(client, DeclaredPools(specs, had | wanted.faults), deployment)
        except (Transient, Permanent) as error:
            log.warning("pools_wait", extra={"error": str(error)})
        else:
            faults = {name: why for name, why in faults.items() if why}
            tell(faults)
            left = faults.keys() & wanted.specs.keys()
            if not faults.keys() - wanted.faults.keys():
                return
        await pause.pause()


async def _apply(
    client: ClusterClient,
    name: str,
    spec: dict[str, Any],
    owner: list[dict[str, Any]],
    *,
    new: bool,
) -> None:
    """Raises Rejected also for a field that there is not: the API server drops it from what is
    created, and says 500 to what is applied.
    """
    manifest = _manifest(name, spec, owner)
    if new:
        try:
            await client.create_pool(manifest)
            log.info("pool_created", extra={"pool": name})
        except Conflict:
            log.info("pool_was_there", extra={"pool": name})
    bare = {key: value for key, value in spec.items() if key != "replicas"}
    await client.apply_pool(_manifest(name, bare, owner))


async def _owner(client: ClusterClient, deployment: str) -> list[dict[str, Any]]:
    """Our own Deployment, so that uninstalling takes pools and pods along."""
    try:
        found = await client.get_deployment(deployment)
    except NotFound:
        log.warning("no_deployment", extra={"deployment": deployment})
        return []
    return [
        {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "name": deployment,
            "uid": found["metadata"]["uid"],
            "blockOwnerDeletion": False,
        }
    ]


def _manifest(name: str, spec: dict[str, Any], owner: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "apiVersion": f"{API_GROUP}/{API_VERSION}",
        "kind": "WorkerPool",
        "metadata": {
            "name": name,
            "labels": {LABEL_CONFIGURED: "true"},
            "ownerReferences": owner,
        },
        "spec": spec,
    }
