"""Things die in the middle; the job does not."""

import secrets
import subprocess
import time
from collections.abc import Container
from typing import Any

import pytest

from installed import Installed
from trawler_crds.media_job import MediaJob

SIZE = 2_000_000
RATE = 250_000

pytestmark = pytest.mark.timeout(480)  # the first one also brings up the cluster

SHARES = [0.2, 0.5, 0.8]


@pytest.fixture
def under_way(release: Installed) -> tuple[str, str]:
    """A download that takes eight seconds: (job, seed)."""
    release.wait_for_workers(1, timeout=90)
    mine = secrets.token_hex(6)
    name = release.ask(f"http://site:8080/video/{mine}.mp4?bytes={SIZE}&rate={RATE}")
    return name, mine


def check(release: Installed, name: str, mine: str, *, attempts: int, before: set[str]) -> MediaJob:
    """Succeeded within so many attempts, one result, the right bytes, nothing left."""
    job = release.ended(name, timeout=120)
    assert "Succeeded" == job.status.phase, job.status
    assert job.status.attempt <= attempts
    truth = release.record(mine, SIZE)
    assert [truth["sha256"]] == [file.sha256 for file in job.status.files or []]
    assert release.downloads(mine) <= job.status.attempt
    assert release.begun(mine) <= job.status.attempt
    release.nothing_left()
    assert {truth["sha256"]} == release.objects() - before
    return job


@pytest.mark.parametrize("share", SHARES)
def test_the_busy_pod_is_deleted_by_force(
    release: Installed, under_way: tuple[str, str], share: float
) -> None:
    """As when a node dies: grace 0. One more attempt, in another pod."""
    name, mine = under_way
    before = release.objects()
    release.wait_for_share(mine, share)
    pod = release.job(name).status.worker
    assert pod is not None
    release.kubectl.run("delete", "pod", pod, "--grace-period=0", "--force")
    job = check(release, name, mine, attempts=2, before=before)
    assert pod != job.status.worker
    assert (None, 1) == (job.status.reason, job.status.failures)  # counted; cleared by success


def test_the_busy_pod_is_deleted_gently(release: Installed, under_way: tuple[str, str]) -> None:
    """SIGTERM: it takes no more, finishes what runs, and only then goes."""
    name, mine = under_way
    before = release.objects()
    release.wait_for_share(mine, 0.3)
    pod = str(release.job(name).status.worker)
    release.kubectl.run("delete", "pod", pod, "--wait=false")
    job = check(release, name, mine, attempts=1, before=before)
    assert pod == job.status.worker


@pytest.mark.parametrize("share", SHARES)
def test_the_operator_is_killed(
    release: Installed, under_way: tuple[str, str], share: float
) -> None:
    """SIGKILL, restarted by the kubelet: the attempt goes on and counts once."""
    name, mine = under_way
    before = release.objects()
    release.wait_for_share(mine, share)
    old = _restarts(release)
    _kill_process(release, "operator", "trawler_operator")
    check(release, name, mine, attempts=1, before=before)
    end = time.monotonic() + 60
    while _restarts(release) <= old:
        assert time.monotonic() < end, "the operator was not restarted"
        time.sleep(0.3)


@pytest.mark.parametrize("share", SHARES)
def test_the_bus_goes_away(release: Installed, under_way: tuple[str, str], share: float) -> None:
    """Its pod is deleted: only talk was lost."""
    name, mine = under_way
    before = release.objects()
    release.wait_for_share(mine, share)
    pod = release.pods("nats")[0]["metadata"]["name"]
    release.kubectl.run("delete", "pod", pod, "--wait=false")
    check(release, name, mine, attempts=1, before=before)


def test_the_fetchers_zygote_is_killed(release: Installed, under_way: tuple[str, str]) -> None:
    """The pod is of no more use: it goes, and the job with it into another."""
    name, mine = under_way
    before = release.objects()
    release.wait_for_share(mine, 0.3)
    pod = str(release.job(name).status.worker)
    script = (
        "import os,signal\n"
        "for p in os.listdir('/proc'):\n"
        "  if p.isdigit() and b'trawler_worker.fetcher.supervision.zygote' in "
        "open(f'/proc/{p}/cmdline','rb').read() and "
        "open(f'/proc/{p}/stat').read().split()[3] == '1':\n"
        "    os.kill(int(p), signal.SIGKILL)\n"
    )
    release.kubectl.run(
        "exec", pod, "-c", "fetcher", "--", "/app/bin/python", "-c", script, check=False
    )
    check(release, name, mine, attempts=2, before=before)


def _restarts(release: Installed) -> int:
    statuses: list[dict[str, Any]] = release.pods("operator")[0]["status"]["containerStatuses"]
    return int(statuses[0]["restartCount"])


def _kill_process(release: Installed, component: str, module: str) -> None:
    """SIGKILL from outside the container: PID 1 is immune to signals from within."""
    pod = release.pods(component)[0]
    uid = pod["metadata"]["uid"]
    found = subprocess.run(
        ["pgrep", "-f", "--", f"-m {module}"], capture_output=True, text=True
    ).stdout
    for pid in found.split():
        with open(f"/proc/{pid}/cgroup") as file:
            if uid in file.read() or uid.replace("-", "_") in file.read():
                subprocess.run(["kill", "-9", pid], check=True)
                return
    raise AssertionError(f"no process of {module} in pod {uid}")


@pytest.mark.parametrize("by", ["kubectl", "the pool"])
def test_pods_that_are_told_to_go_while_they_start_are_gone_at_once(
    release: Installed, by: str
) -> None:
    """As PID 1 Python was deaf until it had handlers: 1 of 8 was still there after eleven
    minutes.
    """
    release.wait_for_workers(1, timeout=90)
    for _ in range(3):
        known = _uids(release, "worker")
        release.kubectl.run("scale", "wp/default", "--replicas=2")
        name, uid = _starting(release, "worker", known)
        begun = time.monotonic()
        release.kubectl.run("scale", "wp/default", "--replicas=1")
        if by == "kubectl":
            release.kubectl.run("delete", "pod", name, "--wait=false", check=False)
        _gone(release, "worker", uid, begun + 15)
    release.wait_for_workers(1, timeout=90)


@pytest.mark.parametrize(
    ("component", "owner"),
    [("operator", "deployment/trawler-operator"), ("bot", "statefulset/trawler-bot")],
)
def test_operator_and_bot_are_gone_at_once_when_they_are_told_to_go_while_they_start(
    release: Installed, component: str, owner: str
) -> None:
    """Long before their grace is over, which is 15 s and 30 s."""
    ours = f"app.kubernetes.io/component={component}"
    for _ in range(2):
        known = _uids(release, component)
        release.kubectl.run("delete", "pod", "-l", ours, "--wait=false")
        name, uid = _starting(release, component, known)
        begun = time.monotonic()
        release.kubectl.run("delete", "pod", name, "--wait=false")
        _gone(release, component, uid, begun + 10)
    release.kubectl.run("rollout", "status", owner, "--timeout=120s")


def _uids(release: Installed, component: str) -> dict[str, str]:
    """Uid → name of each pod."""
    return {pod["metadata"]["uid"]: pod["metadata"]["name"] for pod in release.pods(component)}


def _starting(release: Installed, component: str, known: Container[str]) -> tuple[str, str]:
    """Name and uid of a new pod in which a container has just been started."""
    end = time.monotonic() + 60
    while time.monotonic() < end:
        for pod in release.pods(component):
            states = [s["state"] for s in pod["status"].get("containerStatuses", [])]
            if pod["metadata"]["uid"] not in known and any("running" in s for s in states):
                return str(pod["metadata"]["name"]), str(pod["metadata"]["uid"])
        time.sleep(0.02)
    raise AssertionError("no container of a new pod was started")


def _gone(release: Installed, component: str, uid: str, end: float) -> None:
    while uid in _uids(release, component):
        assert time.monotonic() < end, release.report()
        time.sleep(0.1)
