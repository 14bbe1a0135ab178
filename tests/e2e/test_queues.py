"""Many jobs of many tenants on a real cluster: each in turn, the same thing only once."""

import json
import secrets
import time
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from installed import Installed

pytestmark = pytest.mark.timeout(480)

WEIGHTS = {"four": 4, "two": 2, "one": 1, "uno": 1}
API = "trawler.dev/v1alpha1"


def create(release: Installed, *objects: dict[str, Any]) -> None:
    release.kubectl.run("create", "-f", "-", stdin=yaml.safe_dump_all(objects))


def media_job(name: str, url: str, **spec: Any) -> dict[str, Any]:
    meta = {"name": name}
    return {"apiVersion": API, "kind": "MediaJob", "metadata": meta, "spec": {"url": url, **spec}}


def phases(release: Installed, prefix: str) -> Counter[str]:
    return Counter(str(job.status.phase) for job in release.jobs() if job.name.startswith(prefix))


def until_phases(release: Installed, prefix: str, timeout: float, **wanted: int) -> None:
    end = time.monotonic() + timeout
    while (found := phases(release, prefix)) != Counter(wanted):
        assert time.monotonic() < end, f"{dict(found)} instead of {wanted}"
        time.sleep(0.5)


def dispatched(release: Installed, prefix: str) -> list[str]:
    """Names in the order in which the operator wrote `Running`, from its log."""
    text = release.kubectl.text("logs", "deploy/trawler-operator", "--tail=-1")
    events = [json.loads(line) for line in text.splitlines() if line.startswith("{")]
    return [
        event["name_"]
        for event in events
        if event["event"] == "phase"
        and event["phase"] == "Running"
        and event["name_"].startswith(prefix)
    ]


@pytest.fixture
def four_slots(release: Installed) -> Iterator[None]:
    """No worker at first; two afterwards, by the test; one again for whoever comes next."""
    release.kubectl.run("scale", "wp/default", "--replicas=0")
    release.wait_for_workers(0)
    yield
    release.kubectl.run("scale", "wp/default", "--replicas=1")
    release.wait_for_workers(1)


def test_queues_share_four_slots_by_their_weights(release: Installed, four_slots: None) -> None:
    """200 jobs, weights 4:2:1:1, each with an address and bytes of its own."""
    run = f"w{secrets.token_hex(3)}"
    create(
        release,
        *(
            {
                "apiVersion": API,
                "kind": "MediaQueue",
                "metadata": {"name": name},
                "spec": {"weight": weight},
            }
            for name, weight in WEIGHTS.items()
        ),
    )
    jobs = {
        f"{run}-{queue}-{number:02}": (queue, secrets.token_hex(6))
        for queue in WEIGHTS
        for number in range(50)
    }
    create(
        release,
        *(
            media_job(name, f"http://site:8080/video/{seed}.mp4?bytes=60000", queue=queue)
            for name, (queue, seed) in jobs.items()
        ),
    )
    until_phases(release, run, 60, Queued=200)
    release.kubectl.run("scale", "wp/default", "--replicas=2")
    until_phases(release, run, 240, Succeeded=200)

    order = [jobs[name][0] for name in dispatched(release, run)]
    assert 200 == len(order)
    until_empty = order[: max(n for n, name in enumerate(order, 1) if name == "four")]
    counts, whole = Counter(until_empty), sum(WEIGHTS.values())
    for name, weight in WEIGHTS.items():
        share = len(until_empty) * weight / whole
        assert abs(counts[name] - share) <= 0.1 * share, f"{counts} in {len(until_empty)}"
    assert [1] * 200 == [release.downloads(seed) for _, seed in jobs.values()]


def test_a_hundred_who_ask_for_one_address_are_one_download(release: Installed) -> None:
    """And one object, and a hundred answers."""
    run, seed = f"s{secrets.token_hex(3)}", secrets.token_hex(6)
    before = release.objects()
    url = f"http://site:8080/video/{seed}.mp4?bytes=900000"
    create(release, *(media_job(f"{run}-{n:03}", url) for n in range(100)))
    until_phases(release, run, 120, Succeeded=100)
    assert 1 == release.downloads(seed)
    assert 1 == len(release.objects() - before)
    files = {
        release.job(f"{run}-{n:03}").status.files[0].sha256  # type: ignore[index]
        for n in (0, 50, 99)
    }
    assert {release.record(seed, 900_000)["sha256"]} == files


def test_a_pool_comes_from_nothing_for_a_job_and_goes_again(release: Installed) -> None:
    """`scaling: Auto`, `minReplicas: 0`."""
    pool, seed = f"auto-{secrets.token_hex(3)}", secrets.token_hex(6)
    create(
        release,
        {
            "apiVersion": API,
            "kind": "WorkerPool",
            "metadata": {"name": pool},
            "spec": {"scaling": "Auto", "replicas": 0, "idleSeconds": 1},
        },
    )
    name = release.ask(f"http://site:8080/video/{seed}.mp4?bytes=500000", pool=pool)
    done = release.ended(name)
    assert "Succeeded" == done.status.phase
    assert (done.status.worker or "").startswith(pool)
    end = time.monotonic() + 60
    while any(p["metadata"]["labels"]["trawler.dev/pool"] == pool for p in release.pods("worker")):
        assert time.monotonic() < end
        time.sleep(0.5)
    assert 0 == release.pool(pool)["spec"]["replicas"]
    release.kubectl.run("delete", "wp", pool)


def test_a_suspended_download_stops_and_begins_anew(release: Installed) -> None:
    """The site sees the first one broken off."""
    seed = secrets.token_hex(6)
    name = release.ask(f"http://site:8080/video/{seed}.mp4?bytes=800000&rate=200000")
    release.wait_for_share(seed, 0.3)
    release.edit(name, suspend=True)
    release.until(name, lambda job: job.status.phase == "Suspended", what="suspended")
    release.nothing_left()
    assert 0 == release.downloads(seed)
    release.edit(name, suspend=False)
    done = release.ended(name).status
    assert ("Succeeded", 2, 0) == (done.phase, done.attempt, done.failures)
    assert 1 == release.downloads(seed)
