"""A new image is tried before a pool's pods get it: one pod of it fetches known links. Pure.

What happens is in objects that everybody can look at: a WorkerPool of one pod, and a MediaJob for
each link. So a new leader goes on where the one before it was, and what failed is tried again when
its jobs have expired.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from trawler_crds import API_GROUP, API_VERSION
from trawler_crds.failures import FAILURES, FailureReason
from trawler_crds.keys import LABEL_CANARY
from trawler_crds.media_job import MediaJobSpec, Phase, Reuse
from trawler_crds.worker_pool import Scaling, WorkerPool

AGAIN: Final = 3600
"""Seconds after which what failed is tried once more."""
QUEUE: Final = "canary"
"""Of the jobs: who declares a MediaQueue of this name gives them a share of their own."""
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
    """The image of new pods: of one that somebody named, only after it passed. The very first is
    taken as it is, and so are the release's own, which an operator must be able to count on, and
    the one before, since a way back is never barred.
    """
    new, known = wanted(pool, release), pool.status.image
    named = pool.spec.canary is not None and pool.spec.image is not None
    if not named or known is None or new in {release, pool.status.previous_image}:
        return new
    if verdict is not None and verdict == Verdict(new, State.PASSED):
        return new
    return known


def previous(pool: WorkerPool, image: str) -> str | None:
    """The image before this one."""
    return pool.status.previous_image if pool.status.image in {None, image} else pool.status.image


def is_due(pool: WorkerPool, release: str) -> bool:
    """Whether an image waits to be tried."""
    leaving = pool.metadata.deletion_timestamp is not None
    return not leaving and current(pool, release) != wanted(pool, release)


def pool_name(pool: WorkerPool) -> str:
    """Of the WorkerPool with the new image; a long name is shortened to one that no other pool's
    is.
    """
    if len(pool.name) + len(SUFFIX) <= LONGEST:
        return pool.name + SUFFIX
    mark = hashlib.sha256(pool.name.encode()).hexdigest()[:8]
    return f"{pool.name[: LONGEST - len(SUFFIX) - len(mark) - 1].rstrip('-')}-{mark}{SUFFIX}"


def pool_manifest(pool: WorkerPool, image: str) -> dict[str, Any]:
    """One pod like those of the pool, but for its image, and only while there is something to try:
    an operator of the release before, which knows no canary, lets it go to nothing.
    """
    spec = pool.spec.model_copy(
        update={
            "image": image,
            "canary": None,
            "scaling": Scaling.AUTO,
            "idle_seconds": 60,
            "min_replicas": 0,
            "max_replicas": 1,
            "spare_slots": 0,
        }
    ).wire()
    del spec["replicas"]  # which scaling writes
    return _owned(pool, "WorkerPool", pool_name(pool), spec)


def job_manifests(pool: WorkerPool, image: str) -> list[dict[str, Any]]:
    """One for each link. Their names change with the image and the links, so that a try is of what
    is wanted now.
    """
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
                queue=QUEUE,
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


@dataclass(frozen=True)
class Trial:
    """One of the links, as far as it is."""

    link: str
    phase: Phase
    reason: FailureReason | None = None
    message: str | None = None


def judge(image: str, trials: Sequence[Trial | None]) -> Verdict:
    """What the jobs tell of an image. One that is not there has not begun."""
    for each in trials:
        if each is not None and each.phase in {Phase.FAILED, Phase.CANCELLED}:
            said = each.message or (FAILURES[each.reason].sentence if each.reason else "")
            return Verdict(image, State.FAILED, f"{each.link}: {each.reason}. {said}")
    if all(each is not None and each.phase is Phase.SUCCEEDED for each in trials):
        return Verdict(image, State.PASSED)
    return Verdict(image, State.CHECKING)
