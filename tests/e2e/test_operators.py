"""Operators that die at a named step, or stand by, on a real cluster."""

import secrets
import time
from collections.abc import Callable, Iterator

import pytest

from installed import Installed
from trawler_common.failpoints import VARIABLE, Failpoint

pytestmark = pytest.mark.timeout(480)


@pytest.fixture
def crashing(release: Installed) -> Iterator[Installed]:
    """The operator without a crash point again after the test."""
    release.wait_for_workers(1, timeout=90)
    yield release
    release.kubectl.run("set", "env", "deploy/trawler-operator", f"{VARIABLE}-")
    release.kubectl.run("rollout", "status", "deploy/trawler-operator", "--timeout=120s")


@pytest.mark.parametrize(
    "point",
    [Failpoint.BEFORE_RUNNING, Failpoint.AFTER_RUNNING, Failpoint.BEFORE_SUCCEEDED],
    ids=["f01-before-the-write-ahead", "f02-after-the-write-ahead", "f03-before-the-result"],
)
def test_the_operator_dies_at_a_named_step(crashing: Installed, point: Failpoint) -> None:
    """Restarted by the kubelet it dies there again, until somebody takes the crash point out."""
    deployment = ("deploy/trawler-operator", "--timeout=120s")
    before = crashing.leader()  # it may lead a moment longer than the rollout takes
    crashing.kubectl.run("set", "env", deployment[0], f"{VARIABLE}={point}")
    crashing.kubectl.run("rollout", "status", *deployment)
    _until(lambda: crashing.leader() not in {before, ""}, what="a leader with the crash point")
    seed = secrets.token_hex(6)
    name = crashing.ask(f"http://site:8080/video/{seed}.mp4?bytes=300000")
    _until(lambda: _restarts(crashing) > 0, what="its death")
    crashing.kubectl.run("set", "env", deployment[0], f"{VARIABLE}-")
    done = crashing.ended(name, timeout=120).status
    assert ("Succeeded", 0) == (done.phase, done.failures)
    assert 1 == crashing.downloads(seed)
    crashing.nothing_left()


def _restarts(release: Installed) -> int:
    return sum(
        int(status["restartCount"])
        for pod in release.pods("operator")
        for status in pod["status"].get("containerStatuses", [])
    )


def _until(condition: Callable[[], bool], *, what: str) -> None:
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end, f"no {what} within 60 s"
        time.sleep(0.3)


@pytest.fixture
def doubled(release: Installed) -> Iterator[Installed]:
    """Two operators, both ready; one again after the test."""
    release.wait_for_workers(1, timeout=90)
    release.kubectl.run("scale", "deploy/trawler-operator", "--replicas=2")
    release.kubectl.run("rollout", "status", "deploy/trawler-operator", "--timeout=120s")
    yield release
    release.kubectl.run("scale", "deploy/trawler-operator", "--replicas=1")


def test_with_two_operators_the_other_one_takes_over_when_the_leader_is_lost(
    doubled: Installed,
) -> None:
    """Its pod is deleted by force, as when its node is gone: the job goes on."""
    release = doubled
    seed, later = secrets.token_hex(6), secrets.token_hex(6)
    name = release.ask(f"http://site:8080/video/{seed}.mp4?bytes=800000&rate=100000")
    release.wait_for_share(seed, 0.2)
    leader = release.leader()
    release.kubectl.run("delete", "pod", leader, "--grace-period=0", "--force")
    begun = time.monotonic()
    second = release.ask(f"http://site:8080/video/{later}.mp4?bytes=100000")
    done = release.ended(second).status
    assert time.monotonic() - begun < 30
    assert ("Succeeded", 1, 0) == (done.phase, done.attempt, done.failures)
    assert leader != release.leader()
    first = release.ended(name).status
    assert ("Succeeded", 1, 0) == (first.phase, first.attempt, first.failures)
    assert [1, 1] == [release.downloads(seed), release.downloads(later)]


def test_any_operator_says_what_pools_want(release: Installed) -> None:
    """JSON through the Service, as KEDA asks."""
    release.wait_for_workers(1, timeout=90)
    idle = {"wanted": 0, "replicas": 1, "ready": 1}
    _until(lambda: release.scaling()["pools"]["default"] == idle, what=f"{idle}")
