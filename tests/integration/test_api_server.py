"""What the real API server accepts and refuses, and says about it."""

import json
from pathlib import Path

import pytest
import yaml

from servers import ApiServer, wait_until

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = sorted((ROOT / "crds" / "examples").glob("*.yaml"))
INVALID = sorted((ROOT / "crds" / "examples" / "invalid").glob("*.yaml"))


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_every_example_is_accepted(api: ApiServer, path: Path) -> None:
    """With strict field validation."""
    api.kubectl("create", "--dry-run=server", "--validate=strict", "-f", str(path))


@pytest.mark.parametrize("path", INVALID, ids=lambda path: path.stem)
def test_an_invalid_job_is_refused_with_its_reason(api: ApiServer, path: Path) -> None:
    """Each file says in a comment what the person is told."""
    line = next(x for x in path.read_text().splitlines() if x.startswith("# refused:"))
    done = api.kubectl("create", "--validate=strict", "-f", str(path), check=False)
    assert done.returncode != 0
    assert line.removeprefix("# refused:").strip() in done.stderr


@pytest.fixture(scope="module")
def name(api: ApiServer) -> str:
    """A job whose every field is set once."""
    job = {
        "apiVersion": "trawler.dev/v1alpha1",
        "kind": "MediaJob",
        "metadata": {"name": "fixed"},
        "spec": {"url": "http://example.com/", "media": {"kind": "Audio"}, "engines": ["Direct"]},
    }
    api.kubectl("create", "-f", "-", stdin=yaml.safe_dump(job))
    return "fixed"


def patch(api: ApiServer, name: str, body: object, *, sub: str = "") -> str | None:
    """What the API server says against it; None where it took it."""
    more = [f"--subresource={sub}"] if sub else []
    done = api.kubectl(
        *("patch", "mediajob", name, "--type=merge", "-p", json.dumps(body), *more), check=False
    )
    return done.stderr if done.returncode else None


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("url", "http://example.org/"),
        ("queue", "other"),
        ("pool", "other"),
        ("media", {"kind": "Video"}),
        ("media", {"maxHeight": 360}),
        ("engines", ["YtDlp"]),
        ("limits", {"maxBytes": 5}),
        ("attemptSeconds", 5),
        ("maxQueueSeconds", 5),
        ("backoffLimit", 5),
        ("ttlSecondsAfterFinished", 5),
        ("reuse", "Never"),
        ("delivery", {"discord": {"channelId": "1", "requesterId": "2"}}),
    ],
)
def test_what_was_asked_for_cannot_be_changed(
    api: ApiServer, name: str, field: str, value: object
) -> None:
    """Another wish is another job."""
    said = patch(api, name, {"spec": {field: value}})
    assert f"{field} cannot be changed after creation; create a new MediaJob" in (said or "")


def test_priority_and_suspend_may_change_and_cancel_goes_one_way(api: ApiServer) -> None:
    """The three control fields."""
    job = {
        "apiVersion": "trawler.dev/v1alpha1",
        "kind": "MediaJob",
        "metadata": {"name": "controls"},
        "spec": {"url": "http://example.com/"},
    }
    api.kubectl("create", "-f", "-", stdin=yaml.safe_dump(job))
    assert patch(api, "controls", {"spec": {"priority": 9}}) is None
    assert patch(api, "controls", {"spec": {"suspend": True}}) is None
    assert patch(api, "controls", {"spec": {"suspend": False}}) is None
    assert patch(api, "controls", {"spec": {"cancel": True}}) is None
    assert "cancel cannot be taken back" in (
        patch(api, "controls", {"spec": {"cancel": False}}) or ""
    )


def test_a_finished_job_stays_finished_and_attempts_never_fall(api: ApiServer) -> None:
    """Whoever writes the status."""
    job = {
        "apiVersion": "trawler.dev/v1alpha1",
        "kind": "MediaJob",
        "metadata": {"name": "ended"},
        "spec": {"url": "http://example.com/"},
    }
    api.kubectl("create", "-f", "-", stdin=yaml.safe_dump(job))

    def status(**fields: object) -> str:
        return patch(api, "ended", {"status": fields}, sub="status") or ""

    assert "" == status(phase="Running", attempt=3)
    assert "attempt never falls" in status(attempt=2)
    assert "" == status(phase="Failed", reason="TooLong", message="It took too long.")
    assert "a finished MediaJob keeps its phase" in status(phase="Queued")
    assert "a finished MediaJob keeps its phase" in status(phase=None)
    assert "Unsupported value" in status(reason="Whatever")
    removed = patch(api, "ended", {"status": None}, sub="status") or ""
    assert "never removed" in removed or "keeps its phase" in removed


def test_a_pool_scales_by_its_subresource(api: ApiServer) -> None:
    """`kubectl scale wp/default --replicas=3`."""
    pool = {
        "apiVersion": "trawler.dev/v1alpha1",
        "kind": "WorkerPool",
        "metadata": {"name": "default"},
        "spec": {},
    }
    api.kubectl("create", "-f", "-", stdin=yaml.safe_dump(pool))
    api.kubectl("scale", "wp/default", "--replicas=3")
    found = json.loads(api.kubectl("get", "wp", "default", "-o", "json").stdout)
    assert (3, "Manual", 2) == (
        found["spec"]["replicas"],
        found["spec"]["scaling"],
        found["spec"]["slotsPerPod"],
    )


@pytest.mark.parametrize(
    ("kind", "spec", "why"),
    [
        ("WorkerPool", {"replicas": -1}, "greater than or equal to 0"),
        ("WorkerPool", {"scaling": "Magic"}, "Unsupported value"),
        ("WorkerPool", {"minReplicas": 3, "maxReplicas": 2}, "must not be greater than"),
        ("WorkerPool", {"scratch": "lots"}, "should match"),
        ("MediaQueue", {"weight": 0}, "greater than or equal to 1"),
        ("MediaQueue", {"wieght": 2}, "unknown field"),
    ],
)
def test_pools_and_queues_are_closed_and_bounded_too(
    api: ApiServer, kind: str, spec: object, why: str
) -> None:
    """Like jobs."""
    body = {
        "apiVersion": "trawler.dev/v1alpha1",
        "kind": kind,
        "metadata": {"name": "wrong"},
        "spec": spec,
    }
    done = api.kubectl(
        "create", "--validate=strict", "-f", "-", stdin=yaml.safe_dump(body), check=False
    )
    assert done.returncode != 0
    assert why in done.stderr


def test_the_columns_are_those_that_are_promised(api: ApiServer) -> None:
    """`kubectl get` must read like a dashboard."""
    api.kubectl("apply", "-f", "-", stdin=_queue())
    api.kubectl("apply", "-f", str(ROOT / "crds" / "examples" / "clip.yaml"))
    jobs = api.kubectl("get", "mediajob", "clip").stdout.splitlines()[0].split()
    queues = api.kubectl("get", "mediaqueue", "guild").stdout.splitlines()[0].split()
    assert ["NAME", "PHASE", "QUEUE", "ENGINE", "FILES", "SIZE", "ATTEMPT", "REASON", "AGE"] == jobs
    assert ["NAME", "WEIGHT", "QUEUED", "RUNNING", "PAUSED", "AGE"] == queues


def _queue() -> str:
    return yaml.safe_dump(
        {
            "apiVersion": "trawler.dev/v1alpha1",
            "kind": "MediaQueue",
            "metadata": {"name": "guild"},
            "spec": {"weight": 2},
        }
    )


@pytest.mark.parametrize(
    ("kind", "name", "why"),
    [
        ("WorkerPool", "a.b", "its pods are named after it"),
        ("WorkerPool", "p" * 55, "at most 54"),
        ("MediaQueue", "a.b", "else no MediaJob can name it"),
    ],
)
def test_a_name_after_which_nothing_else_can_be_named_is_refused(
    api: ApiServer, kind: str, name: str, why: str
) -> None:
    """A pool `a.b` was never heard by the operator, and nobody said why."""
    body = {"apiVersion": "trawler.dev/v1alpha1", "kind": kind, "metadata": {"name": name}}
    manifest = yaml.safe_dump({**body, "spec": {}})
    done = api.kubectl("create", "--dry-run=server", "-f", "-", stdin=manifest, check=False)
    assert why in done.stderr


@pytest.mark.parametrize("field", ["attempt", "failures"])
def test_figures_that_cannot_be_counted_on_are_refused(api: ApiServer, field: str) -> None:
    """One more than the largest integer is none."""
    job = {
        "apiVersion": "trawler.dev/v1alpha1",
        "kind": "MediaJob",
        "metadata": {"name": f"large-{field}"},
        "spec": {"url": "http://example.com/"},
    }
    api.kubectl("create", "-f", "-", stdin=yaml.safe_dump(job))
    said = patch(api, f"large-{field}", {"status": {field: 2**63 - 1}}, sub="status")
    assert "less than or equal to 1000000" in (said or "")
    assert patch(api, f"large-{field}", {"status": {field: 1_000_000}}, sub="status") is None


def test_an_object_of_before_the_rule_on_names_can_be_written_and_deleted(api: ApiServer) -> None:
    """Else it could not even go: somebody's finalizer is taken off by a write."""
    crd = ("patch", "crd", "workerpools.trawler.dev", "--type=json", "-p")
    path = "/spec/versions/0/schema/openAPIV3Schema/x-kubernetes-validations"
    shown = api.kubectl("get", "crd", "workerpools.trawler.dev", "-o", "json").stdout
    schema = json.loads(shown)["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    old = {
        "apiVersion": "trawler.dev/v1alpha1",
        "kind": "WorkerPool",
        "metadata": {"name": "an.old.one", "finalizers": ["example.com/held"]},
        "spec": {},
    }

    def taken() -> bool:
        done = api.kubectl("create", "-f", "-", stdin=yaml.safe_dump(old), check=False)
        return done.returncode == 0

    def refused() -> bool:
        again = yaml.safe_dump({**old, "metadata": {"name": "another.one"}})
        words = ("create", "--dry-run=server", "-f", "-")
        return "named after it" in api.kubectl(*words, stdin=again, check=False).stderr

    rule = schema["x-kubernetes-validations"]
    api.kubectl(*crd, json.dumps([{"op": "remove", "path": path}]))
    try:
        wait_until(taken, what="the schema of before")
    finally:
        api.kubectl(*crd, json.dumps([{"op": "add", "path": path, "value": rule}]))
    wait_until(refused, what="the schema of now")
    words = ("patch", "wp", "an.old.one", "--type=merge", "-p")
    api.kubectl(*words, json.dumps({"status": {"replicas": 1}}), "--subresource=status")
    api.kubectl("delete", "wp", "an.old.one", "--wait=false")
    api.kubectl(*words, json.dumps({"metadata": {"finalizers": None}}))
    assert "NotFound" in api.kubectl("get", "wp", "an.old.one", check=False).stderr
