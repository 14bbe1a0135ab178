"""What can be done, decided purely and performed elsewhere."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from trawler_crds.failures import FailureReason
from trawler_crds.worker_pool import WorkerPoolStatus


@dataclass(frozen=True, kw_only=True)
class WriteStatus:
    """Change fields of a MediaJob's status (None removes one), if nobody else changed it since."""

    uid: str
    version: str = field(compare=False)
    """The resourceVersion that it was decided on; of a newer one it may be wrong."""
    changes: Mapping[str, Any] = field(hash=False)
    event: str | None = None
    """A line for `kubectl describe`, on what somebody would look for: retries, failures and
    refusals. A clean end has none: it would cost as much as the status that says the same.
    """
    warning: bool = False


@dataclass(frozen=True, kw_only=True)
class SetAside:
    """End a MediaJob that cannot be taken, of exactly this version."""

    uid: str
    name: str
    version: int = field(compare=False)
    reason: FailureReason
    message: str
    completed: str
    """RFC 3339, UTC."""


@dataclass(frozen=True, kw_only=True)
class Dispatch:
    """Write `Running`, the attempt and the pod; then hand the order to that very pod."""

    uid: str
    version: str = field(default="", compare=False)
    """As in WriteStatus."""
    pod: str
    attempt: int


@dataclass(frozen=True, kw_only=True)
class Order:
    """Hand (again) the order that is already written. One pod was ever given this attempt."""

    uid: str
    pod: str
    attempt: int


@dataclass(frozen=True, kw_only=True)
class Cancel:
    """A pod holds what it should not: an attempt that ended, was fenced off, or never was."""

    pod: str
    uid: str
    attempt: int


@dataclass(frozen=True, kw_only=True)
class Copy:
    """Answer a job with what a duplicate stored, if the objects are still there."""

    uid: str
    version: str
    source: str
    """The duplicate's uid."""
    name: str = field(default="", compare=False)
    """The duplicate's name: what it stored is read when it is needed."""


@dataclass(frozen=True, kw_only=True)
class DeleteJob:
    """A finished job was kept long enough."""

    uid: str
    name: str = field(compare=False)
    version: int = field(compare=False)


@dataclass(frozen=True, kw_only=True)
class CreatePod:
    """One more pod for a pool."""

    pool: str
    image: str | None = None
    """In place of the release's."""


@dataclass(frozen=True, kw_only=True)
class DrainPod:
    """Tell a pod to take no more."""

    pod: str


@dataclass(frozen=True, kw_only=True)
class DeletePod:
    """A pod that ended, or that is drained."""

    pod: str
    heard: bool = True
    """Whether it ever spoke; if not it holds nothing, and gets a short grace."""


@dataclass(frozen=True, kw_only=True)
class ScalePool:
    """Write how many pods an automatic pool wants."""

    pool: str
    replicas: int


@dataclass(frozen=True, kw_only=True)
class WritePool:
    """Show what a pool has."""

    pool: str
    status: WorkerPoolStatus


@dataclass(frozen=True, kw_only=True)
class MarkNotUnderstood:
    """Show on a MediaQueue or WorkerPool that it is left alone, and why."""

    kind: str
    name: str
    uid: str
    version: int
    """As which it was seen: what others say in its conditions since then is not written over."""
    time: str
    """RFC 3339, UTC."""
    others: tuple[Mapping[str, Any], ...] = ()
    """Conditions that stay as they are."""


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
