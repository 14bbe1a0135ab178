"""Faults between operator, worker, bus, store and API server, all of them real processes.

Only containers are missing: a pod here is two processes. Each test is named after its row of
docs/faults.md; "the kubelet" that restarts a dead operator is the test.
"""

import asyncio
import hashlib
import signal
import time
from typing import Any

import pytest

from apiproxy import ApiProxy
from operator_process import BODY, Operator, ordered, stored, upload
from stack import Stack
from stubpod import StubPod
from trawler_crds import subjects
from trawler_crds.media_job import MediaJob
from trawler_crds.messages import Recorded, Stage

OUTAGE = 20.0
"""Seconds: longer than a Lease and a presence, shorter than a test's patience."""


async def _all_succeed(stack: Stack, jobs: list[MediaJob], *, timeout: float = 90) -> None:
    """Each by its first attempt and one download, and nothing is left."""
    done = await stack.ended(jobs, timeout=timeout)
    assert {"Succeeded"} == {str(job.status.phase) for job in done.values()}
    assert [(1, 0)] * len(jobs) == [(j.status.attempt, j.status.failures) for j in done.values()]
    assert [1] * len(jobs) == [stack.downloads_of(job) for job in jobs]
    await stack.nothing_left()


def _slow(stack: Stack, seconds: float = 8.0, **spec: Any) -> MediaJob:
    """A download that takes so long."""
    return stack.ask(stack.seed(), size=int(seconds * 50_000), rate=50_000, **spec)


# the operator -----------------------------------------------------------------------------------


async def test_f05_the_operator_is_frozen(stack: Stack) -> None:
    """Longer than its Lease: it ends itself on waking, its next life goes on with the same
    attempt.
    """
    running, queued = _slow(stack), _slow(stack, 1.0)
    await stack.fetching(running)
    stack.operator.send(signal.SIGSTOP)
    await asyncio.sleep(16)
    stack.operator.send(signal.SIGCONT)
    await stack.until(lambda: stack.operator.died() is not None, what="an end by its own hand")
    assert 1 == stack.operator.died()
    stack.operator.start()
    await _all_succeed(stack, [running, queued])


@pytest.mark.proxied
@pytest.mark.long
@pytest.mark.timeout(180)
async def test_f05_the_watch_falls_silent(stack: Stack, proxy: ApiProxy) -> None:
    """It is noticed by our own Lease, which we renew and no longer see: /healthz says so."""
    proxy.silent = True
    took = await stack.until(
        lambda: not stack.operator.alive(), what="a failing liveness", timeout=90
    )
    assert took > 50, "a short silence must not restart anything"
    stack.operator.kill()
    job = stack.ask(stack.seed())
    proxy.silent = False
    stack.operator.start()
    await _all_succeed(stack, [job])


async def test_f06_the_leader_hangs_and_another_takes_over(stack: Stack) -> None:
    """Woken again it changes nothing more: every write is fenced, and it ends."""
    other = stack.operator.another("operator-2")
    other.start()
    try:
        await stack.until(other.ready, what="a standby that is ready")
        running = _slow(stack)
        await stack.fetching(running)
        stack.operator.send(signal.SIGSTOP)
        queued = _slow(stack, 1.0)
        took = await stack.until(other.leading, what="a take-over", timeout=40)
        assert took < 20
        stack.operator.send(signal.SIGCONT)
        await stack.until(lambda: stack.operator.died() is not None, what="its end")
        stack.operator, old = other, stack.operator
        await _all_succeed(stack, [running, queued])
        assert 1 == old.died()
    finally:
        other.stop()


async def test_f06_two_lead_at_once(stack: Stack) -> None:
    """Somebody deletes the Lease: for up to a renewal both believe that they lead, and both act."""
    first, second = stack.operator, stack.operator.another("operator-2")
    second.start()
    try:
        await stack.until(second.ready, what="a standby that is ready")
        jobs = [_slow(stack, 0.5) for _ in range(6)]
        for _ in range(3):
            stack.operator.kubectl("delete", "lease", "trawler-operator", "--ignore-not-found")
            jobs += [_slow(stack, 0.5) for _ in range(4)]
            await asyncio.sleep(2.5)
            for each in (first, second):
                if each.died() is not None:
                    each.start()
        stack.operator = await _who_leads(stack, [first, second])
        done = await stack.ended(jobs)
        assert {"Succeeded"} == {str(job.status.phase) for job in done.values()}
        assert all(0 == job.status.failures for job in done.values())
        assert all(stack.downloads_of(job) <= job.status.attempt for job in done.values())
        await stack.nothing_left()
    finally:
        second.stop()


async def _who_leads(stack: Stack, operators: list[Operator]) -> Operator:
    found: list[Operator] = []

    def one() -> bool:
        found[:] = [each for each in operators if each.leading()]
        return len(found) == 1

    await stack.until(one, what="one leader")
    return found[0]


async def test_f06_a_leader_that_leaves_is_followed_at_once(stack: Stack) -> None:
    """An upgrade: the new one stands by already."""
    other = stack.operator.another("operator-2")
    other.start()
    try:
        await stack.until(other.ready, what="a standby that is ready")
        job = _slow(stack, 4.0)
        await stack.fetching(job)
        begun = time.monotonic()
        await stack.leave()
        await stack.until(other.leading, what="a take-over", timeout=20)
        assert time.monotonic() - begun < 5
        stack.operator = other
        await _all_succeed(stack, [job])
    finally:
        other.stop()


# workers ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("container", ["worker", "fetcher"])
async def test_f07_a_container_is_killed_in_the_middle_of_a_download(
    stack: Stack, container: str
) -> None:
    """One more attempt in another pod; one failure, one object."""
    job = _slow(stack, 4.0)
    await stack.fetching(job, share=0.3)
    pod = str(stack.jobs()[job.name].status.worker)
    stack.node.pods[pod].send(signal.SIGKILL, container)
    done = (await stack.ended([job]))[job.name]
    assert ("Succeeded", 2, 1) == (done.status.phase, done.status.attempt, done.status.failures)
    assert pod != done.status.worker
    assert {file.sha256 for file in done.status.files or ()} == await stack.stored()
    await stack.nothing_left()


async def test_f08_the_worker_is_killed_in_the_middle_of_its_put(stack: Stack) -> None:
    """The store has part of a body and then a cut connection: no object comes of it."""
    job = stack.ask(stack.seed(), size=60_000_000)
    with stack.s3.frozen():
        await stack.until(lambda: Stage.STORING in stack.stages(job), what="an upload")
        await asyncio.sleep(1.0)  # as much of the body as the sockets take
        pod = str(stack.jobs()[job.name].status.worker)
        stack.node.pods[pod].send(signal.SIGKILL, "worker")
        stack.node.pods[pod].send(signal.SIGSTOP, "fetcher")
    await asyncio.sleep(1.0)
    assert set() == await stack.stored()
    done = (await stack.ended([job]))[job.name]
    assert ("Succeeded", 2) == (done.status.phase, done.status.attempt)
    assert {file.sha256 for file in done.status.files or ()} == await stack.stored()
    stack.node.pods[pod].send(signal.SIGCONT)
    await stack.nothing_left()


@pytest.mark.long
@pytest.mark.timeout(240)
async def test_f11_f12_a_pod_hangs_and_comes_back_too_late(stack: Stack) -> None:
    """As when its node is cut off: after a lease without a presence another pod fetches; what the
    lost one says on waking changes nothing.
    """
    job = _slow(stack, 4.0)
    await stack.fetching(job, share=0.3)
    pod = str(stack.jobs()[job.name].status.worker)
    begun = time.monotonic()
    stack.node.pods[pod].send(signal.SIGSTOP)
    done = (await stack.ended([job], timeout=90))[job.name]
    assert time.monotonic() - begun < 90
    assert ("Succeeded", 2, 1) == (done.status.phase, done.status.attempt, done.status.failures)
    stack.node.pods[pod].send(signal.SIGCONT)
    await stack.until(stack.node.pods[pod].ended, what="the end of the old pod")
    assert done.status == stack.jobs()[job.name].status
    await stack.nothing_left()


async def test_f42_everything_is_told_to_go_and_started_again(stack: Stack) -> None:
    """SIGTERM to operator, pods, bus and store in the middle of downloads."""
    jobs = [_slow(stack, 3.0) for _ in range(4)]
    await stack.fetching(jobs[0])
    stack.operator.kubectl("delete", "pods", "--all", "--wait=false")
    stack.bus.stop()
    stack.s3.stop()
    await stack.leave()
    await asyncio.sleep(2)
    stack.bus.start()
    stack.s3.start()
    stack.operator.start()
    done = await stack.ended(jobs)
    assert {"Succeeded"} == {str(job.status.phase) for job in done.values()}
    assert all(stack.downloads_of(job) <= job.status.attempt for job in done.values())
    await stack.nothing_left()


@pytest.mark.timeout(300)
@pytest.mark.pool(replicas=3, slotsPerPod=2)
async def test_pods_are_drained_one_after_another_in_the_middle_of_fifty_jobs(stack: Stack) -> None:
    """None lost, none stored twice: what runs is finished before its pod goes."""
    jobs = [stack.ask(stack.seed(), size=100_000, rate=100_000) for _ in range(50)]
    await stack.fetching(jobs[0])
    for pod in stack.operator.pods():
        stack.operator.kubectl("delete", "pod", pod["metadata"]["name"], "--wait=false")
        await asyncio.sleep(2)
    done = await stack.ended(jobs, timeout=120)
    assert {("Succeeded", 0)} == {(str(j.status.phase), j.status.failures) for j in done.values()}
    assert [1] * 50 == [stack.downloads_of(job) for job in jobs]
    assert 50 == len(await stack.stored())
    await stack.nothing_left()


# the bus ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGKILL])
async def test_f13_f14_the_bus_is_started_again_empty(stack: Stack, signum: int) -> None:
    """It keeps nothing, so nothing is lost with it."""
    jobs = [_slow(stack, 3.0), _slow(stack, 1.0), _slow(stack, 1.0)]
    await stack.fetching(jobs[0])
    stack.bus.stop(signum)
    stack.bus.start()
    await _all_succeed(stack, jobs)


# nats-py leaves a stream open when it tries to reconnect to who accepts and says nothing
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.timeout(240)
async def test_f15_the_bus_is_there_and_says_nothing(stack: Stack) -> None:
    """Half open: connections hold, nothing arrives. Both ends notice and come back."""
    jobs = [_slow(stack, 3.0), _slow(stack, 1.0)]
    await stack.fetching(jobs[0])
    with stack.bus.frozen():
        await asyncio.sleep(OUTAGE)
    await _all_succeed(stack, jobs)


@pytest.mark.long
@pytest.mark.timeout(300)
async def test_the_bus_is_gone_for_two_minutes(stack: Stack) -> None:
    """No healthy attempt is killed for it; who waited goes on after."""
    running, queued = _slow(stack, 3.0), [_slow(stack, 1.0) for _ in range(3)]
    await stack.fetching(running)
    stack.bus.stop()
    await asyncio.sleep(120)
    stack.bus.start()
    await _all_succeed(stack, [running, *queued])


# the store --------------------------------------------------------------------------------------


@pytest.mark.long
@pytest.mark.timeout(300)
async def test_the_store_is_gone_for_two_minutes(stack: Stack) -> None:
    """Attempts wait with what they fetched; nothing is called stored that is not."""
    jobs = [_slow(stack, 6.0) for _ in range(4)]
    await stack.fetching(jobs[0])
    stack.s3.stop()
    await asyncio.sleep(120)
    assert not {"Succeeded", "Failed"} & {str(job.status.phase) for job in stack.jobs().values()}
    stack.s3.start()
    await _all_succeed(stack, jobs)


# the API server ---------------------------------------------------------------------------------


@pytest.mark.long
@pytest.mark.timeout(300)
async def test_f17_the_api_server_is_paused_for_a_minute(stack: Stack) -> None:
    """The operator gives up its Lease and is restarted; attempts go on and are recorded after."""
    running, queued = _slow(stack, 3.0), [_slow(stack, 1.0) for _ in range(3)]
    await stack.fetching(running)
    with stack.operator.api.server.frozen():
        end = time.monotonic() + 60
        while time.monotonic() < end:
            if stack.operator.died() is not None:
                stack.operator.start()
            await asyncio.sleep(0.5)
    if stack.operator.died() is not None:
        stack.operator.start()
    await _all_succeed(stack, [running, *queued])


@pytest.mark.proxied
@pytest.mark.timeout(180)
async def test_f18_watches_break_and_their_version_is_gone(stack: Stack, proxy: ApiProxy) -> None:
    """Cut in the middle, then 410 Gone: it lists again and misses nothing."""
    for _ in range(3):
        proxy.cut_watches()
        jobs = [_slow(stack, 0.5)]
        proxy.gone = True
        await asyncio.sleep(2)
        jobs.append(_slow(stack, 0.5))
        proxy.gone = False
        await _all_succeed(stack, jobs)


@pytest.mark.proxied
async def test_f19_status_writes_meet_conflicts(stack: Stack, proxy: ApiProxy) -> None:
    """Each is decided anew on what is there now."""
    proxy.conflicts = 30
    jobs = [_slow(stack, 0.5) for _ in range(4)]
    await _all_succeed(stack, jobs)
    assert 0 == proxy.conflicts


@pytest.mark.proxied
async def test_f19_status_writes_are_done_and_their_answers_lost(
    stack: Stack, proxy: ApiProxy
) -> None:
    """Each is looked after until it is known: nobody starts twice, none more than its queue may."""
    stack.operator.declare("one-at-a-time", maxRunning=1)
    proxy.unanswered = 15
    jobs = [_slow(stack, 0.5, queue="one-at-a-time") for _ in range(3)]
    jobs += [_slow(stack, 0.5) for _ in range(3)]
    await _all_succeed(stack, jobs)
    assert 0 == proxy.unanswered


@pytest.mark.proxied
async def test_f20_the_api_server_asks_for_patience(stack: Stack, proxy: ApiProxy) -> None:
    """429 with Retry-After: no request storm meanwhile, everything done after."""
    jobs = [_slow(stack, 1.0) for _ in range(4)]
    await stack.fetching(jobs[0])
    begun = time.monotonic()
    proxy.busy_until = begun + 6  # with a renewal before and one after still within the Lease
    await asyncio.sleep(6)
    asked = sum(begun + 1 < at < begun + 6 for at in proxy.asked)
    assert asked < 5 * 10, f"{asked} requests in 5 s"
    await _all_succeed(stack, jobs)


# clocks -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("skew", ["-600", "+600"])
@pytest.mark.timeout(180)
async def test_f34_the_operators_clock_is_ten_minutes_wrong(stack: Stack, skew: str) -> None:
    """Set back or forward between two lives: no job ends early, none waits longer."""
    first = stack.ask(
        stack.seed(), attemptSeconds=60, maxQueueSeconds=60, size=300_000, rate=50_000
    )
    await stack.fetching(first)
    stack.operator.kill()
    stack.operator.start(**_faked(skew))
    second = stack.ask(stack.seed(), attemptSeconds=60, maxQueueSeconds=60)
    await _all_succeed(stack, [first, second])
    assert 2 == len(stack.jobs()), "a finished job was forgotten early"


def _faked(skew: str) -> dict[str, str]:
    """The wall clock only, as when somebody sets it; ours are monotonic ones."""
    return {
        "LD_PRELOAD": "/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1",
        "FAKETIME": f"{skew}s",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
    }


# reports ----------------------------------------------------------------------------------------


async def test_f35_a_result_is_said_a_hundred_times(operator: Operator, pod: StubPod) -> None:
    """Recorded once; the others change nothing and are counted."""
    job = operator.ask()
    await ordered(pod)
    await upload(pod, job.uid)
    subject = subjects.results(operator.namespace, pod.name, job.uid)
    answers = await asyncio.gather(
        *(pod.bus.request(subject, stored(), Recorded, timeout=10) for _ in range(100))
    )
    done = await operator.until(job.name, phase="Succeeded")
    assert 1 == sum(not answer.stale for answer in answers)
    assert 1 == operator.counted('trawler_operator_results_total{verdict="Stored"}')
    assert 99 == operator.counted('trawler_operator_results_total{verdict="stale"}')
    assert 2 == operator.counted("trawler_operator_status_writes_total")
    assert done.status == operator.job(job.name).status


async def test_f36_reports_arrive_out_of_order_and_forged(operator: Operator, pod: StubPod) -> None:
    """An older attempt, a later one, another pod's, another job's: counted, and nothing changes."""
    job, other = operator.ask(), operator.ask()
    await ordered(pod, 2)
    before = operator.job(job.name).status
    for name, uid, attempt in (
        (pod.name, job.uid, 0),
        (pod.name, job.uid, 2),
        ("default-bcdfghjk", job.uid, 1),
        (pod.name, "00000000-0000-0000-0000-000000000000", 1),
    ):
        subject = subjects.results(operator.namespace, name, uid)
        answer = await pod.bus.request(subject, stored(attempt), Recorded, timeout=10)
        assert answer.stale
    assert before == operator.job(job.name).status
    assert 4 == operator.counted('trawler_operator_results_total{verdict="stale"}')
    for each in (other, job):
        await upload(pod, each.uid)
        await pod.report(each.uid, stored())
        await operator.until(each.name, phase="Succeeded")
    digest = hashlib.sha256(BODY).hexdigest()
    assert [digest] == [file.sha256 for file in operator.job(job.name).status.files or ()]


# what people do to jobs -------------------------------------------------------------------------


@pytest.mark.parametrize("phase", ["Pending", "Queued", "Running", "Storing", "Suspended"])
async def test_f37_a_job_is_deleted_at_any_phase(stack: Stack, phase: str) -> None:
    """Within 30 s no pod works on it and nothing of it lies anywhere."""
    if phase in {"Pending", "Queued"}:
        stack.operator.declare("paused", paused=True)
    where = {"queue": "paused"} if phase == "Queued" else {}
    if phase == "Pending":
        await stack.leave()
    job = stack.ask(
        stack.seed(), size=20_000_000, rate=0 if phase == "Storing" else 200_000,
        suspend=phase == "Suspended", **where,
    )  # fmt: skip
    if phase == "Storing":
        with stack.s3.frozen():
            await stack.until(lambda: Stage.STORING in stack.stages(job), what="an upload")
            stack.operator.kubectl("delete", "mj", job.name)
    else:
        if phase == "Running":
            await stack.fetching(job)
        elif phase != "Pending":
            await stack.until(lambda: stack.phase_of(job) == phase, what=phase)
        stack.operator.kubectl("delete", "mj", job.name)
    if phase == "Pending":
        stack.operator.start()
        await stack.leading()
    begun = time.monotonic()
    await stack.until(lambda: not stack.stages(job), what="a pod that lets go", timeout=30)
    await stack.nothing_left()
    assert time.monotonic() - begun < 30
    await _all_succeed(stack, [stack.ask(stack.seed())])


async def test_f38_a_running_job_is_edited(stack: Stack) -> None:
    """What a rule forbids is refused with a sentence; priority may change; cancel is one way."""
    job = _slow(stack)
    await stack.fetching(job)
    for spec in ('"url":"http://elsewhere/a.mp4"', '"pool":"other"', '"limits":{"maxBytes":1000}'):
        refusal = stack.refused_edit(job, spec)
        assert "cannot be changed after creation" in refusal, refusal
    stack.edit(job, priority=9)
    assert "Running" == stack.phase_of(job)
    stack.edit(job, cancel=True)
    await stack.until(lambda: stack.phase_of(job) == "Cancelled", what="Cancelled")
    assert stack.refused_edit(job, '"cancel":false')
    await stack.nothing_left()
    assert "Cancelled" == stack.phase_of(job)
