"""The actions that the planner decides on. Pure code decides; the executor performs them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from trawler_crds.failures import FailureReason
from trawler_crds.worker_pool import WorkerPoolStatus


@dataclass(frozen=True, kw_only=True)
class WriteStatus:
    """Change fields of a MediaJob's status (None removes a field), unless the job has changed since
    the decision.
    """

    uid: str
    version: str = field(compare=False)
    """The resourceVersion on which the decision is based. The decision may be wrong for a newer
    one.
    """
    changes: Mapping[str, Any] = field(hash=False)
    event: str | None = None
    """Text of a Kubernetes Event, shown by `kubectl describe`, about what somebody would look for:
    retries, failures and refusals. A clean end has none: the Event would cost as much as the status
    write that says the same.
    """
    warning: bool = False


@dataclass(frozen=True, kw_only=True)
class SetAside:
    """End a MediaJob that the operator cannot process, at exactly this version."""

    uid: str
    name: str
    version: int = field(compare=False)
    reason: FailureReason
    message: str
    completed: str
    """RFC 3339, UTC."""


@dataclass(frozen=True, kw_only=True)
class Dispatch:
    """Write `Running`, the attempt and the pod to the status; then send the order to that pod."""

    uid: str
    version: str = field(default="", compare=False)
    """See `WriteStatus.version`."""
    pod: str
    attempt: int


@dataclass(frozen=True, kw_only=True)
class Order:
    """Send (again) the order of an attempt that the status already names. An attempt is only ever
    given to one pod.
    """

    uid: str
    pod: str
    attempt: int


@dataclass(frozen=True, kw_only=True)
class Cancel:
    """Tell a pod to drop an attempt that it should not hold: one that ended, was fenced off, or
    never existed.
    """

    pod: str
    uid: str
    attempt: int


@dataclass(frozen=True, kw_only=True)
class Copy:
    """Give a job the files that a duplicate stored, if the objects are still in the store."""

    uid: str
    version: str
    source: str
    """The duplicate's uid."""
    name: str = field(default="", compare=False)
    """The duplicate's name. Its status is read when the copy is performed."""


@dataclass(frozen=True, kw_only=True)
class DeleteJob:
    """Delete a finished job whose time to live is over."""

    uid: str
    name: str = field(compare=False)
    version: int = field(compare=False)


@dataclass(frozen=True, kw_only=True)
class CreatePod:
    """Create one more pod for a pool."""

    pool: str
    image: str | None = None
    """Image of the pod; None for the release's image."""


@dataclass(frozen=True, kw_only=True)
class DrainPod:
    """Tell a pod to accept no more orders."""

    pod: str


@dataclass(frozen=True, kw_only=True)
class DeletePod:
    """Delete a pod that has ended, was drained, was lost or was never heard."""

    pod: str
    heard: bool = True
    """Whether the pod was ever heard. If not, it holds no work and gets a short grace period."""


@dataclass(frozen=True, kw_only=True)
class ScalePool:
    """Write the number of pods that an automatically scaled pool needs to `spec.replicas`."""

    pool: str
    replicas: int


@dataclass(frozen=True, kw_only=True)
class WritePool:
    """Write the status of a WorkerPool."""

    pool: str
    status: WorkerPoolStatus


@dataclass(frozen=True, kw_only=True)
class MarkNotUnderstood:
    """Add a condition to a MediaQueue or WorkerPool which says that the operator leaves it alone,
    and why.
    """

    kind: str
    name: str
    uid: str
    version: int
    """The resourceVersion that was seen: conditions that others wrote since then are not
    overwritten.
    """
    time: str
    """RFC 3339, UTC."""
    others: tuple[Mapping[str, Any], ...] = ()
    """Conditions of other writers, which are kept as they are."""


Action = (
    WriteStatus
    | SetAside
    | Dispatch
    | Order
    | Cancel
    | Copy
    | DeleteJob
    | CreatePod
    | DrainPod
    | DeletePod
    | ScalePool
    | WritePool
    | MarkNotUnderstood
)
