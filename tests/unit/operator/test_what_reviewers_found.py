"""Faults that a critical reading found, each kept as a plain test."""

import time
from types import SimpleNamespace
from typing import Any, cast
from unittest.mock import AsyncMock

import pytest

from objects import NOON, clock, job, pod, queue, running, state_of
from trawler_common.backoff import Backoff
from trawler_common.kube import ApiUnavailable
from trawler_common.pauses import grown
from trawler_crds.failures import FailureReason
from trawler_crds.media_job import MOST_ATTEMPTS, MediaJob, Phase
from trawler_crds.messages import Presence
from trawler_operator import formatting
from trawler_operator.bus import queue_reports
from trawler_operator.control.executor import ActionExecutor
from trawler_operator.control.metrics import Metrics
from trawler_operator.kube.informers import JobSink, not_understood
from trawler_operator.planning import lifecycle, scheduling
from trawler_operator.planning.actions import DeleteJob, DeletePod, WriteStatus
from trawler_operator.planning.gc_rules import Pins
from trawler_operator.planning.planner import Planner, Repeats
from trawler_operator.planning.scheduling import Scheduler
from trawler_operator.state import resting
from trawler_operator.state.cluster_state import ClusterState, Pod, Unreadable


def test_no_number_of_tries_is_too_many() -> None:
    """After 1,024 of them a float overflowed, and the whole reconciler stood still."""
    assert [1.0, 2.0, 60.0, 60.0] == [grown(1.0, 60.0, times) for times in (0, 1, 9, 10**6)]
    repeats = Repeats()
    assert all(repeats.may("stray", 31.0 * number) for number in range(2000))
    tired = Pod(name="p", pool="default", declined=5000)
    tired.decline(1000.0)
    assert 1060.0 == tired.rests_until


def test_a_status_with_any_number_of_failures_is_taken() -> None:
    """The schema had no bound: one such object killed the container again and again."""
    state = state_of(job("a", status_phase="Queued", status_failures=MOST_ATTEMPTS), pod())
    assert scheduling.next_wake(state, clock()) is not None
    assert [] == Scheduler().assign(state, clock(), skip=set())


@pytest.mark.parametrize("phase", ["Queued", "Running"])
def test_a_job_that_breaks_half_way_leaves_no_trace_in_any_count(
    phase: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A running one was taken off twice; a new one stayed in its lane, where nobody found it."""
    state = state_of(running("other", queue="q"), queue("q"))
    known = job("odd", queue="q", status_phase=phase, status_worker="p1", status_attempt=1)
    state.see_job(known)

    def breaks(_: MediaJob) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(state.usage, "see", breaks)
    newer = {"resource_version": "2"}
    state.see_job(known.model_copy(update={"metadata": known.metadata.model_copy(update=newer)}))
    state.see_job(job("new", queue="q", status_phase="Queued"))
    assert {"odd", "new"} == set(state.unreadable) == set(state.to_end)
    assert {"q": 1} == dict(state.running())
    assert 0 == state.pending.count("q")
    assert {"other"} == set(state.jobs) == set(state.since)
    assert 1 == len(state.fetched())
    assert 0 == scheduling.wanted_slots(
        state, "default", scheduling.InHand(state), per_pod=1, most=9
    )


def test_who_waited_too_long_ends_though_an_answer_could_be_copied() -> None:
    """A copy that is never had (the store hangs) kept a job waiting for ever."""
    same = {"url": "http://site:8080/same"}
    done = job(
        "done",
        **same,
        status_phase="Succeeded",
        status_completionTime=formatting.stamp(NOON),
        status_files=[{"name": "a.mp4", "bytes": 1, "sha256": "0" * 64, "type": "video/mp4"}],
    )
    late = job(
        "late",
        **same,
        maxQueueSeconds=5,
        status_phase="Queued",
        status_queuedTime=formatting.stamp(NOON),
    )
    state = state_of(done, late)
    (found,) = [action for _, action in Planner(Scheduler()).due(state, clock(1006.0), set())]
    assert isinstance(found, WriteStatus)
    assert (Phase.FAILED, FailureReason.BUSY) == (found.changes["phase"], found.changes["reason"])


def test_the_time_in_the_queue_counts_over_returns_that_cost_nothing() -> None:
    """A pod that refused one job for ever kept it from ever being too late."""
    now = 1000.0
    state = ClusterState(now=lambda: now)
    for version in range(1, 9):
        waits = version % 2 == 1
        seen = job(
            "a",
            maxQueueSeconds=10,
            version=version,
            status_phase="Queued" if waits else "Running",
            status_attempt=version // 2,
            status_worker="p1",
        )
        state.see_job(seen)
        now += 3.0
    seen = job("a", maxQueueSeconds=10, version=20, status_phase="Queued", status_attempt=4)
    state.see_job(seen)
    assert 12.0 == state.waited["a"]
    assert lifecycle.overdue(seen, state, clock(now + 0.1))
    failed = job(
        "a",
        maxQueueSeconds=10,
        version=21,
        status_phase="Running",
        status_attempt=5,
        status_worker="p1",
    )
    state.see_job(failed)
    again = job(
        "a",
        maxQueueSeconds=10,
        version=22,
        status_phase="Queued",
        status_attempt=5,
        status_failures=1,
    )
    state.see_job(again)
    assert not lifecycle.overdue(again, state, clock(now + 0.1)), "a failed attempt begins it anew"


def test_what_returns_at_no_cost_rests_for_longer_each_time() -> None:
    """1,535 attempts of one job were made in thirty seconds."""
    waits = [resting.wait(job("a"), returned) for returned in (0, 1, 2, 5, 50)]
    assert [0.0, 0.5, 1.0, 8.0, 60.0] == waits


def test_sizes_written_by_hand_make_no_sum_that_cannot_be_written() -> None:
    """A checkpoint that the API server refuses is tried again for ever."""
    assert 2**62 == queue_reports.status((1, 2, "2027-01-15", 2**70)).day_bytes
    assert 5 == queue_reports.status((1, 2, "2027-01-15", 5)).day_bytes


@pytest.mark.parametrize("ended", [False, True])
def test_a_job_that_nobody_can_read_is_deleted_when_its_time_is_over(*, ended: bool) -> None:
    """Until then nothing is swept, because nobody knows what it names: it was kept for ever."""
    state = state_of()
    status = {"phase": "Failed", "completionTime": formatting.stamp(NOON)} if ended else {}
    manifest = {
        "metadata": {"uid": "odd", "name": "odd", "resourceVersion": "7"},
        "spec": {"ttlSecondsAfterFinished": 60, "media": "of a later version"},
        "status": status,
    }
    JobSink(state).take(manifest, as_of=7)
    assert ["odd"] == list(state.unreadable)

    def deleted(at: float) -> list[str]:
        found = Planner(Scheduler()).due(state, clock(wall=NOON + at), set())
        return [action.name for _, action in found if isinstance(action, DeleteJob)]

    assert [] == deleted(59)
    assert (["odd"] if ended else []) == deleted(61)


ODD: list[Any] = [None, 7, "x", [], {"phase": []}, {"phase": "Failed", "completionTime": 7}]


@pytest.mark.parametrize("odd", ODD)
def test_what_nobody_can_read_may_have_any_shape(odd: object) -> None:
    """It comes from another version's schema; a shape that was not thought of would end the
    watch.
    """
    meta = {"name": "odd", "uid": "odd", "resourceVersion": "7"}
    for spec in (odd, {"ttlSecondsAfterFinished": 10**400}, {"ttlSecondsAfterFinished": 60}):
        state = state_of()
        JobSink(state).take({"metadata": meta, "spec": spec, "status": odd}, as_of=7)
        assert ["odd"] == list(state.unreadable)
        list(Planner(Scheduler()).due(state, clock(), set()))
    status = {"conditions": odd}
    assert () == not_understood("MediaQueue", {"metadata": meta, "status": status}).others


def test_a_late_time_keeps_nothing_unreadable_for_ever() -> None:
    """While it is there nothing is swept."""
    state, noon = state_of(), formatting.stamp(NOON)
    meta = {"name": "o", "uid": "o", "resourceVersion": "7", "creationTimestamp": noon}
    status = {"phase": "Failed", "completionTime": "9999-01-01T00:00:00Z"}
    spec = {"ttlSecondsAfterFinished": 60, "media": "of a later version"}
    JobSink(state).take({"metadata": meta, "spec": spec, "status": status}, as_of=7)
    assert NOON + 60 == state.unreadable["o"].keep_until


def test_an_object_that_says_already_that_it_is_not_understood_is_not_told_so_again() -> None:
    """The time of its condition moved every five minutes, and what others had written there was
    gone.
    """
    others = {"type": "Theirs", "status": "True"}
    mine = {"type": "Accepted", "status": "False", "reason": "NotUnderstood"}
    meta = {"name": "q", "uid": "u", "resourceVersion": "7"}
    found = [
        not_understood("MediaQueue", {"metadata": meta, "status": {"conditions": conditions}})
        for conditions in ([others], [others, mine])
    ]
    assert [False, True] == [each.marked for each in found]
    assert [(others,), (others,)] == [each.others for each in found]


def test_deadlines_of_jobs_that_wait_no_more_are_forgotten() -> None:
    """Each was kept until it had passed, up to a week."""
    planner, state = Planner(Scheduler()), state_of()
    for number in range(3000):
        state.see_job(job(f"u{number}", status_phase="Queued"))
        list(planner.due(state, clock(1001.0 + number), set()))
        state.see_job(job(f"u{number}"), gone=True)
    assert len(planner._deadlines) < 1100


def test_what_a_finished_job_leaves_behind_is_forgotten_with_it() -> None:
    """Its time to live was kept until that was over, though it had long been deleted; and who stood
    by kept in mind, for ever, that it had changed.
    """
    state = state_of()
    for number in range(3000):
        done = job(
            f"u{number}", status_phase="Failed", status_completionTime=formatting.stamp(NOON)
        )
        state.see_job(done)
        state.see_job(done, gone=True)
        state.see_job(job(f"v{number}"))
        state.see_job(job(f"v{number}"), gone=True)
    assert len(state.finished._ends) < 1100
    assert 0 == len(state.dirty), "who stands by decides on none of them"


def _executor(client: AsyncMock, state: ClusterState) -> ActionExecutor:
    return ActionExecutor(
        client=client,
        bus=AsyncMock(),
        store=AsyncMock(),
        state=state,
        pins=Pins(),
        leader=cast("Any", SimpleNamespace(require=lambda: None)),
        pods=cast("Any", None),
        metrics=Metrics(state),
        tasks=cast("Any", None),
    )


async def test_a_status_write_waits_as_long_as_the_api_server_asks(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Asked for half a minute, it was tried five times in five seconds."""
    paused: list[float] = []

    async def pause(_: Backoff, *, at_least: float = 0.0) -> None:
        paused.append(at_least)

    monkeypatch.setattr(Backoff, "pause", pause)
    client = AsyncMock()
    client.write_status.side_effect = [ApiUnavailable("later", retry_after=30.0), job(version=2)]
    await _executor(client, state_of(job())).perform(
        WriteStatus(uid="u1", version="1", changes={"phase": Phase.QUEUED})
    )
    assert [30.0] == paused


async def test_a_pod_that_speaks_before_it_is_deleted_unheard_stays() -> None:
    """It may have been given work meanwhile, and would not have had the time to hand it back."""
    client, state = AsyncMock(), state_of(pod("late", heard_at=None), pod("speaks", heard_at=None))
    state.hear("speaks", Presence(pool="default", sequence=1, free=2, taken=0), 1000.0)
    executor = _executor(client, state)
    for name in ("late", "speaks"):
        await executor.perform(DeletePod(pod=name, heard=False))
    assert ["late"] == [call.args[0] for call in client.delete_pod.call_args_list]
    assert state.pods["late"].told_at is not None


@pytest.mark.parametrize("ended", [True, False])
def test_what_nobody_can_read_and_nobody_lets_us_write_holds_up_no_other(*, ended: bool) -> None:
    """The first of them were offered again and again, and the others never."""
    state, planner, most = ClusterState(time.monotonic), Planner(Scheduler()), 64
    for number in range(most + 1):
        state.see_job(
            Unreadable(
                uid=f"u{number}", name="n", version=1, ended=ended, why="", keep_until=NOON - 1
            )
        )
    busy = {f"u{number}" for number in range(most)}
    assert {f"u{most}"} == {uid for uid, _ in planner.due(state, clock(), busy)}
