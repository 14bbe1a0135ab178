"""Whose turn it is and which pod takes it: first come, first served, the emptiest pod first. Pure."""

from trawler_crds.media_job import MediaJob, Phase
from trawler_operator.actions import Dispatch
from trawler_operator.board import Board, Clock, Pod, PodPhase
from trawler_operator.lifecycle import ready_at


def assign(board: Board, clock: Clock, *, skip: set[str]) -> list[Dispatch]:
    """As many dispatches as there are free slots; jobs in `skip` are being worked on."""
    slots = {pod.name: board.free(pod) for pod in board.pods.values() if usable(pod, clock)}
    pools = {board.pods[name].pool for name, free in slots.items() if free > 0}
    if not pools:
        return []
    waiting = (
        job
        for uid, job in board.by_phase[Phase.QUEUED].items()
        if uid not in skip
        and job.spec.pool in pools
        and not job.spec.cancel
        and ready_at(job) <= clock.wall
    )
    found: list[Dispatch] = []
    for job in sorted(waiting, key=turn):
        candidates = [
            name
            for name, free in slots.items()
            if free > 0 and board.pods[name].pool == job.spec.pool
        ]
        if not candidates:
            continue
        chosen = max(candidates, key=lambda name: (slots[name], name))
        slots[chosen] -= 1
        found.append(Dispatch(uid=job.uid, pod=chosen, attempt=job.status.attempt + 1))
        if not any(slots.values()):
            break
    return found


def turn(job: MediaJob) -> tuple[str, str]:
    """Age, then name."""
    return job.metadata.creation_timestamp or "", job.name


def usable(pod: Pod, clock: Clock) -> bool:
    """Whether a pod may be given an order."""
    return (
        pod.phase is PodPhase.RUNNING
        and not pod.leaving
        and not pod.draining
        and pod.heard_at is not None
        and not clock.silent(pod)
    )


def next_wake(board: Board, clock: Clock) -> float | None:
    """Seconds until the next waiting job may run; None where none waits for a time."""
    later = [
        at - clock.wall
        for job in board.by_phase[Phase.QUEUED].values()
        if (at := ready_at(job)) > clock.wall
    ]
    return min(later, default=None)
