"""Every subject on the bus. A pod publishes and listens only under its own name."""

from dataclasses import dataclass


def _join(install: str, *words: str) -> str:
    return ".".join(("trawler", install, *words))


def presence(install: str, pod: str) -> str:
    """Request, pod to operator: I am here, this is what I hold."""
    return _join(install, "pods", pod, "presence")


def orders(install: str, pod: str) -> str:
    """Request, operator to pod: do this."""
    return _join(install, "pods", pod, "orders")


def control(install: str, pod: str) -> str:
    """Request, operator to pod: cancel, drain."""
    return _join(install, "pods", pod, "control")


def progress(install: str, pod: str, uid: str) -> str:
    """Publish, pod to whoever shows it."""
    return _join(install, "jobs", pod, uid, "progress")


def uploads(install: str, pod: str, uid: str) -> str:
    """Request, pod to operator: may I store these files."""
    return _join(install, "jobs", pod, uid, "uploads")


def results(install: str, pod: str, uid: str) -> str:
    """Request, pod to operator: this is how it ended."""
    return _join(install, "jobs", pod, uid, "results")


def positions(install: str, queue: str) -> str:
    """Publish, operator to whoever shows it: who waits where."""
    return _join(install, "queues", queue, "positions")


@dataclass(frozen=True, kw_only=True)
class Sender:
    """Who spoke, read from a subject (never from the payload)."""

    pod: str
    uid: str | None


def sender(subject: str) -> Sender:
    """Read pod and job from a presence, uploads, results or progress subject.

    Raises ValueError for any other subject.
    """
    words = subject.split(".")
    if len(words) == 5 and words[2] == "pods":
        return Sender(pod=words[3], uid=None)
    if len(words) == 6 and words[2] == "jobs":
        return Sender(pod=words[3], uid=words[4])
    raise ValueError(f"not a subject that a pod speaks on: {subject}")
