"""A pool that breathes, with a real API server and bus; its pods are stubs."""

import asyncio
import secrets
import time
from typing import Any

import yaml

from operating import Operator, ordered, stored, upload
from servers import wait_until
from stubpod import StubPod
from trawler_common.bus import Bus


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

    def condition() -> dict[str, Any]:
        status = operator.read("workerpools", pool).get("status", {})
        return next((c for c in status.get("conditions", []) if c["type"] == "Ready"), {})

    seen: set[str] = set()
    end = time.monotonic() + 30
    while condition().get("status") != "False":
        seen |= set(pods_of(operator, pool))
        assert time.monotonic() < end
        await asyncio.sleep(0.2)
    assert "PodsDoNotStart" == condition()["reason"]
    assert 1 <= len(seen) <= 3
