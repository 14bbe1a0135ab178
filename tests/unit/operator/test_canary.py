"""A new image: when it is tried, what the try tells, and which image pods have meanwhile."""

from typing import Any

from objects import pool
from trawler_crds.failures import FailureReason
from trawler_crds.media_job import MediaJob, Phase
from trawler_crds.worker_pool import WorkerPool
from trawler_operator.planning import canary
from trawler_operator.planning.canary import State, Trial, Verdict

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


def test_with_one_the_old_image_stays_until_the_new_one_passed() -> None:
    mine = known(OLD, canary=LINKS, image=NEW)
    assert canary.is_due(mine, OLD)
    for state in State:
        verdict = Verdict(NEW, state)
        expected = NEW if state is State.PASSED else OLD
        assert expected == canary.current(mine, OLD, verdict)
    assert OLD == canary.current(mine, OLD, Verdict("worker:3", State.PASSED))
    assert not canary.is_due(known(NEW, canary=LINKS, image=NEW), OLD)


def test_the_releases_own_image_and_the_one_before_are_taken_as_they_are() -> None:
    """An operator must be able to count on its workers, and a way back is never barred."""
    assert NEW == canary.current(known(OLD, canary=LINKS), NEW)
    assert NEW == canary.current(known(OLD, canary=LINKS, image=NEW), NEW)
    back = known("worker:3", canary=LINKS, image=NEW)
    status = back.status.model_copy(update={"previous_image": NEW})
    assert NEW == canary.current(back.model_copy(update={"status": status}), OLD)
    assert "worker:3" == canary.previous(back, NEW)
    assert canary.previous(back, "worker:3") is None


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
    assert (NEW, None, 0, 1) == (spec.image, spec.canary, spec.min_replicas, spec.max_replicas)
    other = long.metadata.model_copy(update={"name": "a" * 46 + "-" + "c" * 7})
    assert canary.pool_name(long) != canary.pool_name(long.model_copy(update={"metadata": other}))
    for each in canary.job_manifests(long, NEW):
        assert canary.pool_name(long) == MediaJob.model_validate(each).spec.pool


def test_a_try_is_over_when_all_links_came_or_one_did_not() -> None:
    good = Trial("https://a.example/1", Phase.SUCCEEDED)
    bad = Trial("https://b.example/2", Phase.FAILED, FailureReason.SITE_ERROR)
    waits = Trial("https://b.example/2", Phase.QUEUED)
    cancelled = Trial("https://b.example/2", Phase.CANCELLED, FailureReason.CANCELLED)
    assert Verdict(NEW, State.CHECKING) == canary.judge(NEW, [None, None])
    assert Verdict(NEW, State.CHECKING) == canary.judge(NEW, [good, None])
    assert Verdict(NEW, State.CHECKING) == canary.judge(NEW, [good, waits])
    assert Verdict(NEW, State.PASSED) == canary.judge(NEW, [good, good])
    failed = canary.judge(NEW, [waits, bad])
    assert State.FAILED is failed.state
    assert "https://b.example/2: SiteError. The site answered" in failed.why
    assert State.FAILED is canary.judge(NEW, [good, cancelled]).state
