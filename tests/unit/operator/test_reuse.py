"""Who asks for the same gets the same, fetched once."""

from typing import Any

import pytest

from objects import NOON, clock, job, pod, queue, running, state_of
from trawler_crds import addresses
from trawler_crds.failures import FailureReason
from trawler_crds.media_job import MediaJob, Phase
from trawler_operator import formatting
from trawler_operator.planning import lifecycle, reuse
from trawler_operator.planning.actions import Action, Copy, Dispatch, WriteStatus
from trawler_operator.planning.admission import admit
from trawler_operator.planning.scheduling import Scheduler
from trawler_operator.state.cluster_state import ClusterState
from trawler_operator.state.duplicates import REMEMBERED, fingerprint

SAME = "http://site:8080/video/same.mp4"
FILE = {"name": "a.mp4", "bytes": 5, "sha256": "0" * 64, "type": "video/mp4"}


def at(seconds: float) -> str:
    return formatting.stamp(NOON + seconds)


def same(uid: str, **more: Any) -> MediaJob:
    return job(uid, url=SAME, **more)


def stored(uid: str = "done", when: float = -60, **more: Any) -> MediaJob:
    status = {"phase": "Succeeded", "files": [FILE], "fileCount": 1, "size": "5 B"}
    return same(
        uid, **{f"status_{k}": v for k, v in status.items()}, status_completionTime=at(when), **more
    )


def waiting(uid: str, **more: Any) -> MediaJob:
    return same(uid, status_phase="Queued", status_queuedTime=at(-30), **more)


def answer(found: MediaJob, state: ClusterState) -> Action | None:
    return reuse.answer(found, state, clock())


def assigned(state: ClusterState) -> list[str]:
    return [
        d.uid for d in Scheduler().assign(state, clock(), skip=set()) if isinstance(d, Dispatch)
    ]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("http://Site.Example/a?", "http://site.example/a"),
        ("https://site.example:443/a?b=C", "https://site.example/a?b=C"),
        ("http://site.example", "http://site.example/"),
    ],
)
def test_two_spellings_of_one_address_are_one_wish(one: str, other: str) -> None:
    """Only where every client agrees."""
    assert addresses.parse(one).canonical() == addresses.parse(other).canonical()


@pytest.mark.parametrize(
    "more",
    [
        {"url": "http://site:8080/video/Same.mp4"},
        {"url": SAME + "?x=1"},
        {"url": SAME + "#part"},
        {"media": {"maxHeight": 360}},
        {"engines": ["Direct"]},
        {"limits": {"maxBytes": 6}},
    ],
)
def test_another_wish_has_another_fingerprint(more: dict[str, Any]) -> None:
    """What may change the files does change it."""
    assert fingerprint(job("a", url=SAME)) != fingerprint(job("a", **{"url": SAME, **more}))


def test_whose_turn_it_is_changes_no_fingerprint_but_whose_credentials_does() -> None:
    """What one may see with a login is not for all."""
    mine = job("a", url=SAME, queue="x", priority=9, attemptSeconds=5)
    assert fingerprint(mine) == fingerprint(same("b"))
    assert fingerprint(mine) != fingerprint(mine, scope="login")


def test_a_stored_result_answers_at_once() -> None:
    """Without an attempt, and with the same files."""
    state = state_of(new := same("new"), stored())
    assert Copy(uid="new", version=new.version, source="done") == answer(new, state)
    written = reuse.reuse(new, stored(), NOON).changes
    assert (Phase.SUCCEEDED, "job-done", 1) == (
        written["phase"],
        written["follows"],
        written["fileCount"],
    )
    assert {"Accepted", "Stored"} == {found["type"] for found in written["conditions"]}


@pytest.mark.parametrize(
    ("new", "old"),
    [
        (same("new", reuse="Never"), stored()),
        (same("new"), stored(reuse="Never")),
        (same("new"), stored(when=-3601)),
        (same("new"), stored(limits={"maxBytes": 9})),
        (same("new", cancel=True), stored()),
        (same("new", suspend=True), stored()),
    ],
    ids=["not wanted", "not offered", "too old", "other limits", "cancelled", "suspended"],
)
def test_what_does_not_fit_answers_nobody(new: MediaJob, old: MediaJob) -> None:
    """Then the job is fetched as if it were the first."""
    assert answer(new, state_of(new, old)) is None


def test_what_answered_one_is_as_old_for_the_next() -> None:
    """Asked for once an hour, a page that changes was shown as it had been half a day ago."""
    copied = reuse.reuse(same("first"), stored(when=-3000), NOON).changes
    status = {f"status_{key}": value for key, value in copied.items()}
    first = same("first", **status)
    assert at(-3000) == first.status.stored_time
    later = reuse.answer(same("new"), state_of(first, same("new")), clock(wall=NOON + 500))
    assert isinstance(later, Copy)
    too_late = reuse.answer(same("new"), state_of(first, same("new")), clock(wall=NOON + 700))
    assert too_late is None


def test_a_result_whose_objects_are_gone_answers_nobody_any_more() -> None:
    """The executor looked."""
    state = state_of(new := same("new"), stored())
    state.duplicates.disbelieve("done")
    assert answer(new, state) is None


def test_of_twins_only_one_is_fetched_whatever_their_queues() -> None:
    """A hundred at once are one download."""
    state = state_of(waiting("a"), waiting("b", queue="q"), waiting("c"), queue("q"), pod(free=9))
    assert 1 == len(assigned(state))
    beside = state_of(running("r", url=SAME), waiting("a"), pod(free=9))
    assert [] == assigned(beside)
    alone = state_of(running("r", url=SAME), waiting("a", reuse="Never"), pod(free=9))
    assert ["a"] == assigned(alone)


def test_a_twin_in_a_paused_queue_holds_up_nobody() -> None:
    """It does not run, so it leads nobody."""
    state = state_of(waiting("a", queue="q"), waiting("b"), queue("q", paused=True), pod(free=9))
    assert ["b"] == assigned(state)


def test_when_the_leader_is_cancelled_or_deleted_the_next_one_goes() -> None:
    """Nobody has to be named its successor."""
    for gone in (True, False):
        state = state_of(running("r", url=SAME), waiting("a"), waiting("b"), pod(free=9))
        ended = same(
            "r", version=2, status_phase="Cancelled", status_completionTime=at(0), status_attempt=1
        )
        state.see_job(ended, gone=gone)
        assert answer(state.jobs["a"], state) is None
        assert ["a"] == assigned(state)


def test_who_waited_takes_what_the_leader_stored() -> None:
    """And is looked at in the very turn in which the leader ends."""
    state = state_of(running("r", url=SAME), waiting("a"))
    state.dirty.clear()
    state.see_job(stored("r", when=0, version=2))
    assert ["a"] == list(state.dirty)
    version = state.jobs["a"].version
    assert Copy(uid="a", version=version, source="r") == answer(state.jobs["a"], state)


def _failed(reason: str, failures: int = 3, **spec: Any) -> MediaJob:
    return same(
        "r",
        **spec,
        version=2,
        status_phase="Failed",
        status_reason=reason,
        status_message="Why.",
        status_failures=failures,
        status_completionTime=at(0),
    )


@pytest.mark.parametrize(
    ("reason", "failures", "limit", "shared"),
    [
        ("NothingFound", 1, 2, True),
        ("SiteError", 3, 2, True),
        ("SiteError", 1, 2, False),
        ("Throttled", 1, 2, True),
        ("WorkerLost", 3, 2, False),
        ("Busy", 0, 2, False),
        ("TooLong", 1, 2, False),
    ],
)
def test_who_waited_fails_with_the_leader_where_the_site_would_do_the_same_to_it(
    reason: str, failures: int, limit: int, *, shared: bool
) -> None:
    """Not for the leader's own bad luck, and not after fewer tries than its own."""
    follower = waiting("a", status_follows="job-r", backoffLimit=limit)
    action = answer(follower, state_of(_failed(reason, failures), follower))
    if not shared:
        assert action is None
        return
    assert isinstance(action, WriteStatus)
    assert (Phase.FAILED, FailureReason(reason), "Why.") == (
        action.changes["phase"],
        action.changes["reason"],
        action.changes["message"],
    )


@pytest.mark.parametrize(("limit", "shared"), [(1, False), (0, True)])
def test_who_may_wait_longer_than_the_leader_is_not_ended_with_it(
    limit: int, *, shared: bool
) -> None:
    """The site asked for two seconds; that was too long for the leader alone."""
    leader = _failed("Throttled", 1, maxQueueSeconds=1, backoffLimit=2)
    follower = waiting("a", status_follows="job-r", maxQueueSeconds=60, backoffLimit=limit)
    assert shared is (answer(follower, state_of(leader, follower)) is not None)


def test_an_end_that_was_shared_once_is_not_handed_on() -> None:
    """It counted no failures of its own, and so looked as if the site had asked for time."""
    ended = _failed("Throttled", 0, backoffLimit=0)
    follower = waiting("a", status_follows="job-r", backoffLimit=2)
    assert answer(follower, state_of(ended, follower)) is None


def test_who_came_later_tries_for_itself() -> None:
    """The site may have been mended."""
    late = waiting("a", status_follows="job-x").model_copy()
    state = state_of(_failed("NothingFound"), late)
    late_status = late.status.model_copy(update={"queued_time": at(1)})
    assert answer(late.model_copy(update={"status": late_status}), state) is None


def test_a_leader_that_waits_after_a_failure_still_leads() -> None:
    """Else every duplicate would try the broken site at once."""
    resting = waiting("a", status_failures=1)
    state = state_of(resting, waiting("b"), pod(free=9))
    assert [] == assigned(state)


def test_it_says_whom_it_follows() -> None:
    """For whoever looks; decisions do not rest on it."""
    new = same("new")
    written = admit(new, state_of(new, running("r", url=SAME)), NOON).changes
    assert ("job-r", fingerprint(new)) == (written["follows"], written["fingerprint"])
    assert lifecycle.start(new, pod="p1", attempt=1, wall=NOON).changes["follows"] is None


def test_an_answer_from_the_store_costs_no_bytes_of_the_day() -> None:
    """Nothing was fetched for it."""
    written = reuse.reuse(same("new", queue="q"), stored(), NOON).changes
    done = MediaJob.model_validate(
        {**same("new", queue="q").wire(), "status": {**written, "phase": "Succeeded"}}
    )
    assert 0 == state_of(done).usage.used("q", at(0)[:10])


def test_only_the_newest_results_are_kept_in_mind() -> None:
    """A link that everybody posts costs no search through all of them."""
    state = state_of(*(stored(f"u{n}", when=-100 + n) for n in range(2 * REMEMBERED)))
    found = state.duplicates.source(same("new"), since=at(-1000))
    assert found is not None
    assert f"u{2 * REMEMBERED - 1}" == found.uid
    assert REMEMBERED == len(state.duplicates._ended[fingerprint(same("new"))])
