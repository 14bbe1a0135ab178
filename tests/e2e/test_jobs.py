"""Jobs from link to file on a real cluster."""

import json
import secrets
import time
from pathlib import Path

import pytest
import yaml

import publicity
from installed import Installed
from trawler_cluster import fetch
from trawler_crds.media_job import MediaJob

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = sorted((ROOT / "crds" / "examples").glob("*.yaml"))

pytestmark = pytest.mark.timeout(480)  # the first one also brings up the cluster


def seed() -> str:
    return secrets.token_hex(6)


@pytest.fixture(scope="module")
def examples(release: Installed) -> Installed:
    """Every example, applied as a person does it: all at once."""
    release.kubectl.run("apply", "-f", str(ROOT / "crds" / "examples"))
    return release


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_ends_as_its_comment_says(examples: Installed, path: Path) -> None:
    """With one sentence where it failed."""
    line = next(x for x in path.read_text().splitlines() if x.startswith("# ends:"))
    words = line.removeprefix("# ends:").split()
    status = examples.ended(yaml.safe_load(path.read_text())["metadata"]["name"]).status
    assert words == [str(w) for w in (status.phase, status.reason) if w]
    if words[0] == "Failed":
        assert (status.message or "").endswith(".")
        assert "Traceback" not in (status.message or "")


def test_the_file_in_the_store_is_the_file_of_the_site(release: Installed, tmp_path: Path) -> None:
    """Store, status and site say the same hash; `trawler-cluster fetch` brings it."""
    mine = seed()
    name = release.ask(f"http://site:8080/page/{mine}?bytes=700000")
    file = (release.ended(name).status.files or [])[0]
    truth = release.record(mine, 700_000)
    assert (truth["bytes"], truth["sha256"]) == (file.bytes, file.sha256)
    paths = fetch.fetch(
        release.kubectl.provider, name=name, namespace=release.namespace, folder=tmp_path
    )
    assert truth["bytes"] == paths[0].stat().st_size
    assert 1 == release.downloads(mine)


MISBEHAVING = [
    ("/status/404/{}.mp4", "NothingFound"),
    ("/status/403/{}.mp4", "NeedsLogin"),
    ("/status/429/{}.mp4", "Throttled"),
    ("/status/500/{}.mp4", "SiteError"),
    ("/html/{}.mp4", "NotSupported"),
    ("/text/{}", "NothingFound"),
    ("/cut/{}.mp4", "SiteError"),
    ("/shorter/{}.mp4", "SiteError"),
    ("/truncated/{}.mp4", "SiteError"),
    ("/empty/{}.mp4", "SiteError"),
    ("/stalled/{}.mp4", "TooSlow"),
    ("/slow/{}.mp4", "TooSlow"),
    ("/endless/{}.mp4", "TooLarge"),
    ("/larger/{}.mp4", "TooLarge"),
    ("/redirect/6/{}.mp4", "SiteError"),
    ("/inward/{}.mp4", "BadAddress"),
]


def test_a_site_that_misbehaves_gets_its_reason_in_time_and_leaves_nothing(
    release: Installed,
) -> None:
    """All at once on two slots; afterwards the slots are free and the store knows none of it."""
    before = release.objects()
    names = {
        release.ask(
            "http://site:8080" + path.format(seed()),
            backoffLimit=0,
            attemptSeconds=40,
            limits={"maxBytes": 3_000_000},
        ): reason
        for path, reason in MISBEHAVING
    }
    for name, reason in names.items():
        job = release.ended(name, timeout=180)
        assert ("Failed", reason, 1) == (
            job.status.phase,
            job.status.reason,
            job.status.failures,
        ), job.spec.url
        assert (job.status.message or "").endswith(".")
        assert _lasted(job) <= 40 + 5
    release.nothing_left()
    assert before == release.objects()
    mine = seed()
    good = release.ended(release.ask(f"http://site:8080/video/{mine}.mp4"))
    assert "Succeeded" == good.status.phase


def _lasted(job: MediaJob) -> float:
    from trawler_operator.formatting import parse

    assert job.status.start_time is not None
    assert job.status.completion_time is not None
    return parse(job.status.completion_time) - parse(job.status.start_time)


def test_a_retried_reason_is_tried_again_after_a_wait(release: Installed) -> None:
    """Two attempts, then the end; and the person can see both in `kubectl describe`."""
    mine = seed()
    name = release.ask(f"http://site:8080/cut/{mine}.mp4", backoffLimit=1, engines=["Direct"])
    job = release.ended(name)
    assert ("Failed", "SiteError", 2, 2) == (
        job.status.phase,
        job.status.reason,
        job.status.attempt,
        job.status.failures,
    )
    assert 2 == len(release.requests_for(mine))
    described = release.kubectl.text("describe", "mediajob", name)
    assert "tried again" in described


def test_cancel_stops_what_runs(release: Installed) -> None:
    """At once, with process and files, and the slot is free."""
    mine = seed()
    name = release.ask(f"http://site:8080/video/{mine}.mp4?bytes=2000000&rate=100000")
    release.wait_for_share(mine, 0.1)
    release.edit(name, cancel=True)
    job = release.ended(name, timeout=10)
    assert ("Cancelled", "Cancelled", 1) == (
        job.status.phase,
        job.status.reason,
        job.status.attempt,
    )
    release.nothing_left()
    assert 0 == release.downloads(mine)


def test_a_deleted_job_stops_too(release: Installed) -> None:
    """Nobody wants its file any more."""
    mine = seed()
    name = release.ask(f"http://site:8080/video/{mine}.mp4?bytes=2000000&rate=100000")
    release.wait_for_share(mine, 0.1)
    release.kubectl.run("delete", "mediajob", name)
    release.nothing_left()
    assert 0 == release.downloads(mine)


def test_kubectl_scale_is_obeyed_up_and_down(release: Installed) -> None:
    """Three pods, then one; a busy pod is not the one that goes."""
    release.kubectl.run("scale", "wp/default", "--replicas=3")
    release.wait_for_workers(3, timeout=90)
    mine = seed()
    name = release.ask(f"http://site:8080/video/{mine}.mp4?bytes=1000000&rate=200000")
    release.wait_for_share(mine, 0.1)
    release.kubectl.run("scale", "wp/default", "--replicas=1")
    left = release.wait_for_workers(1, timeout=90)
    job = release.ended(name)
    assert ("Succeeded", 1) == (job.status.phase, job.status.attempt)
    assert [job.status.worker] == [pod["metadata"]["name"] for pod in left]


def test_a_pod_that_is_deleted_is_replaced(release: Installed) -> None:
    """And owned by its pool."""
    old = release.wait_for_workers(1)[0]["metadata"]["name"]
    release.kubectl.run("delete", "pod", old, "--wait=false")
    end = time.monotonic() + 60
    while True:
        names = [pod["metadata"]["name"] for pod in release.workers()]
        if names and old not in names:
            break
        assert time.monotonic() < end, names
        time.sleep(0.3)
    owner = release.wait_for_workers(1)[0]["metadata"]["ownerReferences"][0]
    assert ("WorkerPool", "default") == (owner["kind"], owner["name"])


def test_the_workers_python_knows_what_is_public_as_ours_does(release: Installed) -> None:
    """Another release of it had other tables."""
    pod = release.pods("worker")[0]["metadata"]["name"]
    script = (
        f"{Path(publicity.__file__).read_text()}\n"
        "import hashlib, sys\n"
        "from trawler_common.egress import is_public\n"
        "print(sys.version_info[:2], hashlib.sha256(verdicts(is_public).encode()).hexdigest())\n"
    )
    words = ("exec", "-i", pod, "-c", "fetcher", "--", "/app/bin/python", "-")
    said = release.kubectl.run(*words, stdin=script).stdout
    assert publicity.KNOWN in said, said


def test_the_table_reads_like_a_dashboard(release: Installed) -> None:
    """`kubectl get mediajobs`."""
    name = release.ask(f"http://site:8080/video/{seed()}.mp4")
    release.ended(name)
    head, row = release.kubectl.text("get", "mediajobs", name).splitlines()
    assert [
        "NAME",
        "PHASE",
        "QUEUE",
        "ENGINE",
        "FILES",
        "SIZE",
        "ATTEMPT",
        "REASON",
        "AGE",
    ] == head.split()
    assert [name, "Succeeded", "default", "Direct", "1"] == row.split()[:5]
    wide = release.kubectl.text("get", "mediajobs", name, "-o", "wide").splitlines()[0].split()
    assert ["HOST", "WORKER", "DELIVERED"] == wide[-3:]


def test_log_lines_are_json_and_name_the_job(release: Installed) -> None:
    """In operator and worker alike."""
    name = release.ask(f"http://site:8080/video/{seed()}.mp4")
    uid = release.ended(name).uid
    for words in (
        ("logs", "deploy/trawler-operator", "--tail=200"),
        ("logs", "-l", "app.kubernetes.io/component=worker", "-c", "worker", "--tail=200"),
    ):
        lines = [json.loads(line) for line in release.kubectl.text(*words).splitlines()]
        mine = [line for line in lines if line.get("job") == uid]
        assert mine
        assert all("event" in line for line in lines)
