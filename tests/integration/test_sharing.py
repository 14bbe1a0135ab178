"""Who asks for the same, with a real API server, bus and store."""

import asyncio
import hashlib
import secrets
import time

import pytest

from operator_process import BODY, Operator, ordered, stored, upload
from servers import Server
from stubpod import StubPod
from trawler_common.store import Store, StoreSettings
from trawler_crds.failures import FailureReason
from trawler_crds.keys import object_key
from trawler_crds.messages import Outcome, Result


def address() -> str:
    return f"http://site:8080/video/{secrets.token_hex(6)}.mp4"


async def fetched(operator: Operator, pod: StubPod, url: str) -> None:
    """Somebody asked for it, and it is stored."""
    job = operator.ask(url=url)
    order = await ordered(pod)
    await upload(pod, order.uid)
    await pod.report(order.uid, stored())
    await operator.until(job.name, phase="Succeeded")


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
    await fetched(operator, pod, url)
    second = await operator.until(operator.ask(url=url).name, phase="Succeeded")
    assert 0 == second.status.attempt
    await Store(store_settings).delete(
        object_key(store_settings.prefix, (second.status.files or [])[0].sha256)
    )
    third = operator.ask(url=url)
    assert third.uid == (await ordered(pod, 2)).uid


async def test_twins_whose_store_hangs_delay_nobody_else(
    operator: Operator, pod: StubPod, s3_server: Server
) -> None:
    """Two hundred answers that waited for the store kept an unrelated job from its pod for 20 s."""
    url = address()
    await fetched(operator, pod, url)
    with s3_server.frozen():
        twins = [operator.ask(url=url) for _ in range(200)]
        begun = time.monotonic()
        other = operator.ask(url=address())
        assert other.uid == (await ordered(pod, 2)).uid
        assert time.monotonic() - begun < 10
    for twin in twins:
        done = await operator.until(twin.name, phase="Succeeded")
        assert 0 == done.status.attempt
    assert 2 == len(pod.orders), "what is stored is fetched once"


async def test_when_the_leader_is_cancelled_another_one_is_fetched(
    operator: Operator, pod: StubPod
) -> None:
    """Followers lose nothing by it."""
    url = address()
    jobs = {job.uid: job for job in (operator.ask(url=url) for _ in range(2))}
    first = await ordered(pod)
    leader = jobs.pop(first.uid)
    operator.edit(leader.name, cancel=True)
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


@pytest.mark.pool(maxAttemptSeconds=3)
async def test_an_object_outlives_its_last_job_by_a_longest_attempt_and_no_more(
    operator: Operator, pod: StubPod, store_settings: StoreSettings
) -> None:
    """What no job names goes; what one names, or a running attempt was granted, stays."""
    store = Store(store_settings)
    stray = await _put(operator, pod, b"nobody's")
    kept = await _put(operator, pod, b"somebody's")
    order = await ordered(pod, 2)
    done = await operator.until(_name(operator, order.uid), phase="Succeeded")
    running = operator.ask(reuse="Never", attemptSeconds=60)
    granted = await _upload(pod, (await ordered(pod, 3)).uid, b"under way")
    operator.kubectl("delete", "mj", _name(operator, pod.orders[0].uid))
    await _until_gone(store, stray)
    for _ in range(2):  # a whole round of the garbage collector later
        await asyncio.sleep(3)
        assert {kept, granted} <= {key.rpartition("/")[2] for key in await store.keys()}
    assert "Running" == operator.job(running.name).status.phase
    assert kept == (operator.job(done.name).status.files or [])[0].sha256


def _name(operator: Operator, uid: str) -> str:
    return next(job.name for job in operator.jobs() if job.uid == uid)


async def _upload(pod: StubPod, uid: str, body: bytes) -> str:
    assert 200 == await upload(pod, uid, body=body)
    return hashlib.sha256(body).hexdigest()


async def _put(operator: Operator, pod: StubPod, body: bytes) -> str:
    """One job from its asking to its end; answers with its object."""
    count = len(pod.orders)
    asked = operator.ask(reuse="Never")
    order = await ordered(pod, count + 1)
    digest = await _upload(pod, order.uid, body)
    await pod.report(order.uid, stored(body=body))
    await operator.until(asked.name, phase="Succeeded")
    return digest


async def _until_gone(store: Store, digest: str) -> None:
    async with asyncio.timeout(40):
        while any(digest in key for key in await store.keys()):
            await asyncio.sleep(0.2)
