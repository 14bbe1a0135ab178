"""A new image: when it is tried, what the try tells, and which image pods have meanwhile."""

from typing import Any

import pytest

from objects import job, pool
from trawler_crds.media_job import MediaJob
from trawler_crds.worker_pool import WorkerPool
from trawler_operator import canary
from trawler_operator.canary import State, Verdict

LINKS = {"links": ["https://a.example/1", "https://b.example/2"]}
OLD, NEW = "worker:1", "worker:2"


def known(last: str | None, /, **spec: Any) -> WorkerPool:
    found = pool("default", **spec)
    return found.model_copy(update={"status": found.status.model_copy(update={"image": last})})


def test_without_a_canary_a_pool_has_what_is_wanted_at_once() -> None:
    assert OLD == canary.current(known(None), OLD)
    assert NEW == canary.current(known(OLD, image=NEW), OLD)
    assert not canary.is_due(known(OLD, image=NEW), OLD)


def test_the_first_image_is_taken_as_it_is() -> None:
    """There is no other one to keep."""
    assert NEW == canary.current(known(None, image=NEW, canary=LINKS), OLD)


@pytest.mark.parametrize("spec", [{"image": NEW}, {}])
def test_with_one_the_old_image_stays_until_the_new_one_passed(spec: dict[str, Any]) -> None:
    """Also where the release itself brings the new one."""
    release = OLD if spec else NEW
    mine = known(OLD, canary=LINKS, **spec)
    assert canary.is_due(mine, release)
    for state in State:
        verdict = Verdict(NEW, state)
        expected = NEW if state is State.PASSED else OLD
        assert expected == canary.current(mine, release, verdict)
    assert OLD == canary.current(mine, release, Verdict("worker:3", State.PASSED))
    assert not canary.is_due(known(NEW, canary=LINKS, **spec), release)


def test_names_follow_from_what_is_tried() -> None:
    mine = known(OLD, canary=LINKS, image=NEW)
    names = [each["metadata"]["name"] for each in canary.job_manifests(mine, NEW)]
    assert 2 == len(set(names))
    assert names == [each["metadata"]["name"] for each in canary.job_manifests(mine, NEW)]
    other = [each["metadata"]["name"] for each in canary.job_manifests(mine, "worker:3")]
    assert not set(names) & set(other)


def test_the_longest_name_of_a_pool_makes_legal_ones() -> None:
    mine = known(OLD, canary=LINKS, image=NEW)
    long = mine.model_copy(
        update={"metadata": mine.metadata.model_copy(update={"name": "a" * 46 + "-" + "b" * 7})}
    )
    assert len(canary.pool_name(long)) <= 54
    manifest = canary.pool_manifest(long, NEW)
    spec = WorkerPool.model_validate(manifest).spec
    assert (NEW, None, 1) == (spec.image, spec.canary, spec.replicas)
    for each in canary.job_manifests(long, NEW):
        assert canary.pool_name(long) == MediaJob.model_validate(each).spec.pool


def test_a_try_is_over_when_all_links_came_or_one_did_not() -> None:
    good, bad = (
        job("u1", status_phase="Succeeded"),
        job("u2", status_phase="Failed", status_reason="SiteError"),
    )
    waits, cancelled = job("u3", status_phase="Queued"), job("u4", status_phase="Cancelled")
    assert Verdict(NEW, State.CHECKING) == canary.judge(NEW, [None, None])
    assert Verdict(NEW, State.CHECKING) == canary.judge(NEW, [good, None])
    assert Verdict(NEW, State.CHECKING) == canary.judge(NEW, [good, waits])
    assert Verdict(NEW, State.PASSED) == canary.judge(NEW, [good, good])
    failed = canary.judge(NEW, [waits, bad])
    assert State.FAILED is failed.state
    assert "http://site:8080/video/u2.mp4: SiteError. The site answered" in failed.why
    assert State.FAILED is canary.judge(NEW, [good, cancelled]).state
