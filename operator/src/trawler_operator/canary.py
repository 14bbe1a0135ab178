"""A new image is tried before a pool's pods get it: one pod of it fetches known links. Pure.

What happens is in objects that everybody can look at: a WorkerPool of one pod, and a MediaJob for each link. So a
new leader goes on where the one before it was, and what failed is tried again when its jobs have expired.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from trawler_crds import API_GROUP, API_VERSION
from trawler_crds.failures import FAILURES
from trawler_crds.keys import LABEL_CANARY
from trawler_crds.media_job import TERMINAL, MediaJob, MediaJobSpec, Phase, Reuse
from trawler_crds.worker_pool import Scaling, WorkerPool

AGAIN: Final = 3600
"""Seconds after which what failed is tried once more."""
SUFFIX: Final = "-canary"
LONGEST: Final = 54
"""Characters of a WorkerPool's name."""


class State(StrEnum):
    """How far a try is."""

    CHECKING = "Checking"
    PASSED = "Passed"
    FAILED = "CanaryFailed"


@dataclass(frozen=True)
class Verdict:
    """What is known of an image."""

    image: str
    state: State
    why: str = ""


def wanted(pool: WorkerPool, release: str) -> str:
    """The image that a pool is to have. `release`: the one of the install."""
    return pool.spec.image or release


def current(pool: WorkerPool, release: str, verdict: Verdict | None = None) -> str:
    """The image of new pods: with a canary the last one that passed; the very first is taken as it is."""
    new = wanted(pool, release)
    if pool.spec.canary is None or pool.status.image is None:
        return new
    if verdict is not None and verdict == Verdict(new, State.PASSED):
        return new
    return pool.status.image


def is_due(pool: WorkerPool, release: str) -> bool:
    """Whether an image waits to be tried."""
    leaving = pool.metadata.deletion_timestamp is not None
    return not leaving and current(pool, release) != wanted(pool, release)


def pool_name(pool: WorkerPool) -> str:
    """Of the WorkerPool with the new image; two pools that begin alike for so long share it, and are tried in turn."""
    return pool.name[: LONGEST - len(SUFFIX)].rstrip("-") + SUFFIX


def pool_manifest(pool: WorkerPool, image: str) -> dict[str, Any]:
    """One pod like those of the pool, but for its image."""
    spec = pool.spec.model_copy(
        update={
            "image": image,
            "canary": None,
            "scaling": Scaling.MANUAL,
            "replicas": 1,
            "min_replicas": 0,
            "max_replicas": 1,
            "spare_slots": 0,
        }
    )
    return _owned(pool, "WorkerPool", pool_name(pool), spec.wire())


def job_manifests(pool: WorkerPool, image: str) -> list[dict[str, Any]]:
    """One for each link. Their names change with the image and the links, so that a try is of what is wanted now."""
    canary = pool.spec.canary
    assert canary is not None
    said = json.dumps([pool.metadata.uid, image, canary.links])
    mark = hashlib.sha256(said.encode()).hexdigest()[:8]
    return [
        _owned(
            pool,
            "MediaJob",
            f"{pool_name(pool)}-{mark}-{number}",
            MediaJobSpec(
                url=link,
                pool=pool_name(pool),
                priority=9,
                reuse=Reuse.NEVER,
                attempt_seconds=canary.wait_seconds,
                max_queue_seconds=canary.wait_seconds,
                backoff_limit=1,
                ttl_seconds_after_finished=AGAIN,
            ).wire(),
        )
        for number, link in enumerate(canary.links, 1)
    ]


def _owned(pool: WorkerPool, kind: str, name: str, spec: dict[str, Any]) -> dict[str, Any]:
    return {
        "apiVersion": f"{API_GROUP}/{API_VERSION}",
        "kind": kind,
        "metadata": {
            "name": name,
            "labels": {LABEL_CANARY: pool.name},
            "ownerReferences": [
                {
                    "apiVersion": f"{API_GROUP}/{API_VERSION}",
                    "kind": "WorkerPool",
                    "name": pool.name,
                    "uid": pool.metadata.uid,
                    "blockOwnerDeletion": False,
                }
            ],
        },
        "spec": spec,
    }


def judge(image: str, jobs: Sequence[MediaJob | None]) -> Verdict:
    """What the jobs tell of an image. One that is not there has not begun."""
    for job in jobs:
        if job is not None and job.status.phase in {Phase.FAILED, Phase.CANCELLED}:
            reason = job.status.reason
            said = job.status.message or (FAILURES[reason].sentence if reason else "")
            return Verdict(image, State.FAILED, f"{job.spec.url}: {reason}. {said}")
    if all(job is not None and job.status.phase in TERMINAL for job in jobs):
        return Verdict(image, State.PASSED)
    return Verdict(image, State.CHECKING)
