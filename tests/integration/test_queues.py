"""Queues, suspension and the end of a job's keeping, with a real API server and bus."""

import asyncio
from typing import Any

from operator_process import Operator, ordered, stored, upload
from stubpod import StubPod
from trawler_common.bus import Bus
from trawler_crds import subjects
from trawler_crds.messages import Positions


async def until_queue(operator: Operator, name: str, **wanted: Any) -> dict[str, Any]:
    """Its status is written at most every 30 s, perhaps last just before what is waited for."""
    async with asyncio.timeout(60):
        while True:
            queue = await asyncio.to_thread(operator.read, "mediaqueues", name)
            status: dict[str, Any] = queue.get("status", {})
            if wanted.items() <= status.items():
                return status
            await asyncio.sleep(0.2)


async def test_a_capped_queue_runs_no_more_than_it_may_and_others_go_on(
    operator: Operator, pod: StubPod
) -> None:
    """`maxRunning`; what it has shows in its status."""
    operator.declare("capped", maxRunning=1)
    mine = [operator.ask(queue="capped") for _ in range(2)]
    first = await ordered(pod)
    assert first.uid in {job.uid for job in mine}
    other = operator.ask(queue="nobody-declared-this")
    assert other.uid == (await ordered(pod, 2)).uid
    await until_queue(operator, "capped", queued=1, running=1)
    await upload(pod, first.uid)
    await pod.report(first.uid, stored())
    third = await ordered(pod, 3)
    assert {first.uid, third.uid} == {job.uid for job in mine}


async def test_a_full_queue_refuses_with_a_sentence(operator: Operator, pod: StubPod) -> None:
    """`maxQueued`, and a pause that fills it."""
    operator.declare("small", maxQueued=1, paused=True)
    waits = operator.ask(queue="small")
    await operator.until(waits.name, phase="Queued")
    refused = operator.ask(queue="small")
    ended = await operator.until(refused.name, phase="Failed", reason="QuotaExceeded")
    assert "wait in this queue already" in (ended.status.message or "")
    operator.declare("small", maxQueued=1, paused=False)
    assert waits.uid == (await ordered(pod)).uid


async def test_a_days_bytes_are_reserved_and_settled(operator: Operator, pod: StubPod) -> None:
    """What a job did not use is there for the next one; the sum shows in the queue's status."""
    operator.declare("metered", dailyBytes=1_500_000)
    first = operator.ask(queue="metered", limits={"maxBytes": 1_000_000})
    order = await ordered(pod)
    refused = operator.ask(queue="metered", limits={"maxBytes": 1_000_000})
    ended = await operator.until(refused.name, phase="Failed", reason="QuotaExceeded")
    assert "1.5 MB for today" in (ended.status.message or "")
    await upload(pod, order.uid)
    await pod.report(order.uid, stored())
    done = await operator.until(first.name, phase="Succeeded")
    size = sum(file.bytes for file in done.status.files or ())
    again = operator.ask(queue="metered", limits={"maxBytes": 1_000_000})
    assert again.uid == (await ordered(pod, 2)).uid
    await until_queue(operator, "metered", dayBytes=size)


async def test_who_waits_hears_the_place(
    operator: Operator, pod: StubPod, nats_url: str, tasks: asyncio.TaskGroup
) -> None:
    """On the bus, for whoever shows it."""
    heard: list[Positions] = []

    async def hear(_: str, message: Positions) -> None:
        heard.append(message)

    bus = await Bus.connect(nats_url, name="listener", tasks=tasks)
    await bus.serve(subjects.positions(operator.namespace, "line"), Positions, hear)
    operator.declare("line", paused=True)
    waiting = [operator.ask(queue="line", priority=priority) for priority in (1, 9)]
    async with asyncio.timeout(20):
        while not heard or heard[-1].waiting < 2:
            await asyncio.sleep(0.1)
    places = {place.uid: place.place for place in heard[-1].places}
    assert {waiting[1].uid: 1, waiting[0].uid: 2} == places
    await bus.close()


async def test_a_suspended_job_leaves_its_pod_and_begins_anew_later(
    operator: Operator, pod: StubPod
) -> None:
    """It costs no failure."""
    job = operator.ask()
    await ordered(pod)
    operator.edit(job.name, suspend=True)
    await operator.until(job.name, phase="Suspended")
    async with asyncio.timeout(20):
        while (job.uid, 1) not in pod.cancelled:
            await asyncio.sleep(0.05)
    operator.edit(job.name, suspend=False)
    assert 2 == (await ordered(pod, 2)).attempt
    running = await operator.until(job.name, phase="Running", attempt=2)
    assert 0 == running.status.failures


async def test_a_job_that_waits_too_long_ends_as_busy(operator: Operator) -> None:
    """No pod takes it: none speaks here."""
    job = operator.ask(maxQueueSeconds=1)
    ended = await operator.until(job.name, phase="Failed", reason="Busy")
    assert 0 == ended.status.attempt


async def test_a_finished_job_is_deleted_when_it_was_kept_long_enough(
    operator: Operator, pod: StubPod
) -> None:
    """And one that is to be kept stays."""
    gone = operator.ask(ttlSecondsAfterFinished=1)
    kept = operator.ask()
    for job in (gone, kept):
        operator.edit(job.name, cancel=True)
    await operator.until(kept.name, phase="Cancelled")
    async with asyncio.timeout(30):
        while gone.name in {job.name for job in operator.jobs()}:
            await asyncio.sleep(0.2)
    assert [kept.name] == [job.name for job in operator.jobs()]
