"""A pool's new image: tried by a pod of it that fetches known links, and kept away where that
fails.
"""

from typing import Any

import pytest

from stack import Stack

pytestmark = pytest.mark.timeout(240)

BROKEN, BETTER = "trawler-worker:broken", "trawler-worker:better"


def condition(stack: Stack) -> dict[str, Any]:
    status = stack.operator.read("workerpools", "default").get("status", {})
    return next((c for c in status.get("conditions", []) if c["type"] == "Updated"), {})


def image(stack: Stack) -> str:
    return str(stack.operator.read("workerpools", "default")["status"]["image"])


def images_of(stack: Stack, pool: str = "default") -> set[str]:
    return {
        pod["spec"]["containers"][0]["image"]
        for pod in stack.operator.pods()
        if pod["metadata"]["labels"]["trawler.dev/pool"] == pool
        and "deletionTimestamp" not in pod["metadata"]
    }


def pools(stack: Stack) -> set[str]:
    found = stack.operator.kubectl("get", "workerpools", "-o", "name")
    return {line.rpartition("/")[2] for line in found.split()}


def wish(stack: Stack, **spec: Any) -> None:
    stack.operator.edit("default", "workerpools", **spec)


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        ({"TRAWLER_WORKER_EGRESS_ALLOW": ""}, "BadAddress"),  # it fetches nothing
        ({"TRAWLER_WORKER_PROXY": "http://127.0.0.1:9"}, "Busy"),  # it does not even start
    ],
)
async def test_an_image_that_fails_is_kept_away_and_one_that_passes_is_taken(
    stack: Stack, fault: dict[str, str], reason: str
) -> None:
    links = [f"{stack.address}/video/{stack.seed()}.mp4", f"{stack.address}/page/{stack.seed()}"]
    wish(stack, canary={"links": links, "waitSeconds": 30})
    await stack.until(lambda: condition(stack).get("reason") == "UpToDate", what="the first image")
    old = image(stack)

    stack.node.by_image[BROKEN] = fault
    wish(stack, image=BROKEN)
    await stack.until(lambda: condition(stack).get("reason") == "Checking", what="a try")
    assert "Unknown" == condition(stack)["status"]
    await stack.until(lambda: condition(stack).get("reason") == "CanaryFailed", what="its end")
    said = condition(stack)
    assert "False" == said["status"]
    assert f"Pods keep {old}" in said["message"]
    assert any(link in said["message"] for link in links)
    assert reason in said["message"]
    assert old == image(stack)
    assert {old} == images_of(stack)
    await stack.until(lambda: {"default"} == pools(stack), what="no pool but ours")
    done = await stack.ended([stack.ask(stack.seed())])
    assert {"Succeeded"} == {str(each.status.phase) for each in done.values()}

    patient = {"links": links, "waitSeconds": 120}  # a busy machine starts a good pod late, too
    wish(stack, image=BETTER, canary=patient)
    await stack.until(lambda: image(stack) == BETTER, what="the better image", timeout=130)
    await stack.until(lambda: images_of(stack) == {BETTER}, what="pods of it")
    await stack.until(lambda: condition(stack).get("reason") == "UpToDate", what="a word")
    await stack.until(lambda: {"default"} == pools(stack), what="no pool but ours")
    done = await stack.ended([stack.ask(stack.seed())])
    assert {"Succeeded"} == {str(each.status.phase) for each in done.values()}
    events = stack.operator.kubectl("get", "events")
    assert "CanaryFailed" in events


async def test_a_try_goes_on_under_another_operator(stack: Stack) -> None:
    wish(
        stack,
        canary={"links": [f"{stack.address}/video/{stack.seed()}.mp4?bytes=400000&rate=100000"]},
    )
    await stack.until(lambda: condition(stack).get("reason") == "UpToDate", what="the first image")
    wish(stack, image=BETTER)
    await stack.until(lambda: images_of(stack, "default-canary") == {BETTER}, what="a try")
    stack.operator.kill()
    stack.operator.start()
    await stack.until(lambda: image(stack) == BETTER, what="the better image")
    names = [name for name in stack.jobs() if name.startswith("default-canary-")]
    assert 1 == len(names)
    await stack.until(lambda: {"default"} == pools(stack), what="no pool but ours")


async def test_a_wish_that_is_taken_back_ends_the_try(stack: Stack) -> None:
    wish(stack, canary={"links": [f"{stack.address}/stalled/{stack.seed()}.mp4"]})
    await stack.until(lambda: condition(stack).get("reason") == "UpToDate", what="the first image")
    old = image(stack)
    wish(stack, image=BETTER)
    await stack.until(lambda: "default-canary" in pools(stack), what="a try")
    wish(stack, image=None)
    await stack.until(lambda: {"default"} == pools(stack), what="no pool but ours")
    await stack.until(lambda: condition(stack).get("reason") == "UpToDate", what="a word")
    assert old == image(stack)


async def test_a_pool_of_that_name_that_is_somebody_elses_is_left_alone(stack: Stack) -> None:
    manifest = (
        "apiVersion: trawler.dev/v1alpha1\nkind: WorkerPool\n"
        "metadata: {name: default-canary}\nspec: {replicas: 0}\n"
    )
    stack.operator.kubectl("create", "-f", "-", stdin=manifest)
    wish(stack, canary={"links": [f"{stack.address}/video/{stack.seed()}.mp4"]})
    await stack.until(lambda: condition(stack).get("reason") == "UpToDate", what="the first image")
    wish(stack, image=BETTER)
    await stack.until(lambda: condition(stack).get("reason") == "CanaryFailed", what="a word")
    assert "another WorkerPool" in condition(stack)["message"]
    assert {"default", "default-canary"} == pools(stack)
