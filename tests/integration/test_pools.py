"""A pool that breathes, with a real API server and bus; its pods are stubs."""

import asyncio
import secrets
import time
from typing import Any

import pytest
import yaml

from apiclient import MERGE
from apiproxy import ApiProxy
from operator_process import Operator, ordered, stored, upload
from servers import wait_until
from stubpod import StubPod
from trawler_common.bus import Bus
from trawler_crds.keys import LABEL_CONFIGURED


def make_pool(operator: Operator, **spec: Any) -> str:
    name = f"pool-{secrets.token_hex(3)}"
    pool = {
        "apiVersion": "trawler.dev/v1alpha1",
        "kind": "WorkerPool",
        "metadata": {"name": name},
        "spec": {"scaling": "Auto", "replicas": 0, **spec},
    }
    operator.kubectl("create", "-f", "-", stdin=yaml.safe_dump(pool))
    return name


def pods_of(operator: Operator, pool: str) -> list[str]:
    return [
        pod["metadata"]["name"]
        for pod in operator.pods()
        if pod["metadata"]["labels"]["trawler.dev/pool"] == pool
    ]


def condition(operator: Operator, pool: str, kind: str) -> dict[str, Any]:
    """One condition of a pool; empty where there is none yet."""
    status = operator.read("workerpools", pool).get("status", {})
    return next((c for c in status.get("conditions", []) if c["type"] == kind), {})


def replicas(operator: Operator, pool: str) -> int:
    return int(operator.read("workerpools", pool)["spec"]["replicas"])


async def says(operator: Operator, pool: str, number: int) -> None:
    """Pool and pod are written side by side: either may be seen first."""
    await asyncio.to_thread(
        wait_until, lambda: replicas(operator, pool) == number, what=f"{number} replicas"
    )


async def test_a_pool_grows_from_nothing_for_a_job_and_lets_its_pod_go_afterwards(
    operator: Operator, nats_url: str, tasks: asyncio.TaskGroup
) -> None:
    """Told, drained, deleted; and `spec.replicas` says so at each step."""
    pool = make_pool(operator, idleSeconds=1)
    job = operator.ask(pool=pool)
    await asyncio.to_thread(wait_until, lambda: len(pods_of(operator, pool)) == 1, what="a pod")
    await says(operator, pool, 1)
    name = pods_of(operator, pool)[0]
    operator.run_pod(name)
    bus = await Bus.connect(nats_url, name=name, tasks=tasks)
    pod = await StubPod.start(bus, tasks, operator.namespace, name)
    assert job.uid == (await ordered(pod)).uid
    await upload(pod, job.uid)
    await pod.report(job.uid, stored())
    await operator.until(job.name, phase="Succeeded")
    await asyncio.to_thread(wait_until, lambda: pods_of(operator, pool) == [], what="no pod")
    assert pod.draining
    await says(operator, pool, 0)
    await bus.close()


async def test_a_pool_whose_pods_do_not_start_says_so_and_makes_no_storm(
    operator: Operator,
) -> None:
    """No kubelet is here: no pod ever speaks."""
    pool = make_pool(operator, startSeconds=1)
    operator.ask(pool=pool)

    seen: set[str] = set()
    end = time.monotonic() + 30
    while condition(operator, pool, "Ready").get("status") != "False":
        seen |= set(pods_of(operator, pool))
        assert time.monotonic() < end
        await asyncio.sleep(0.2)
    assert "PodsDoNotStart" == condition(operator, pool, "Ready")["reason"]
    assert 1 <= len(seen) <= 3


def _fill_quota(operator: Operator) -> None:
    """No pod more than there is; who counts that on a cluster is not here, so we say it."""
    operator.kubectl("create", "quota", "full", "--hard=pods=1")
    path = f"/api/v1/namespaces/{operator.namespace}/resourcequotas/full/status"
    status = {"hard": {"pods": "1"}, "used": {"pods": "1"}}
    operator.api.send("PATCH", path, {"status": status}, kind=MERGE)
    words = ("-n", operator.namespace, "run", "probe", "--image=none", "--dry-run=server")
    wait_until(
        lambda: "exceeded quota" in operator.api.kubectl(*words, check=False).stderr,
        what="a quota that is heeded",
    )


@pytest.mark.proxied
async def test_a_full_quota_is_told_once_and_asked_ever_more_slowly(
    operator: Operator, pod: StubPod, proxy: ApiProxy
) -> None:
    """A refused POST each second, for ever, was what people met elsewhere."""
    job = operator.ask()
    await ordered(pod)
    await upload(pod, job.uid)
    await pod.report(job.uid, stored())
    await operator.until(job.name, phase="Succeeded")  # so pods of this pool do work
    await asyncio.to_thread(_fill_quota, operator)
    path = f"/api/v1/namespaces/{operator.namespace}/pods"

    def asked() -> list[float]:
        return [at for at, where in proxy.creations if where == path]

    before = len(asked())
    operator.edit("default", "workerpools", replicas=6)
    await asyncio.to_thread(wait_until, lambda: len(asked()) == before + 3, what="a third try")
    first, second, third = asked()[before:]
    assert second - first > 4
    assert third - second > 8
    found = condition(operator, "default", "PodsStart")
    assert ("False", "PodsRefused") == (found["status"], found["reason"])
    assert "exceeded quota" in found["message"]
    assert "True" == condition(operator, "default", "Ready")["status"], "one pod works"
    assert 1 == operator.kubectl("get", "events").count("PodsRefused")


async def test_a_pool_whose_pod_finds_no_room_says_so_in_the_schedulers_words(
    operator: Operator,
) -> None:
    """It is waited for: another in its place would wait behind it."""
    await asyncio.to_thread(wait_until, lambda: len(operator.pods()) == 1, what="a pod")
    name = operator.pods()[0]["metadata"]["name"]
    why = "0/1 nodes are available: 1 Insufficient cpu."
    said = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": why}
    path = f"/api/v1/namespaces/{operator.namespace}/pods/{name}/status"
    operator.api.send("PATCH", path, {"status": {"conditions": [said]}}, kind=MERGE)
    await asyncio.to_thread(
        wait_until,
        lambda: why in condition(operator, "default", "Ready").get("message", ""),
        what="a condition that says why",
    )
    found = condition(operator, "default", "Ready")
    assert ("False", "Unschedulable") == (found["status"], found["reason"])
    assert name == operator.pods()[0]["metadata"]["name"]


@pytest.mark.proxied
async def test_pods_that_are_not_wanted_any_more_are_not_made(
    operator: Operator, proxy: ApiProxy
) -> None:
    """Whoever scaled up by mistake, and back at once, got all of them first."""
    proxy.late_pods = 1.0
    pool = make_pool(operator, scaling="Manual")
    operator.edit(pool, "workerpools", replicas=30)
    await asyncio.to_thread(wait_until, lambda: len(pods_of(operator, pool)) >= 2, what="two pods")
    operator.edit(pool, "workerpools", replicas=0)
    await asyncio.to_thread(wait_until, lambda: pods_of(operator, pool) == [], what="no pod")
    path = f"/api/v1/namespaces/{operator.namespace}/pods"
    made = sum(where == path for _, where in proxy.creations)
    await asyncio.sleep(5)  # one would be made each second
    assert sum(where == path for _, where in proxy.creations) <= made + 1


@pytest.mark.proxied
async def test_a_pool_that_is_not_configured_any_more_is_removed_when_that_may_be(
    operator: Operator, proxy: ApiProxy
) -> None:
    """It stayed until the next leader, and nothing said so."""
    name = make_pool(operator)
    operator.kubectl("label", "workerpool", name, f"{LABEL_CONFIGURED}=true")
    operator.kill()
    path = operator.ours("workerpools", name)
    proxy.protected.add(path)
    operator.start()
    await asyncio.to_thread(
        wait_until, lambda: proxy.deletions.count(path) == 2, what="a second refusal"
    )
    await asyncio.to_thread(
        wait_until,
        lambda: "cannot be removed" in condition(operator, name, "Configured").get("message", ""),
        what="a condition that says why",
    )
    proxy.protected.clear()
    await asyncio.to_thread(
        wait_until,
        lambda: name not in {p["metadata"]["name"] for p in operator.all("workerpools")},
        what="a pool less",
    )
