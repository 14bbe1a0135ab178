"""What does not go, does not start or does not let itself be written: it costs little, says so, and
delays nobody else.
"""

import asyncio
import os
import signal
import sys
from typing import Any

import pytest

from apiclient import MERGE
from apiproxy import ApiProxy
from operator_process import Operator, ordered, stored, upload
from servers import Server, wait_until
from stubpod import StubPod

SOME_TURNS = 4
"""Seconds in which the operator decides anew some twenty times."""


def _hold(operator: Operator, path: str, *finalizers: str) -> None:
    """Let somebody else's finalizer hold an object, or nobody's any more."""
    body = {"metadata": {"finalizers": list(finalizers) or None}}
    operator.api.send("PATCH", path, body, kind=MERGE)


async def _ready(operator: Operator, count: int) -> None:
    def ready() -> bool:
        return bool(operator.pool().get("status", {}).get("readyReplicas") == count)

    await asyncio.to_thread(wait_until, ready, what=f"{count} pods that answer")


@pytest.mark.proxied
async def test_a_finished_job_that_a_finalizer_holds_is_deleted_once(
    operator: Operator, pod: StubPod, proxy: ApiProxy
) -> None:
    """Its end stays, and it goes when whoever holds it lets go."""
    job = operator.ask(ttlSecondsAfterFinished=1)
    path = operator.ours("mediajobs", job.name)
    _hold(operator, path, "example.com/archive")
    await ordered(pod)
    await upload(pod, job.uid)
    await pod.report(job.uid, stored())
    await asyncio.to_thread(wait_until, lambda: path in proxy.deletions, what="its deletion")
    await asyncio.sleep(SOME_TURNS)
    assert 1 == proxy.deletions.count(path)
    assert "Succeeded" == operator.read("mediajobs", job.name)["status"]["phase"]
    _hold(operator, path)
    await asyncio.to_thread(
        wait_until,
        lambda: job.name not in {each.name for each in operator.jobs()},
        what="an object that went",
    )
    other = operator.ask()
    assert other.uid == (await ordered(pod, 2)).uid


@pytest.mark.proxied
async def test_a_pod_that_does_not_go_is_deleted_once_and_has_a_successor(
    operator: Operator, pod: StubPod, proxy: ApiProxy
) -> None:
    """Its node is lost, say: the pool is scaled to nothing and back while it is still there."""
    path = f"/api/v1/namespaces/{operator.namespace}/pods/{pod.name}"
    _hold(operator, path, "example.com/node")
    await _ready(operator, 1)
    operator.edit("default", "workerpools", replicas=0)
    await asyncio.to_thread(wait_until, lambda: path in proxy.deletions, what="its deletion")
    assert pod.draining
    pod.speaking = False
    for listening in pod.stopping:
        await listening()
    await asyncio.sleep(SOME_TURNS)
    assert 1 == proxy.deletions.count(path)
    operator.edit("default", "workerpools", replicas=1)
    await asyncio.to_thread(
        wait_until, lambda: len(operator.pods()) == 1, what="another pod beside it"
    )
    assert pod.name != operator.pods()[0]["metadata"]["name"]
    assert operator.leading()
    _hold(operator, path)


@pytest.mark.proxied
async def test_a_pod_that_may_not_be_deleted_delays_no_other_of_its_pool(
    operator: Operator, pod: StubPod, proxy: ApiProxy
) -> None:
    """Its deletion is refused and tried again, at growing pauses; the next pod is made at once."""
    path = f"/api/v1/namespaces/{operator.namespace}/pods/{pod.name}"
    proxy.protected.add(path)
    await _ready(operator, 1)
    operator.edit("default", "workerpools", replicas=0)
    await asyncio.to_thread(
        wait_until, lambda: proxy.deletions.count(path) == 3, what="a third refusal"
    )
    operator.edit("default", "workerpools", replicas=1)
    await asyncio.to_thread(
        wait_until, lambda: len(operator.pods()) == 2, what="another pod beside it"
    )
    assert 3 == proxy.deletions.count(path)


@pytest.mark.proxied
async def test_a_pool_that_others_write_all_the_time_is_scaled_and_told_all_the_same(
    operator: Operator, proxy: ApiProxy
) -> None:
    """A dozen conflicts in a row: GitOps and an HPA write the same object."""
    await asyncio.to_thread(wait_until, lambda: len(operator.pods()) == 1, what="a pod")
    proxy.pool_conflicts = 12
    operator.edit("default", "workerpools", scaling="Auto", minReplicas=2)

    def told() -> dict[str, Any]:
        return dict(operator.pool().get("status", {}))

    await asyncio.to_thread(wait_until, lambda: len(operator.pods()) == 2, what="two pods")
    await asyncio.to_thread(
        wait_until, lambda: told().get("replicas") == 2, what="a status that says so"
    )
    assert 0 == proxy.pool_conflicts
    assert 2 == operator.pool()["spec"]["replicas"]


@pytest.mark.proxied
async def test_a_new_leader_works_while_its_configured_pools_are_not_answered(
    operator: Operator, pod: StubPod, proxy: ApiProxy
) -> None:
    """A webhook hangs over WorkerPools: jobs go on in the pools as they are."""
    await _ready(operator, 1)
    operator.kill()
    proxy.pools_hang = True
    operator.start()
    wanted = operator.ask()
    assert wanted.uid == (await ordered(pod)).uid
    assert 1 == operator.said("pools_configured_later")
    await upload(pod, wanted.uid)
    await pod.report(wanted.uid, stored())
    await operator.until(wanted.name, phase="Succeeded")


async def test_an_operator_that_starts_without_a_bus_does_all_that_needs_no_pod(
    operator: Operator, pod: StubPod, bus_server: Server
) -> None:
    """It leads, admits and cancels; when the bus is there, it goes on."""
    operator.kill()
    bus_server.stop()
    operator.start()
    await asyncio.to_thread(wait_until, lambda: operator.said("leading") == 2, what="a leader")
    unwanted, wanted = operator.ask(), operator.ask()
    operator.edit(unwanted.name, cancel=True)
    await operator.until(unwanted.name, phase="Cancelled")
    assert operator.alive()
    assert operator.died() is None
    assert [] == pod.orders
    bus_server.start()
    assert wanted.uid == (await ordered(pod)).uid


@pytest.mark.proxied
async def test_an_uninstall_goes_on_past_a_pod_that_may_not_be_deleted(
    operator: Operator, proxy: ApiProxy
) -> None:
    """And comes back to it, for as long as a hook may take."""
    await asyncio.to_thread(wait_until, lambda: len(operator.pods()) == 1, what="a pod")
    operator.edit("default", "workerpools", replicas=2)
    await asyncio.to_thread(wait_until, lambda: len(operator.pods()) == 2, what="two pods")
    operator.kill(signal.SIGTERM)
    kept = min(pod["metadata"]["name"] for pod in operator.pods())
    proxy.protected.add(f"/api/v1/namespaces/{operator.namespace}/pods/{kept}")
    last = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "trawler_operator.kube.uninstall"),
        env={**os.environ, **operator._env},
    )
    await asyncio.to_thread(
        wait_until,
        lambda: [kept] == [pod["metadata"]["name"] for pod in operator.pods()],
        what="one pod less",
    )
    proxy.protected.clear()
    assert 0 == await asyncio.wait_for(last.wait(), 30)
    assert [] == operator.pods()
