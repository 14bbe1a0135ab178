"""How many pods a pool has and which one goes. Pure. `Manual`: `spec.replicas` is obeyed."""

from trawler_crds.keys import LABEL_POOL
from trawler_crds.worker_pool import WorkerPool, WorkerPoolStatus
from trawler_operator.actions import Action, CreatePod, DeletePod, DrainPod
from trawler_operator.board import Board, Clock, Pod, PodPhase
from trawler_operator.scheduling import usable


def shape(pool: WorkerPool, board: Board, clock: Clock, *, template: str) -> list[Action]:
    """What brings a pool to its wanted pods; those of an older template make way for new ones."""
    pods = [pod for pod in board.pods.values() if pod.pool == pool.name and not pod.leaving]
    ended = [pod for pod in pods if pod.phase is PodPhase.ENDED]
    lost = [pod for pod in pods if pod.phase is PodPhase.RUNNING and _lost(pod, clock)]
    going = [pod for pod in pods if pod.draining and pod not in ended and pod not in lost]
    alive = [pod for pod in pods if pod not in ended and pod not in lost and not pod.draining]
    staying = [pod for pod in alive if pod.template == template]
    outdated = [pod for pod in alive if pod.template != template]
    actions: list[Action] = [DeletePod(pod=pod.name) for pod in (*ended, *lost)]
    actions += [DeletePod(pod=pod.name) for pod in going if not pod.held and not pod.taken]
    missing = pool.spec.replicas - len(staying)
    actions += [CreatePod(pool=pool.name) for _ in range(missing)]
    for pod in (*outdated, *sorted(staying, key=_keep)[: max(0, -missing)]):
        never_heard = pod.heard_at is None
        actions.append(DeletePod(pod=pod.name) if never_heard else DrainPod(pod=pod.name))
    return actions


def _keep(pod: Pod) -> tuple[bool, int, str]:
    """The pods worth least come first: not yet speaking, then idle, then the youngest."""
    return (
        pod.heard_at is not None,
        len(pod.held),
        "".join(chr(0x10FFFF - ord(c)) for c in pod.created),
    )


def _lost(pod: Pod, clock: Clock) -> bool:
    """It spoke once and has been silent for a whole lease."""
    return pod.heard_at is not None and clock.silent(pod)


def status(pool: WorkerPool, board: Board, clock: Clock) -> WorkerPoolStatus:
    """What a pool has now."""
    pods = [pod for pod in board.pods.values() if pod.pool == pool.name]
    return WorkerPoolStatus(
        replicas=sum(pod.phase is not PodPhase.ENDED for pod in pods),
        ready_replicas=sum(usable(pod, clock) for pod in pods),
        busy=sum(len(pod.held) for pod in pods),
        selector=f"{LABEL_POOL}={pool.name}",
    )
