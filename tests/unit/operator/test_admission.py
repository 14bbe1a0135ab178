"""Who is let in: the limits of a queue, and the bytes of its day."""

import pytest

from objects import NOON, clock, job, queue, running, state_of
from trawler_crds.failures import FailureReason
from trawler_crds.media_job import MediaJob, Phase
from trawler_crds.media_queue import MediaQueue
from trawler_operator import formatting
from trawler_operator.bus.queue_reports import counts, restore, status
from trawler_operator.planning.admission import admit, begin, refuse
from trawler_operator.planning.planner import Planner
from trawler_operator.planning.scheduling import Scheduler
from trawler_operator.state.cluster_state import ClusterState

TODAY = formatting.stamp(NOON)
YESTERDAY = formatting.stamp(NOON - 86400)
MB = 1_000_000


def accepted(when: str = TODAY) -> list[dict[str, str]]:
    return [
        {"type": "Accepted", "status": "True", "reason": "Accepted", "lastTransitionTime": when}
    ]


def stored(uid: str, size: int, *, when: str = TODAY, name: str = "q") -> MediaJob:
    file = {"name": "a.mp4", "bytes": size, "sha256": "0" * 64, "type": "video/mp4"}
    return job(
        uid,
        queue=name,
        status_phase="Succeeded",
        status_files=[file],
        status_conditions=accepted(when),
    )


def asking(size: int = 10 * MB, *, uid: str = "new", name: str = "q") -> MediaJob:
    return job(uid, queue=name, limits={"maxBytes": size})


def verdict(asked: MediaJob, state: ClusterState) -> Phase:
    refused = refuse(asked, state, clock())
    return Phase.PENDING if refused is None else refused.changes["phase"]


def test_a_new_job_that_waits_is_queued_with_its_host() -> None:
    """Where its turn does not come first."""
    written = admit(job(), state_of(), NOON).changes
    assert (Phase.QUEUED, "site:8080") == (written["phase"], written["host"])


def test_a_new_job_whose_turn_comes_at_once_is_let_in_and_dispatched_by_one_write() -> None:
    """And says all that being let in says."""
    new, state = job(), state_of()
    let_in = admit(new, state, NOON).changes
    written = begin(new, state, pod="p1", attempt=1, wall=NOON).changes
    started = {"phase": Phase.RUNNING, "worker": "p1", "attempt": 1, "startTime": TODAY}
    assert {**let_in, **started} == written


def test_what_was_let_in_before_is_not_let_in_again() -> None:
    """Its day, host and turn stay."""
    waits = job(status_phase="Queued", status_conditions=accepted(YESTERDAY))
    written = begin(waits, state_of(waits), pod="p1", attempt=1, wall=NOON).changes
    assert {"conditions", "queuedTime", "host"}.isdisjoint(written)


def test_a_full_queue_takes_no_more_and_says_how_many_wait() -> None:
    """`maxQueued`; others are not concerned."""
    waiting = [job(f"w{n}", queue="q", status_phase="Queued") for n in range(2)]
    state = state_of(*waiting, queue("q", maxQueued=2), queue("other", maxQueued=2))
    found = refuse(asking(), state, clock())
    assert found is not None
    refused = found.changes
    assert (Phase.FAILED, FailureReason.QUOTA_EXCEEDED) == (refused["phase"], refused["reason"])
    assert "2 requests wait in this queue already" in refused["message"]
    assert Phase.PENDING is verdict(asking(name="other"), state)


def test_those_that_are_being_let_in_count_already() -> None:
    """A hundred at once pass no limit."""
    state = state_of(queue("q", maxQueued=1))
    first = asking(uid="first")
    state.see_job(first)
    state.pending.enter(first)
    assert Phase.FAILED is verdict(asking(), state)
    state.see_job(job("first", queue="q", version=2, status_phase="Queued"))
    assert Phase.FAILED is verdict(asking(), state)
    state.see_job(job("first", queue="q", version=3, status_phase="Running"))
    assert Phase.PENDING is verdict(asking(), state)


@pytest.mark.parametrize(
    ("others", "phase"),
    [
        ([], Phase.PENDING),
        ([stored("a", 90 * MB)], Phase.PENDING),
        ([stored("a", 91 * MB)], Phase.FAILED),
        ([stored("a", 91 * MB, when=YESTERDAY)], Phase.PENDING),
        ([stored("a", 91 * MB, name="other")], Phase.PENDING),
        (
            [running("a", queue="q", limits={"maxBytes": 91 * MB}, status_conditions=accepted())],
            Phase.FAILED,
        ),
    ],
    ids=["nothing", "just fits", "stored", "yesterday", "another queue", "reserved"],
)
def test_the_day_has_so_many_bytes(others: list[MediaJob], phase: Phase) -> None:
    """What is stored counts as it is, what may still be stored at its limit."""
    state = state_of(*others, queue("q", dailyBytes=100 * MB))
    assert phase is verdict(asking(), state)


def test_a_job_settles_at_what_it_stored() -> None:
    """The rest of its reservation is free again."""
    state = state_of(queue("q", dailyBytes=100 * MB))
    state.see_job(
        running("a", queue="q", limits={"maxBytes": 99 * MB}, status_conditions=accepted())
    )
    assert Phase.FAILED is verdict(asking(), state)
    done = stored("a", 1 * MB)
    state.see_job(
        done.model_copy(
            update={"metadata": done.metadata.model_copy(update={"resource_version": "2"})}
        )
    )
    assert Phase.PENDING is verdict(asking(), state)


def used(state: ClusterState, name: str = "q") -> int:
    return state.usage.used(name, TODAY[:10])


def test_deleting_a_job_gives_back_only_what_it_never_stored() -> None:
    """Else deleting would be a way around the limit."""
    state = state_of(stored("a", 5 * MB), running("b", queue="q", status_conditions=accepted()))
    for found in (stored("a", 5 * MB), *state.jobs.values()):
        state.see_job(found, gone=True)
    assert 5 * MB == used(state_of(stored("a", 5 * MB), queue("q")))
    assert 5 * MB == state.usage.settled(TODAY[:10])["q"]
    assert 0 == state.usage.reserved(TODAY[:10])["q"]


@pytest.mark.parametrize(
    ("name", "declared", "checkpoint", "expected"),
    [
        ("q", "q", 8 * MB, 8 * MB),
        ("q", "q", 3 * MB, 5 * MB),
        ("made-up", "default", 8 * MB, 8 * MB),
        ("made-up", "default", 5 * MB, 5 * MB),
    ],
)
def test_a_checkpoint_knows_what_was_deleted_before_a_restart(
    name: str, declared: str, checkpoint: int, expected: int
) -> None:
    """And never less than the jobs that are left; the default one's counts undeclared names too."""
    mine = queue(declared)
    before = {"day": TODAY[:10], "dayBytes": checkpoint}
    mine = MediaQueue.model_validate({**mine.wire(), "status": before})
    state = state_of(stored("a", 5 * MB, name=name), mine)
    restore(state, NOON)
    assert expected == used(state, declared)
    assert expected == status(counts(declared, state, clock())).day_bytes


def test_undeclared_queues_use_the_default_ones_bytes() -> None:
    """All of them together."""
    state = state_of(
        stored("a", 60 * MB, name="made-up"),
        stored("b", 35 * MB, name="also-made-up"),
        queue("default", dailyBytes=100 * MB),
    )
    assert Phase.FAILED is verdict(asking(name="third"), state)


def test_sums_of_earlier_days_are_forgotten() -> None:
    """Memory does not grow by the day."""
    state = state_of(stored("a", 1, when=YESTERDAY), stored("b", 2))
    state.usage.turn_over(TODAY[:10])
    assert 0 == state.usage.settled(YESTERDAY[:10])["q"]
    assert 2 == state.usage.settled(TODAY[:10])["q"]


def test_who_was_let_in_is_not_judged_again_when_its_message_is_noted() -> None:
    """Another took its seat meanwhile, and it was told that the queue is full."""
    state = state_of(job("first", queue="q"), queue("q", maxQueued=1))
    planner = Planner(Scheduler())

    def due() -> list[str]:
        return [uid for uid, _ in planner.due(state, clock(), set(), quiet=lambda: False)]

    assert [] == due()
    state.see_job(job("second", queue="q"))
    noted = {"messageId": "3" * 18, "time": TODAY}
    state.see_job(job("first", queue="q", version=2, status_delivery=noted))
    assert ["second"] == due()
    assert ["first"] == list(state.pending.let_in())
