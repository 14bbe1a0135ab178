"""How many pods a pool has, and which one goes."""

from typing import Any

import pytest

from objects import clock, held, job, pod, pool, queue, running, state_of
from trawler_crds.media_job import Condition, ConditionStatus, MediaJob
from trawler_crds.messages import Presence, Stage
from trawler_operator.planning.actions import Action, CreatePod, DeletePod, DrainPod
from trawler_operator.planning.scaling import Scaler
from trawler_operator.planning.scheduling import takes_orders
from trawler_operator.state.cluster_state import PROVED, ClusterState, Pod


def shape(wanted: int, *pods: Pod) -> list[Action]:
    mine = pool(replicas=wanted)
    return Scaler().shape(mine, state_of(mine, *pods), clock(), template="t").actions


@pytest.mark.parametrize("scaling", ["Manual", "Auto"])
def test_a_pool_that_is_being_deleted_makes_no_pods_and_lets_its_pods_go(scaling: str) -> None:
    """Foreground deletion takes the pods first: the operator made others, and others."""
    found = pool(replicas=2, scaling=scaling, minReplicas=1)
    meta = found.metadata.model_copy(update={"deletion_timestamp": "2027-01-15T08:00:00Z"})
    mine = found.model_copy(update={"metadata": meta})
    for pods in ([], [pod("a")], [pod("a", held=held(), free=1, taken=1)]):
        shaped = Scaler().shape(mine, state_of(mine, *pods), clock(), template="t")
        assert [DrainPod(pod=each.name) for each in pods] == shaped.actions


def test_missing_pods_are_made() -> None:
    """`kubectl scale` is obeyed upwards."""
    assert [CreatePod(pool="default")] * 2 == shape(3, pod("p1"))


def test_a_pool_that_has_what_it_wants_is_left_alone() -> None:
    """No churn."""
    assert [] == shape(2, pod("p1"), pod("p2"))


def test_a_pod_that_ended_is_removed_and_replaced() -> None:
    """Its containers do not start again."""
    assert [DeletePod(pod="p1"), CreatePod(pool="default")] == shape(1, pod("p1", phase="Ended"))


def test_a_silent_pod_is_removed_and_replaced() -> None:
    """It may be cut off; nobody waits for it."""
    assert [DeletePod(pod="p1"), CreatePod(pool="default")] == shape(1, pod("p1", heard_at=900.0))


def test_scaling_in_drains_idle_pods_first_and_deletes_them_only_then() -> None:
    """Tell, hear *drained*, delete."""
    busy = pod("p1", taken=1, held=held())
    assert [DrainPod(pod="p2")] == shape(1, busy, pod("p2"))
    assert [DeletePod(pod="p2")] == shape(1, busy, pod("p2", draining=True))
    draining = pod("p2", draining=True, taken=1, held=held("x"))
    assert [] == shape(1, busy, draining)


def test_an_order_accepted_a_moment_ago_makes_a_pod_busy() -> None:
    """Before the pod's next presence says so."""
    first, second = pod("p1", created="2027-01-01"), pod("p2", created="2027-01-02")
    second.accept("u1", 1)
    assert [DrainPod(pod="p1")] == shape(1, first, second)


def test_a_pod_that_never_spoke_goes_first() -> None:
    """It cannot hold anything."""
    assert [DeletePod(pod="p2", heard=False)] == shape(1, pod("p1"), pod("p2", heard_at=None))


def test_pods_of_an_older_template_make_way_for_new_ones() -> None:
    """An upgrade reaches the workers too, and no job pays for it."""
    found = shape(1, pod("p1", template="old", taken=1, held=held()))
    assert [CreatePod(pool="default"), DrainPod(pod="p1")] == found


def test_a_leaving_pod_counts_no_more() -> None:
    """Its successor starts while it finishes."""
    assert [CreatePod(pool="default")] == shape(1, pod("p1", leaving=True))


def test_the_status_shows_what_is_there() -> None:
    """For `kubectl get wp`."""
    mine = pool(replicas=2)
    state = state_of(mine, pod("p1", taken=1, held=held()), pod("p2", heard_at=None))
    found = Scaler().shape(mine, state, clock(), template="t").status
    assert (2, 1, 1) == (found.replicas, found.ready_replicas, found.busy)
    assert "trawler.dev/pool=default" == found.selector


def auto(**spec: Any) -> Any:
    return pool(scaling="Auto", **{"slotsPerPod": 2, "maxReplicas": 4, **spec})


def queued(count: int, **more: Any) -> list[MediaJob]:
    return [job(f"u{n}", status_phase="Queued", **more) for n in range(count)]


def replicas(mine: Any, *things: Any, at: float = 1001.0) -> int:
    state = state_of(mine, *things)
    state.wake(at)
    return Scaler().shape(mine, state, clock(at), template="t").wanted


@pytest.mark.parametrize(
    ("jobs", "spec", "pods"),
    [
        (0, {}, 0),
        (1, {}, 1),
        (5, {}, 3),
        (99, {}, 4),
        (0, {"minReplicas": 2}, 2),
        (0, {"spareSlots": 1}, 1),
        (2, {"spareSlots": 1}, 2),
        (3, {"jobsPerPod": 1}, 3),
    ],
)
def test_an_automatic_pool_wants_pods_for_what_may_run(
    jobs: int, spec: dict[str, Any], pods: int
) -> None:
    """Two slots each, at most four pods."""
    assert pods == replicas(auto(**spec), *queued(jobs))


def test_what_runs_and_what_may_run_both_need_slots() -> None:
    """Three are in hand, one waits."""
    busy = [pod("p1", taken=2, held=held("a") | held("b")), pod("p2", taken=1, held=held("c"))]
    assert 2 == replicas(auto(), *busy, *queued(1))
    assert 3 == replicas(auto(), *busy, *queued(2))


def test_what_may_not_run_needs_no_pod() -> None:
    """Paused, capped, waiting after a failure, or for another pool."""
    assert 0 == replicas(auto(), *queued(9, queue="q"), queue("q", paused=True))
    assert 1 == replicas(auto(), *queued(9, queue="q"), queue("q", maxRunning=1))
    later = {"status_failures": 1, "status_queuedTime": "2027-01-15T08:00:00Z"}
    assert 0 == replicas(auto(), *queued(9, **later), at=1001.0)
    assert 4 == replicas(auto(), *queued(9, **later), at=1002.0)
    assert 0 == replicas(auto(), *queued(9, pool="other"))


def test_from_zero_a_pod_is_made_in_the_pass_that_lets_a_job_in() -> None:
    """Before its status says so."""
    mine, new = auto(), job("new")
    state = state_of(mine, new)
    state.pending.enter(new)
    assert [CreatePod(pool="default")] == Scaler().shape(mine, state, clock(), template="t").actions


def auto_shape(mine: Any, *pods: Pod, at: float = 1001.0) -> list[Action]:
    return Scaler().shape(mine, state_of(mine, *pods), clock(at), template="t").actions


def test_an_automatic_pool_lets_go_only_of_what_has_long_been_idle() -> None:
    """Else it would breathe with every job."""
    mine = auto(idleSeconds=60)
    resting = pod("p1", heard_at=1061.0, idle_since=1001.0)
    working = pod("p2", heard_at=1061.0, taken=1, held=held())
    assert [] == auto_shape(mine, resting, working, at=1060.9)
    assert [DrainPod(pod="p1")] == auto_shape(mine, resting, working, at=1061.0)


def test_a_pod_is_idle_since_it_said_so_and_not_after_it_took_an_order() -> None:
    """By its own presences."""
    found = pod()
    found.hear(Presence(pool="default", sequence=1, free=2, taken=0), 1005.0)
    found.hear(Presence(pool="default", sequence=2, free=2, taken=0), 1010.0)
    assert 1005.0 == found.idle_since
    found.accept("u1", 1)
    assert found.idle_since is None


def late_pods(state: ClusterState, scaler: Scaler, mine: Any, at: float) -> list[Action]:
    return scaler.shape(mine, state, clock(at), template="t").actions


def conditions(state: ClusterState, scaler: Scaler, mine: Any, at: float) -> dict[str, Condition]:
    found = scaler.shape(mine, state, clock(at), template="t").status.conditions or []
    return {condition.type: condition for condition in found}


def ready(state: ClusterState, scaler: Scaler, mine: Any, at: float) -> bool:
    found = conditions(state, scaler, mine, at)
    return all(condition.status is ConditionStatus.TRUE for condition in found.values())


def test_a_pod_that_does_not_start_is_replaced_ever_more_slowly_and_the_pool_says_so() -> None:
    """An image that cannot be pulled makes no storm of pods."""
    mine = pool(replicas=1, startSeconds=30)
    state, scaler = (
        state_of(mine, pod("p1", phase="Pending", heard_at=None, seen_at=1000.0)),
        Scaler(),
    )
    assert [] == late_pods(state, scaler, mine, 1030.0)
    assert [DeletePod(pod="p1", heard=False)] == late_pods(state, scaler, mine, 1030.1)
    assert not ready(state, scaler, mine, 1030.2)
    state.see_pod(state.pods["p1"], gone=True)
    assert [] == late_pods(state, scaler, mine, 1035.0)
    assert [CreatePod(pool="default")] == late_pods(state, scaler, mine, 1035.1)
    state.see_pod(pod("p2", phase="Pending", heard_at=None, seen_at=1036.0))
    assert [DeletePod(pod="p2", heard=False)] == late_pods(state, scaler, mine, 1066.1)
    state.see_pod(state.pods["p2"], gone=True)
    assert [] == late_pods(state, scaler, mine, 1076.0)
    assert [CreatePod(pool="default")] == late_pods(state, scaler, mine, 1076.2)
    state.see_pod(pod("p3", heard_at=1080.0))
    assert [] == late_pods(state, scaler, mine, 1080.0)
    found = conditions(state, scaler, mine, 1080.0)
    assert (ConditionStatus.TRUE, ConditionStatus.FALSE) == (
        found["Ready"].status,
        found["PodsStart"].status,
    )
    for sequence, at in enumerate((1080.0, 1080.0 + PROVED), 1):
        state.hear("p3", Presence(pool="default", sequence=sequence, free=2, taken=0), at)
    assert ready(state, scaler, mine, 1080.0 + PROVED)


def test_pods_that_end_at_once_make_no_storm_and_the_pool_says_why() -> None:
    """Sixty-eight pods in twenty seconds were made for five replicas, and the status never said a
    word.
    """
    mine = pool(replicas=5)
    state, scaler = state_of(mine), Scaler()
    made, at = 0, 1000.0
    while at < 1600.0:
        for action in late_pods(state, scaler, mine, at):
            if isinstance(action, CreatePod):
                made += 1
                trouble = "container fetcher: Error, exit code 1"
                state.see_pod(pod(f"p{made}", phase="Ended", heard_at=None, trouble=trouble))
            elif isinstance(action, DeletePod):
                state.see_pod(state.pods[action.pod], gone=True)
        at += 0.5
    assert 5 < made <= 5 + 8
    found = conditions(state, scaler, mine, at)
    assert (ConditionStatus.FALSE, "PodsDoNotStart") == (
        found["PodsStart"].status,
        found["PodsStart"].reason,
    )
    assert "container fetcher: Error, exit code 1" in found["PodsStart"].message
    assert ConditionStatus.FALSE is found["Ready"].status


def test_pods_that_are_refused_are_asked_for_ever_more_slowly() -> None:
    """A full ResourceQuota: one refused POST a second for ever, and `Ready=True`."""
    mine = pool(replicas=6)
    state, scaler = state_of(mine, pod("p1", ready_once=True)), Scaler()
    asked, at = 0, 1000.0
    while at < 1600.0:
        if any(isinstance(action, CreatePod) for action in late_pods(state, scaler, mine, at)):
            asked += 1
            scaler.refused("default", "exceeded quota: pods", at)
        state.pods["p1"].heard_at = at
        at += 0.5
    assert asked <= 9
    found = conditions(state, scaler, mine, at)
    assert ("PodsRefused", "exceeded quota: pods") == (
        found["PodsStart"].reason,
        found["PodsStart"].message,
    )
    scaler.created("default")
    assert 5 == len(late_pods(state, scaler, mine, at)), (
        "what is not refused any more is made at once"
    )


def test_a_pod_without_room_on_a_node_is_waited_for_and_the_pool_says_so() -> None:
    """Another one in its place would wait as well; `Ready=True` with none ready helped nobody."""
    mine = pool(replicas=1, startSeconds=30)
    trouble = "Unschedulable: 0/1 nodes are available: 1 Insufficient cpu."
    waits = pod("p1", phase="Pending", heard_at=None, seen_at=1000.0, trouble=trouble)
    state, scaler = state_of(mine, waits), Scaler()
    assert [] == late_pods(state, scaler, mine, 2000.0)
    found = conditions(state, scaler, mine, 2000.0)
    assert {"Unschedulable"} == {condition.reason for condition in found.values()}
    assert "Insufficient cpu" in found["Ready"].message


def test_a_pool_that_cannot_be_configured_says_so_and_goes_on() -> None:
    """`minReplicas: 20` with the default `maxReplicas` ended each new leader."""
    mine = pool(replicas=1)
    scaler = Scaler()
    scaler.misconfigured["default"] = "minReplicas must not be greater than maxReplicas"
    found = conditions(state_of(mine, pod()), scaler, mine, 1001.0)
    assert "minReplicas must not" in found["Configured"].message
    assert ConditionStatus.TRUE is found["Ready"].status


def test_replicas_are_the_pods_that_stay_and_busy_is_slots_in_use() -> None:
    """An autoscaler's tolerance kept one too many; eight were busy of six slots."""
    storing = held("x", stage=Stage.STORING) | held("y")
    mine = pool(replicas=2)
    state = state_of(
        mine,
        pod("p1", taken=2, held=storing),
        pod("p2", draining=True, taken=1, held=held("z")),
        pod("p3", leaving=True),
    )
    found = Scaler().shape(mine, state, clock(), template="t").status
    assert (1, 2) == (found.replicas, found.busy)


def test_what_a_pool_told_by_others_needs_is_shown_beside_what_it_was_told() -> None:
    """For whoever scales it: KEDA, or a person."""
    mine = pool(replicas=1, slotsPerPod=2, spareSlots=1)
    found = Scaler().shape(mine, state_of(mine, *queued(4)), clock(), template="t")
    assert (1, 3) == (found.wanted, found.status.wanted)


def test_a_start_is_not_judged_while_we_could_not_have_heard_it() -> None:
    """The bus is away: nobody is replaced for that."""
    mine = pool(replicas=1, startSeconds=30)
    state = state_of(mine, pod("p1", phase="Pending", heard_at=None, seen_at=1000.0))
    assert [] == Scaler().shape(mine, state, clock(1100.0, since=None), template="t").actions
    assert [] == Scaler().shape(mine, state, clock(1100.0, since=1080.0), template="t").actions


def test_what_a_lost_node_held_is_not_busy_any_more() -> None:
    """Its pod is Terminating until somebody removes the node, which may be never."""
    mine = pool(replicas=1)
    state = state_of(mine, pod(held=held(), taken=1, leaving=True), pod("p2", heard_at=1100.0))
    at = {now: Scaler().shape(mine, state, clock(now), template="t") for now in (1010.0, 1110.0)}
    assert (1, 0) == (at[1010.0].status.busy, at[1110.0].status.busy)
    assert [] == at[1110.0].actions


def test_a_pod_that_was_just_promised_an_order_is_not_the_one_that_goes() -> None:
    """Both were idle for long; told to drain, it would turn the order away."""
    mine = pool(scaling="Auto", replicas=2, idleSeconds=1)
    pods = [
        pod(name, idle_since=1000.0, created=f"2027-01-15T0{name[-1]}:00:00Z")
        for name in ("p1", "p2")
    ]
    for promised, goes in (("p1", "p2"), ("p2", "p1")):
        state = state_of(mine, job("a", status_phase="Queued"), *pods)
        state.reserved["a", 1] = promised
        shape = Scaler().shape(mine, state, clock(1010.0), template="t")
        assert [DrainPod(pod=goes)] == shape.actions


def test_what_a_pod_said_before_it_heard_to_go_does_not_make_it_stay() -> None:
    """It was given an order that it turned away, and another pod was told to go in its place."""
    told = pod("p1", told_at=1000.0)

    def says(number: int, now: float, *, draining: bool = False) -> bool:
        words = {"pool": "default", "taken": 0}
        told.hear(
            Presence.model_validate({**words, "sequence": number, "free": 2, "draining": draining}),
            now,
        )
        return takes_orders(told, clock(now))

    assert [False, False] == [says(1, 1000.1), says(2, 1005.0, draining=True)]
    told.told_at, told.draining = 1010.0, False
    assert [False, True] == [says(3, 1015.0), says(4, 1021.0)], "the drain was lost"


@pytest.mark.parametrize(("slots", "waiting", "wanted"), [(2, 1, 2), (4, 3, 2), (4, 5, 3)])
def test_a_job_that_must_be_alone_takes_all_of_a_pod(slots: int, waiting: int, wanted: int) -> None:
    """Others waited for its end, because its pod seemed to have room."""
    lost: dict[str, Any] = {"status_reason": "WorkerLost"}
    others = [job(f"n{number}", status_phase="Queued") for number in range(waiting)]
    mine = pool(scaling="Auto", replicas=1, slotsPerPod=slots)
    runs = state_of(mine, running("a", **lost), pod(held=held("a"), taken=1, free=1), *others)
    assert wanted == Scaler().shape(mine, runs, clock(), template="t").wanted
    waits = state_of(mine, job("a", status_phase="Queued", **lost), *others)
    assert wanted == Scaler().shape(mine, waits, clock(), template="t").wanted


@pytest.mark.parametrize(
    ("found", "said"),
    [
        ({"phase": "Ended"}, "ended before it had worked"),
        ({"heard_at": 900.0, "seen_at": 890.0}, "was not heard any more"),
        ({"heard_at": None, "seen_at": 800.0}, "was not ready within 120 s"),
        ({"phase": "Ended", "trouble": "container worker: OOMKilled"}, "OOMKilled"),
    ],
)
def test_a_pool_says_what_became_of_a_pod_that_did_not_come_to_work(
    found: dict[str, Any], said: str
) -> None:
    """A pod whose node was lost was said not to have been ready, though it had been at work."""
    mine = pool(replicas=1)
    shape = Scaler().shape(mine, state_of(mine, pod("p1", **found)), clock(), template="t")
    (starts,) = [c for c in shape.status.conditions or () if c.type == "PodsStart"]
    assert said in starts.message
