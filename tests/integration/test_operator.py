"""The operator as a process, with a real API server, bus and store; only the pods are stubs."""

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
from typing import Any

import pytest
import yaml

from operator_process import Operator, ordered, stored, upload
from servers import wait_until
from stubpod import StubPod
from trawler_crds.failures import FailureReason
from trawler_crds.media_job import MediaJob
from trawler_crds.messages import Order, Outcome, Result, UploadFile, UploadRequest


async def test_a_job_is_written_down_before_it_is_handed_over(
    operator: Operator, pod: StubPod
) -> None:
    """Write-ahead: whoever reads the job knows which pod was given which attempt."""
    seen: list[MediaJob] = []

    async def look(order: Order) -> bool:
        seen.append(await asyncio.to_thread(operator.job, order.name))
        return True

    pod.decide = look
    operator.ask()
    await ordered(pod)
    async with asyncio.timeout(20):
        while not seen:  # it looks by kubectl, which takes as long as it takes
            await asyncio.sleep(0.05)
    assert [("Running", 1, pod.name)] == [
        (job.status.phase, job.status.attempt, job.status.worker) for job in seen
    ]


async def test_a_stored_result_is_recorded_once_after_a_look_at_the_object(
    operator: Operator, pod: StubPod
) -> None:
    """The second time it is stale, and the job does not change any more."""
    job = operator.ask()
    await ordered(pod)
    assert 200 == await upload(pod, job.uid)
    first = await pod.report(job.uid, stored())
    done = await operator.until(job.name, phase="Succeeded", attempt=1)
    again = await pod.report(job.uid, stored())
    assert (False, True) == (first.stale, again.stale)
    assert done.metadata.resource_version == operator.job(job.name).metadata.resource_version


async def test_a_result_whose_object_is_not_there_is_not_believed(
    operator: Operator, pod: StubPod
) -> None:
    """No job says stored when it is not."""
    job = operator.ask(backoffLimit=0)
    await ordered(pod)
    await pod.report(job.uid, stored(body=b"never uploaded"))
    done = await operator.until(job.name, phase="Failed")
    assert FailureReason.STORAGE_ERROR == done.status.reason


async def test_reports_of_another_attempt_change_nothing(operator: Operator, pod: StubPod) -> None:
    """Neither a later nor an older number; nor may it upload."""
    job = operator.ask()
    await ordered(pod)
    running = await operator.until(job.name, phase="Running")
    for attempt in (0, 2, 7):
        failed = Result(attempt=attempt, outcome=Outcome.FAILED, reason=FailureReason.NOTHING_FOUND)
        assert (await pod.report(job.uid, failed)).stale
    file = UploadFile(sha256="0" * 64, bytes=1, type="video/mp4")
    assert (await pod.grants(job.uid, UploadRequest(attempt=2, files=[file]))).refused
    assert running.status == operator.job(job.name).status


async def test_more_bytes_than_the_job_may_store_are_not_granted(
    operator: Operator, pod: StubPod
) -> None:
    """A compromised pod fills no store."""
    job = operator.ask(limits={"maxBytes": 1000})
    await ordered(pod)
    file = UploadFile(sha256="0" * 64, bytes=1001, type="video/mp4")
    assert (await pod.grants(job.uid, UploadRequest(attempt=1, files=[file]))).refused


async def test_a_refused_order_goes_on_as_the_next_attempt_at_no_cost(
    operator: Operator, pod: StubPod
) -> None:
    """And the pod is asked to cancel the one it refused."""

    async def second_time(_: Order) -> bool:
        return len(pod.orders) > 1

    pod.decide = second_time
    job = operator.ask(backoffLimit=0)
    await ordered(pod, 2)
    now = await operator.until(job.name, phase="Running", attempt=2)
    assert 0 == now.status.failures
    assert (job.uid, 1) in pod.cancelled


async def test_an_unanswered_order_is_cancelled_and_given_out_anew(
    operator: Operator, pod: StubPod
) -> None:
    """Silence is neither yes nor no."""

    async def second_time(_: Order) -> bool | None:
        return True if len(pod.orders) > 1 else None

    pod.decide = second_time
    job = operator.ask(backoffLimit=0)
    await ordered(pod, 2)
    now = await operator.until(job.name, phase="Running", attempt=2)
    assert 0 == now.status.failures
    assert (job.uid, 1) in pod.cancelled


async def test_a_killed_operator_takes_up_where_it_was(operator: Operator, pod: StubPod) -> None:
    """The attempt that runs goes on; its result is recorded by the next life."""
    job = operator.ask()
    await ordered(pod)
    operator.kill()
    operator.start()
    assert 200 == await _retried(lambda: upload(pod, job.uid))
    await pod.report(job.uid, stored())
    done = await operator.until(job.name, phase="Succeeded")
    assert (1, 0, 1) == (done.status.attempt, done.status.failures, len(pod.orders))


async def _retried(step: Any) -> Any:
    async with asyncio.timeout(30):
        while True:
            with contextlib.suppress(Exception):
                return await step()
            await asyncio.sleep(0.3)


async def test_an_order_that_was_written_but_never_sent_is_sent_by_the_next_life(
    operator: Operator, pod: StubPod
) -> None:
    """Same pod, same attempt, no failure."""
    pod.speaking = False
    operator.kill()
    job = operator.ask(backoffLimit=0)
    status = {"status": {"phase": "Running", "attempt": 1, "worker": pod.name}}
    operator.kubectl(
        *("patch", "mj", job.name, "--subresource=status", "--type=merge"),
        *("-p", json.dumps(status)),
    )
    operator.start()
    pod.speaking = True
    order = await ordered(pod)
    assert (job.uid, 1) == (order.uid, order.attempt)
    assert "Running" == operator.job(job.name).status.phase


async def test_a_pod_that_vanishes_loses_its_job_to_the_next_one(
    operator: Operator, pod: StubPod
) -> None:
    """WorkerLost, a failure, another attempt in a new pod."""
    job = operator.ask()
    await ordered(pod)
    await operator.until(job.name, phase="Running")
    pod.speaking = False
    operator.kubectl("delete", "pod", pod.name, "--grace-period=0", "--force")
    now = await operator.until(job.name, phase="Queued", failures=1)
    assert FailureReason.WORKER_LOST == now.status.reason
    await asyncio.to_thread(
        wait_until,
        lambda: [p["metadata"]["name"] for p in operator.pods()] not in ([], [pod.name]),
        what="another pod",
    )


async def test_cancel_is_written_at_once_and_reaches_the_pod(
    operator: Operator, pod: StubPod
) -> None:
    """And is said again until the pod lets go."""
    job = operator.ask()
    await ordered(pod)
    await operator.until(job.name, phase="Running")
    operator.edit(job.name, cancel=True)
    await operator.until(job.name, phase="Cancelled")
    async with asyncio.timeout(10):
        while pod.held:
            await asyncio.sleep(0.05)


@pytest.mark.parametrize("waits", [False, True])
async def test_a_job_costs_two_status_writes_and_one_more_where_it_waits(
    operator: Operator, pod: StubPod, *, waits: bool
) -> None:
    """Let in and running, ended; queued only where its turn does not come at once."""
    operator.declare("mine", paused=waits)
    job = operator.ask(queue="mine")
    if waits:
        await operator.until(job.name, phase="Queued")
        operator.declare("mine", paused=False)
    await ordered(pod)
    await upload(pod, job.uid)
    await pod.report(job.uid, stored())
    await operator.until(job.name, phase="Succeeded")
    assert 2 + waits == operator.counted("trawler_operator_status_writes_total")


async def test_sigterm_hands_the_lease_on(operator: Operator) -> None:
    """The next operator need not wait for it to run out."""
    assert 0 == operator.kill(signal.SIGTERM)
    lease = json.loads(operator.kubectl("get", "lease", "trawler-operator", "-o", "json"))
    assert not lease["spec"].get("holderIdentity")


async def test_sigterm_in_the_middle_of_a_start_is_an_end_in_order(operator: Operator) -> None:
    """What the start would have begun next is not begun any more."""
    operator.kill(signal.SIGTERM)
    for event in ("elected", "caught_up", "leading"):
        seen = operator.said(event)
        operator.start()
        await asyncio.to_thread(wait_until, lambda: operator.said(event) > seen, what=event)  # noqa: B023
        assert 0 == operator.kill(signal.SIGTERM), event


async def test_the_last_hook_of_an_uninstall_ends_workers_and_leaves_other_pods(
    operator: Operator,
) -> None:
    """Without a garbage collector: none runs beside this API server."""
    await asyncio.to_thread(wait_until, lambda: len(operator.pods()) == 1, what="a pod of the pool")
    operator.kill(signal.SIGTERM)
    operator.kubectl("run", "bystander", "--image=none")
    await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-m", "trawler_operator.kube.uninstall"],
        env={**os.environ, **operator._env},
        check=True,
        timeout=60,
    )
    assert operator.kubectl("get", "pods", "-o", "name").split() == ["pod/bystander"]
    assert operator.kubectl("get", "leases", "-o", "name").split() == []


async def test_a_second_operator_waits_and_does_nothing(operator: Operator, pod: StubPod) -> None:
    """One leads."""
    other = operator.another("operator-2")
    other.start()
    try:
        await asyncio.to_thread(wait_until, other.ready, what="a second operator")
        job = operator.ask()
        await ordered(pod)
        await upload(pod, job.uid)
        await pod.report(job.uid, stored())
        await operator.until(job.name, phase="Succeeded")
        assert other.ready()
        assert not other.leading()
        assert 1 == len(pod.orders)
    finally:
        other.stop()


async def test_a_report_that_the_api_server_will_not_take_ends_the_job_and_nothing_else(
    operator: Operator, pod: StubPod
) -> None:
    """A hostile pod reports a picture wider than any number; the operator lives on."""
    job = operator.ask(backoffLimit=0)
    other = operator.ask()
    await ordered(pod, 2)
    assert 200 == await upload(pod, job.uid)
    bad = stored()
    huge = bad.files[0].model_copy(update={"width": 2**70})
    await pod.report(job.uid, bad.model_copy(update={"files": [huge]}))
    done = await operator.until(job.name, phase="Failed")
    assert FailureReason.INTERNAL == done.status.reason
    await upload(pod, other.uid)
    await pod.report(other.uid, stored())
    await operator.until(other.name, phase="Succeeded")


async def test_pods_that_may_not_be_made_stop_nothing_else(
    operator: Operator, pod: StubPod
) -> None:
    """A quota of the namespace: jobs of the pods that are there go on."""
    quota = {
        "apiVersion": "v1",
        "kind": "ResourceQuota",
        "metadata": {"name": "tight"},
        "spec": {"hard": {"pods": "1"}},
        "status": {"hard": {"pods": "1"}, "used": {"pods": "1"}},
    }
    operator.kubectl("create", "-f", "-", stdin=yaml.safe_dump(quota))
    body = json.dumps({"status": quota["status"]})
    operator.kubectl(
        *("patch", "resourcequota", "tight", "--subresource=status", "--type=merge", "-p", body)
    )
    operator.kubectl("scale", "wp/default", "--replicas=3")
    job = operator.ask()
    await ordered(pod)
    await upload(pod, job.uid)
    await pod.report(job.uid, stored())
    await operator.until(job.name, phase="Succeeded")
    assert 1 == len(operator.pods())
