"""The picture in memory."""

import time

from objects import job, pod, queue, relist, running, state_of
from trawler_crds.media_job import Phase
from trawler_crds.messages import Presence
from trawler_operator.state.cluster_state import ClusterState


def presence(sequence: int, free: int) -> Presence:
    return Presence(pool="default", sequence=sequence, free=free, taken=2 - free)


def test_an_older_sight_of_a_job_changes_nothing() -> None:
    """Watches may repeat what our own write already changed."""
    state = state_of(job(version=5, status_phase="Queued"))
    state.see_job(job(version=4))
    assert Phase.QUEUED == state.jobs["u1"].status.phase


def test_a_deleted_job_does_not_come_back_by_a_late_event() -> None:
    """Deletion wins over what was seen before it."""
    state = state_of(job(version=5))
    state.see_job(job(version=6), gone=True)
    state.see_job(job(version=5))
    assert {} == state.jobs
    assert {} == state.by_phase[Phase.PENDING]


def test_a_full_list_repairs_what_a_watch_missed() -> None:
    """Objects that vanished in a gap are gone."""
    state = state_of(job("a"), job("b"), pod("p1"), pod("p2"), queue("q1"), queue("q2"))
    relist(state, [job("b", version=2), job("c")], [pod("p2")], [], [queue("q2")], as_of=9)
    assert {"b", "c"} == set(state.jobs)
    assert {"q2"} == set(state.queues)
    assert {"p2"} == set(state.pods)


def test_a_late_presence_does_not_bring_back_a_taken_slot() -> None:
    """The answer to an order is newer than the presence that was under way."""
    state = state_of(pod(sequence=10))
    state.ordered("p1", free=1, sequence=12)
    state.hear("p1", presence(11, free=2), now=5.0)
    assert 1 == state.pods["p1"].free
    state.hear("p1", presence(13, free=2), now=6.0)
    assert 2 == state.pods["p1"].free


def test_a_presence_of_an_unknown_pod_is_not_taken() -> None:
    """The pod repeats until the API server has shown it."""
    assert not ClusterState(time.monotonic).hear("p9", presence(1, free=2), now=1.0)


def test_what_a_pod_said_survives_what_the_api_server_says() -> None:
    """Two sources, each for its own fields."""
    state = state_of(pod(resource_version=1, free=2))
    state.see_pod(pod(resource_version=2, free=0, leaving=True, heard_at=None))
    seen = state.pods["p1"]
    assert (2, True, 1000.0) == (seen.free, seen.leaving, seen.heard_at)


def test_a_change_of_a_pod_makes_its_jobs_due() -> None:
    """A lost pod is acted on at once, not at the next tick."""
    state = state_of(running(), pod())
    state.dirty.clear()
    state.see_pod(pod(), gone=True)
    assert ["u1"] == list(state.dirty)
