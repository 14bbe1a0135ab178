"""Tries a new image before a pool's pods get it: one pod with this image fetches known links. Pure.

The state of a trial is in objects that everybody can look at: a WorkerPool with one pod, and a
MediaJob for each link. So a new leader continues where the previous one stopped, and a failed trial
is repeated when its jobs have expired.
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
"""Seconds after which a failed trial is repeated."""
QUEUE: Final = "canary"
"""Queue of the trial's jobs. A MediaQueue of this name gives them a share of their own."""
SUFFIX: Final = "-canary"
LONGEST: Final = 54
"""Maximum length of a WorkerPool's name in characters."""


class State(StrEnum):
    """Progress of a trial."""

    CHECKING = "Checking"
    PASSED = "Passed"
    FAILED = "CanaryFailed"


@dataclass(frozen=True)
class Verdict:
    """What is known about an image."""

    image: str
    state: State
    why: str = ""


def wanted(pool: WorkerPool, release: str) -> str:
    """The image that a pool should have. `release`: the image of the installed release."""
    return pool.spec.image or release


def current(pool: WorkerPool, release: str, verdict: Verdict | None = None) -> str:
    """The image for new pods. If the pool has a canary, an image that its spec names is used only
    after it passed. A pool's very first image is used without a trial. So are the release's own
    image, which an operator must be able to rely on, and the previous image, because a rollback is
    never blocked.
    """
    new, known = wanted(pool, release), pool.status.image
    named = pool.spec.canary is not None and pool.spec.image is not None
    if not named or known is None or new in {release, pool.status.previous_image}:
        return new
    if verdict is not None and verdict == Verdict(new, State.PASSED):
        return new
    return known


def previous(pool: WorkerPool, image: str) -> str | None:
    """The image that the pool had before this one."""
    return pool.status.previous_image if pool.status.image in {None, image} else pool.status.image


def is_due(pool: WorkerPool, release: str) -> bool:
    """Whether a pool's wanted image still has to be tried."""
    leaving = pool.metadata.deletion_timestamp is not None
    return not leaving and current(pool, release) != wanted(pool, release)


def pool_name(pool: WorkerPool) -> str:
    """Name of the WorkerPool with the new image. A long name is shortened so that no other pool
    gets the same one.
    """
    if len(pool.name) + len(SUFFIX) <= LONGEST:
        return pool.name + SUFFIX
    mark = hashlib.sha256(pool.name.encode()).hexdigest()[:8]
    return f"{pool.name[: LONGEST - len(SUFFIX) - len(mark) - 1].rstrip('-')}-{mark}{SUFFIX}"


def pool_manifest(pool: WorkerPool, image: str) -> dict[str, Any]:
    """A WorkerPool for one pod like the pool's own, except for the image. The pod exists only while
    there is something to try: an operator of the previous release, which knows no canary, scales it
    down to zero.
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
    """One MediaJob for each link. The names change with the image and the links, so that a trial is
    always about what is wanted now.
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
    """The state of one link in a trial."""

    link: str
    phase: Phase
    reason: FailureReason | None = None
    message: str | None = None


def judge(image: str, trials: Sequence[Trial | None]) -> Verdict:
    """The verdict on an image from its jobs. None stands for a job that does not exist yet."""
    for each in trials:
        if each is not None and each.phase in {Phase.FAILED, Phase.CANCELLED}:
            said = each.message or (FAILURES[each.reason].sentence if each.reason else "")
            return Verdict(image, State.FAILED, f"{each.link}: {each.reason}. {said}")
    if all(each is not None and each.phase is Phase.SUCCEEDED for each in trials):
        return Verdict(image, State.PASSED)
    return Verdict(image, State.CHECKING)
