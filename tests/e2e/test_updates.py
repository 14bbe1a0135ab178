"""A pool's image of its own: two that differ from the release's, one of which cannot read galleries
any more.
"""

import secrets
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from installed import SMALL, installed
from servers import wait_until
from trawler_cluster import images
from trawler_cluster.kubectl import Kubectl
from trawler_cluster.provider import Provider

pytestmark = pytest.mark.timeout(600)

BROKEN = "USER 0\nRUN rm -rf /app/lib/python3*/site-packages/gallery_dl\nUSER 10001:10000\n"
BETTER = "ENV TRAWLER_TEST_IMAGE=better\n"


def derived(name: str, lines: str) -> images.Image:
    """The worker's image with something changed."""
    worker = images.service("worker")

    def build(reference: str) -> None:
        worker.build(worker.reference)  # its layers are there
        with tempfile.TemporaryDirectory(prefix="trawler-derived-") as folder:
            (Path(folder) / "Dockerfile").write_text(f"FROM {worker.reference}\n{lines}")
            images.dockerfile(Path(folder), Path(folder))(reference)

    return images.Image(
        reference=f"{worker.reference}-{name}",
        digest=f"worker_{name}-{worker.digest}",
        build=build,
    )


def test_an_image_that_lost_an_engine_is_kept_away_and_a_good_one_is_taken(
    cluster: tuple[Provider, bool],
) -> None:
    provider, goes = cluster
    broken, better = derived("broken", BROKEN), derived("better", BETTER)
    try:
        images.load(provider, [broken, better])
    finally:  # each is as large as the worker's
        for image in (broken, better):
            image.archive.unlink(missing_ok=True)
    seed = secrets.token_hex(6)
    links = [f"http://site:8080/video/{seed}.mp4", f"http://site/gallery/{seed}"]
    listed = "{" + ",".join(links) + "}"
    values = (*SMALL, "bot.enabled=false", f"pools.default.canary.links={listed}")
    with installed(
        provider,
        namespace=f"trawler-new-{secrets.token_hex(3)}",
        crds=False,
        values=values,
        leave=goes,
    ) as found:
        kubectl = found.kubectl
        until(lambda: updated(kubectl).get("reason") == "UpToDate", "the first image")
        old = pool(kubectl)["status"]["image"]
        wish(kubectl, broken.reference)
        until(lambda: updated(kubectl).get("reason") == "CanaryFailed", "the end of the first try")
        said = updated(kubectl)["message"]
        assert f"Pods keep {old}" in said
        assert links[1] in said
        assert {old} == images_of(kubectl, "default")
        gallery = found.ended(found.ask(f"http://site/gallery/{secrets.token_hex(6)}"))
        assert "Succeeded" == gallery.status.phase

        wish(kubectl, better.reference)
        until(lambda: pool(kubectl)["status"]["image"] == better.reference, "the better image")
        until(lambda: images_of(kubectl, "default") == {better.reference}, "pods of it only")
        gallery = found.ended(found.ask(f"http://site/gallery/{secrets.token_hex(6)}"))
        assert "Succeeded" == gallery.status.phase
        until(lambda: not images_of(kubectl, "default-canary"), "no pod that tries")
        shown = kubectl.text("get", "workerpools", "default", "-o", "wide")
        assert "UpToDate" in shown


def until(condition: Callable[[], bool], what: str) -> None:
    wait_until(condition, timeout=240, what=what)


def pool(kubectl: Kubectl) -> dict[str, Any]:
    found: dict[str, Any] = kubectl.json("get", "workerpools", "default")
    return found


def updated(kubectl: Kubectl) -> dict[str, Any]:
    conditions = pool(kubectl).get("status", {}).get("conditions", [])
    return next((each for each in conditions if each["type"] == "Updated"), {})


def wish(kubectl: Kubectl, image: str) -> None:
    body = f'{{"spec": {{"image": "{image}"}}}}'
    kubectl.run("patch", "workerpools", "default", "--type=merge", "-p", body)


def images_of(kubectl: Kubectl, name: str) -> set[str]:
    pods = kubectl.json("get", "pods", "-l", f"trawler.dev/pool={name}")["items"]
    return {
        each["spec"]["containers"][0]["image"]
        for each in pods
        if "deletionTimestamp" not in each["metadata"]
    }
