"""What an agent says it has room for."""

from trawler_crds.messages import Order, Stage
from trawler_worker.agent.job_table import MOST_REMEMBERED, REMEMBERED, ActiveJob, JobTable


def work(job_table: JobTable, uid: str, stage: Stage) -> ActiveJob:
    order = Order(uid=uid, name=uid, attempt=1, url="http://a/", attempt_seconds=9)
    found = ActiveJob(order=order, stage=stage)
    job_table.works[found.key] = found
    return found


def test_a_job_that_stores_leaves_its_slot_to_the_next() -> None:
    """And that is worth a presence at once."""
    job_table = JobTable(slots=2)
    first = work(job_table, "a", Stage.FETCHING)
    work(job_table, "b", Stage.PROVING)
    assert 0 == job_table.free()
    job_table.changed.clear()
    job_table.move(first, Stage.STORING)
    assert 1 == job_table.free()
    assert job_table.changed.is_set()


def test_a_store_that_is_away_does_not_let_jobs_pile_up() -> None:
    """At most twice the slots are in hand."""
    job_table = JobTable(slots=2)
    for n in range(4):
        work(job_table, f"u{n}", Stage.STORING)
    assert 0 == job_table.free()


def test_a_draining_pod_has_no_room() -> None:
    """However idle it is."""
    job_table = JobTable(slots=2)
    job_table.draining = True
    assert 0 == job_table.free()


def test_a_pod_for_one_job_takes_one_and_begins_to_leave() -> None:
    """`jobsPerPod`: the operator sees it drain and starts its successor."""
    job_table = JobTable(slots=2, jobs=1)
    assert 1 == job_table.free()
    order = Order(uid="a", name="a", attempt=1, url="http://a/", attempt_seconds=9)
    job_table.take(ActiveJob(order=order))
    assert (0, True) == (job_table.free(), job_table.draining)


def test_an_attempt_that_ended_is_remembered_for_a_while_and_only_so_many() -> None:
    """It is not begun a second time, whoever orders it again; nor does a pod grow by each that it
    had.
    """
    now = [0.0]
    job_table = JobTable(slots=1, now=lambda: now[0])
    for number in range(MOST_REMEMBERED + 1):
        job_table.end(work(job_table, f"u{number}", Stage.REPORTING))
    assert (f"u{MOST_REMEMBERED}", 1) in job_table.ended
    assert ("u0", 1) not in job_table.ended
    assert MOST_REMEMBERED == len(job_table.ended)
    assert {} == job_table.works
    now[0] = REMEMBERED + 1.0
    job_table.end(work(job_table, "late", Stage.REPORTING))
    assert [("late", 1)] == list(job_table.ended)
