"""A pool's new image: tried by a pod of it that fetches known links, and kept away where that fails."""

from typing import Any

import pytest

from rig import Rig

pytestmark = pytest.mark.timeout(240)

BROKEN, BETTER = "trawler-worker:broken", "trawler-worker:better"


def condition(rig: Rig) -> dict[str, Any]:
    status = rig.operator.read("workerpools", "default").get("status", {})
    return next((c for c in status.get("conditions", []) if c["type"] == "Updated"), {})


def image(rig: Rig) -> str:
    return str(rig.operator.read("workerpools", "default")["status"]["image"])


def images_of(rig: Rig, pool: str = "default") -> set[str]:
    return {
        pod["spec"]["containers"][0]["image"]
        for pod in rig.operator.pods()
        if pod["metadata"]["labels"]["trawler.dev/pool"] == pool
        and "deletionTimestamp" not in pod["metadata"]
    }


def pools(rig: Rig) -> set[str]:
    found = rig.operator.kubectl("get", "workerpools", "-o", "name")
    return {line.rpartition("/")[2] for line in found.split()}


def wish(rig: Rig, **spec: Any) -> None:
    rig.operator.edit("default", "workerpools", **spec)


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        ({"TRAWLER_WORKER_EGRESS_ALLOW": ""}, "BadAddress"),  # it fetches nothing
        ({"TRAWLER_WORKER_PROXY": "http://127.0.0.1:9"}, "Busy"),  # it does not even start
    ],
)
async def test_an_image_that_fails_is_kept_away_and_one_that_passes_is_taken(
    rig: Rig, fault: dict[str, str], reason: str
) -> None:
    links = [f"{rig.address}/video/{rig.seed()}.mp4", f"{rig.address}/page/{rig.seed()}"]
    wish(rig, canary={"links": links, "waitSeconds": 30})
    await rig.until(lambda: condition(rig).get("reason") == "UpToDate", what="the first image")
    old = image(rig)

    rig.node.by_image[BROKEN] = fault
    wish(rig, image=BROKEN)
    await rig.until(lambda: condition(rig).get("reason") == "Checking", what="a try")
    assert "Unknown" == condition(rig)["status"]
    await rig.until(lambda: condition(rig).get("reason") == "CanaryFailed", what="its end")
    said = condition(rig)
    assert "False" == said["status"]
    assert f"Pods keep {old}" in said["message"]
    assert any(link in said["message"] for link in links)
    assert reason in said["message"]
    assert old == image(rig)
    assert {old} == images_of(rig)
    await rig.until(lambda: {"default"} == pools(rig), what="no pool but ours")
    done = await rig.ended([rig.ask(rig.seed())])
    assert {"Succeeded"} == {str(each.status.phase) for each in done.values()}

    wish(rig, image=BETTER)
    await rig.until(lambda: image(rig) == BETTER, what="the better image")
    await rig.until(lambda: images_of(rig) == {BETTER}, what="pods of it")
    await rig.until(lambda: condition(rig).get("reason") == "UpToDate", what="a word")
    await rig.until(lambda: {"default"} == pools(rig), what="no pool but ours")
    done = await rig.ended([rig.ask(rig.seed())])
    assert {"Succeeded"} == {str(each.status.phase) for each in done.values()}
    events = rig.operator.kubectl("get", "events")
    assert "CanaryFailed" in events


async def test_a_try_goes_on_under_another_operator(rig: Rig) -> None:
    wish(rig, canary={"links": [f"{rig.address}/video/{rig.seed()}.mp4?bytes=400000&rate=100000"]})
    await rig.until(lambda: condition(rig).get("reason") == "UpToDate", what="the first image")
    wish(rig, image=BETTER)
    await rig.until(lambda: images_of(rig, "default-canary") == {BETTER}, what="a try")
    rig.operator.kill()
    rig.operator.start()
    await rig.until(lambda: image(rig) == BETTER, what="the better image")
    names = [name for name in rig.jobs() if name.startswith("default-canary-")]
    assert 1 == len(names)
    await rig.until(lambda: {"default"} == pools(rig), what="no pool but ours")


async def test_a_wish_that_is_taken_back_ends_the_try(rig: Rig) -> None:
    wish(rig, canary={"links": [f"{rig.address}/stalled/{rig.seed()}.mp4"]})
    await rig.until(lambda: condition(rig).get("reason") == "UpToDate", what="the first image")
    old = image(rig)
    wish(rig, image=BETTER)
    await rig.until(lambda: "default-canary" in pools(rig), what="a try")
    wish(rig, image=None)
    await rig.until(lambda: {"default"} == pools(rig), what="no pool but ours")
    await rig.until(lambda: condition(rig).get("reason") == "UpToDate", what="a word")
    assert old == image(rig)


async def test_a_pool_of_that_name_that_is_somebody_elses_is_left_alone(rig: Rig) -> None:
    manifest = (
        "apiVersion: trawler.dev/v1alpha1\nkind: WorkerPool\n"
        "metadata: {name: default-canary}\nspec: {replicas: 0}\n"
    )
    rig.operator.kubectl("create", "-f", "-", stdin=manifest)
    wish(rig, canary={"links": [f"{rig.address}/video/{rig.seed()}.mp4"]})
    await rig.until(lambda: condition(rig).get("reason") == "UpToDate", what="the first image")
    wish(rig, image=BETTER)
    await rig.until(lambda: condition(rig).get("reason") == "CanaryFailed", what="a word")
    assert "another WorkerPool" in condition(rig)["message"]
    assert {"default", "default-canary"} == pools(rig)
