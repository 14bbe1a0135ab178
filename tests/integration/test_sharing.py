"""Who asks for the same, with a real API server, bus and store."""

import secrets

from operating import BODY, Operator, ordered, stored, upload
from stubpod import StubPod
from trawler_common.store import Store, StoreSettings
from trawler_crds.failures import FailureReason
from trawler_crds.messages import Outcome, Result


def address() -> str:
    return f"http://site:8080/video/{secrets.token_hex(6)}.mp4"


async def test_many_who_ask_for_the_same_are_one_order_and_all_succeed(
    operator: Operator, pod: StubPod
) -> None:
    """One download, one object; each has the files."""
    url = address()
    jobs = [operator.ask(url=url) for _ in range(8)]
    order = await ordered(pod)
    await upload(pod, order.uid)
    await pod.report(order.uid, stored())
    for job in jobs:
        done = await operator.until(job.name, phase="Succeeded")
        assert len(BODY) == (done.status.files or [])[0].bytes
        assert (1 if job.uid == order.uid else 0) == done.status.attempt
    assert 1 == len(pod.orders)


async def test_a_stored_result_answers_until_its_object_is_gone(
    operator: Operator, pod: StubPod, store_settings: StoreSettings
) -> None:
    """The objects are looked at before anybody is told that they are there."""
    url = address()
    operator.ask(url=url)
    order = await ordered(pod)
    await upload(pod, order.uid)
    await pod.report(order.uid, stored())
    second = await operator.until(operator.ask(url=url).name, phase="Succeeded")
    assert 0 == second.status.attempt
    await Store(store_settings).delete((second.status.files or [])[0].sha256)
    third = operator.ask(url=url)
    assert third.uid == (await ordered(pod, 2)).uid


async def test_when_the_leader_is_cancelled_another_one_is_fetched(
    operator: Operator, pod: StubPod
) -> None:
    """Followers lose nothing by it."""
    url = address()
    jobs = {job.uid: job for job in (operator.ask(url=url) for _ in range(2))}
    first = await ordered(pod)
    leader = jobs.pop(first.uid)
    operator.kubectl("patch", "mj", leader.name, "--type=merge", "-p", '{"spec":{"cancel":true}}')
    second = await ordered(pod, 2)
    assert {second.uid} == set(jobs)


async def test_a_site_that_has_nothing_has_nothing_for_all(
    operator: Operator, pod: StubPod
) -> None:
    """One look at the site for all who waited for it."""
    url = address()
    jobs = [operator.ask(url=url) for _ in range(3)]
    order = await ordered(pod)
    for job in jobs:
        if job.uid != order.uid:
            await operator.until(job.name, phase="Queued")
    missing = Result(attempt=1, outcome=Outcome.FAILED, reason=FailureReason.NOTHING_FOUND)
    await pod.report(order.uid, missing)
    for job in jobs:
        await operator.until(job.name, phase="Failed", reason="NothingFound")
    assert 1 == len(pod.orders)
