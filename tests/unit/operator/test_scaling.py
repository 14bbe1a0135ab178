"""How many pods a pool has, and which one goes."""

from objects import board, clock, held, pod, pool
from trawler_operator import scaling
from trawler_operator.actions import Action, CreatePod, DeletePod, DrainPod
from trawler_operator.board import Pod


def shape(wanted: int, *pods: Pod) -> list[Action]:
    mine = pool(replicas=wanted)
    return scaling.shape(mine, board(mine, *pods), clock(), template="t")


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
    assert [DeletePod(pod="p2")] == shape(1, pod("p1"), pod("p2", heard_at=None))


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
    state = board(mine, pod("p1", taken=1, held=held()), pod("p2", heard_at=None))
    found = scaling.status(mine, state, clock())
    assert (2, 1, 1) == (found.replicas, found.ready_replicas, found.busy)
    assert "trawler.dev/pool=default" == found.selector
