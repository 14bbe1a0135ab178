"""Whatever the CRDs' schemas let in, every step of operator and bot takes, or sets aside."""

from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from generate import Generator
from objects import clock, pod
from trawler_bot.delivery.tracker import where_of
from trawler_bot.jobs.client import is_ours
from trawler_bot.jobs.index import JobIndex
from trawler_bot.presentation import rendering
from trawler_bot.presentation.i18n import CATALOGUES
from trawler_crds.media_job import TERMINAL, MediaJob, MediaJobStatus, Phase
from trawler_crds.media_queue import MediaQueue
from trawler_crds.worker_pool import WorkerPool
from trawler_operator.planning import admission, gc_rules, pod_manifest, reuse
from trawler_operator.planning.actions import Action, Copy, Dispatch, WriteStatus
from trawler_operator.planning.planner import Planner
from trawler_operator.planning.positions import positions
from trawler_operator.planning.scaling import Scaler
from trawler_operator.planning.scheduling import Scheduler
from trawler_operator.state.cluster_state import ClusterState

SEEDS = st.integers(0, 2**32)
SETTINGS = pod_manifest.PodSettings(
    install="ns",
    image="img:1",
    pull_policy="IfNotPresent",
    pull_secrets=(),
    nats_url="nats://n",
    egress_allow="",
    egress_proxy="",
    otlp_endpoint="",
    log_level="INFO",
)


def jobs(seed: int) -> list[MediaJob]:
    made = Generator(seed)
    found = []
    for number in range(4):
        job = {
            "metadata": {
                "name": f"j{number}",
                "uid": f"u{number}",
                "resourceVersion": str(number + 1),
                "creationTimestamp": "2027-01-15T08:00:00Z",
            },
            "spec": made.spec("mediajobs.yaml"),
            "status": made.status("mediajobs.yaml"),
        }
        found.append(MediaJob.model_validate(job))
    return found


@settings(deadline=None)  # a busy machine is not a slow step
@given(SEEDS)
def test_every_job_that_the_schema_lets_in_goes_through_every_step_or_is_set_aside(
    seed: int,
) -> None:
    """One legal object ended the operator."""
    state, scheduler = ClusterState(now=lambda: 1000.0), Scheduler()
    for job in jobs(seed):
        state.see_job(job)
    planner = Planner(scheduler)
    for at in (1001.0, 1010.0, 5000.0):
        list(planner.due(state, clock(at, wall=1_900_000_000.0), set()))
        list(positions(state, clock(at), scheduler))
    gc_rules.Named(state, gc_rules.Pins())
    for job in jobs(seed):
        where = (job.uid in state.jobs, job.uid in state.finished, job.uid in state.unreadable)
        assert 1 == sum(where)
        ended = job.status.phase in TERMINAL
        assert not (job.uid in state.unreadable and not ended and job.uid not in state.to_end)


def _written(action: Action, state: ClusterState) -> WriteStatus | None:
    """What the API server is asked to take for it."""
    match action:
        case WriteStatus():
            return action
        case Dispatch(uid=uid, pod=name, attempt=attempt):
            return admission.begin(state.jobs[uid], state, pod=name, attempt=attempt, wall=1.9e9)
        case Copy(uid=uid, source=source):
            return reuse.reuse(state.jobs[uid], state.jobs[source], 1.9e9)
    return None


@settings(deadline=None)  # a busy machine is not a slow step
@given(SEEDS)
def test_what_is_written_of_a_generated_job_is_what_the_schema_takes(seed: int) -> None:
    """An attempt past the last, or a ninth condition, was refused and tried again without an
    end.
    """
    state = ClusterState(now=lambda: 1000.0)
    for job in jobs(seed):
        state.see_job(job)
        state.see_pod(pod(f"pod-of-{job.spec.pool}"[:63], pool=job.spec.pool, free=4))
    planner = Planner(Scheduler())
    for at in (1001.0, 1010.0, 5000.0):
        busy: set[str] = set()
        for uid, action in planner.due(state, clock(at, wall=1.9e9), busy):
            busy.add(uid)
            written = _written(action, state)
            if written is not None:
                job = state.jobs[uid]
                status = MediaJobStatus.model_validate({**job.status.wire(), **written.changes})
                meta = {"resource_version": str(int(job.version) + 100)}
                newer = {"metadata": job.metadata.model_copy(update=meta), "status": status}
                state.see_job(job.model_copy(update=newer))
        state.touch(busy)


@settings(deadline=None)  # a busy machine is not a slow step
@given(SEEDS)
def test_every_job_that_the_schema_lets_in_can_be_shown(seed: int) -> None:
    """A message, a list, a completion."""
    index = JobIndex()
    for job in jobs(seed):
        for to in CATALOGUES:
            shown = [rendering.waiting(job, to), rendering.running(job, to, None)]
            if job.status.phase is Phase.SUCCEEDED:
                shown.append(rendering.ended(rendering.Shown(job, limit=10**7), to))
            if job.status.phase in {Phase.FAILED, Phase.CANCELLED}:
                shown.append(rendering.failed(job, to))
            assert all(0 < len(reply.content) <= rendering.CONTENT for reply in shown)
        if is_ours(job):
            index.see(job, where_of(job))


@settings(deadline=None)  # a busy machine is not a slow step
@given(SEEDS)
def test_every_pool_and_queue_that_the_schema_lets_in_is_taken(seed: int) -> None:
    """Manifests, templates, shapes, shares."""
    made = Generator(seed)
    meta = {"name": "default", "uid": "p", "resourceVersion": "1"}
    pool = WorkerPool.model_validate({"metadata": meta, "spec": made.spec("workerpools.yaml")})
    state = ClusterState(now=lambda: 1000.0)
    state.see_pool(pool)
    template = pod_manifest.template(pool, SETTINGS)
    Scaler().shape(pool, state, clock(), template=template)
    queue = MediaQueue.model_validate({"metadata": meta, "spec": made.spec("mediaqueues.yaml")})
    state.see_queue(queue)
    assert "default" in state.queues


def test_what_the_models_refuse_is_not_what_the_schema_lets_in() -> None:
    """Else the API server would hold objects that nobody here can read."""
    refused = 0
    for seed in range(300):
        try:
            jobs(seed)
        except ValidationError:
            refused += 1
    assert 0 == refused
