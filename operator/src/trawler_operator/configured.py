"""The pools of the operator's own configuration, applied at the start of each leader."""

from pathlib import Path
from typing import Any

import yaml

from trawler_common import logs
from trawler_common.kube import Conflict, Missing
from trawler_crds import API_GROUP, API_VERSION
from trawler_crds.keys import LABEL_CONFIGURED
from trawler_crds.worker_pool import WorkerPoolSpec
from trawler_operator.cluster import Cluster

log = logs.get("configured")


def read(path: Path) -> dict[str, dict[str, Any]]:
    """Pool name → spec. Raises ValueError where one is not what a WorkerPool may be."""
    found: dict[str, dict[str, Any]] = yaml.safe_load(path.read_text()) or {}
    for spec in found.values():
        WorkerPoolSpec.model_validate(spec)
    return found


async def apply(cluster: Cluster, wanted: dict[str, dict[str, Any]], *, deployment: str) -> None:
    """Make, change and remove pools. `replicas` is set only on creation: scaling owns it then."""
    owner = await _owner(cluster, deployment)
    there = {pool.name: pool for pool in await cluster.list_pools()}
    for name, spec in wanted.items():
        manifest = _manifest(name, spec, owner)
        if name not in there:
            try:
                await cluster.create_pool(manifest)
                log.info("pool_created", extra={"pool": name})
            except Conflict:
                log.info("pool_was_there", extra={"pool": name})
        bare = {key: value for key, value in spec.items() if key != "replicas"}
        await cluster.apply_pool(_manifest(name, bare, owner))
    for name, pool in there.items():
        if name not in wanted and LABEL_CONFIGURED in pool.metadata.labels:
            try:
                await cluster.delete_pool(name)
                log.info("pool_removed", extra={"pool": name})
            except Missing:
                log.info("pool_was_gone", extra={"pool": name})


async def _owner(cluster: Cluster, deployment: str) -> list[dict[str, Any]]:
    """Our own Deployment, so that uninstalling takes pools and pods along."""
    try:
        found = await cluster.get_deployment(deployment)
    except Missing:
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
