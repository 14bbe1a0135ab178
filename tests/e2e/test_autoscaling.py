"""A pool of scaling Manual and a real HorizontalPodAutoscaler on processor time."""

import secrets
import time
from collections.abc import Iterator

import pytest
import yaml

from installed import Installed
from trawler_cluster import images
from trawler_cluster.kubectl import Kubectl
from trawler_cluster.native import addons

pytestmark = pytest.mark.timeout(480)

MOST = 3
HPA = {
    "apiVersion": "autoscaling/v2",
    "kind": "HorizontalPodAutoscaler",
    "metadata": {"name": "default"},
    "spec": {
        "scaleTargetRef": {
            "apiVersion": "trawler.dev/v1alpha1",
            "kind": "WorkerPool",
            "name": "default",
        },
        "minReplicas": 1,
        "maxReplicas": MOST,
        "metrics": [
            {
                "type": "Resource",
                "resource": {
                    "name": "cpu",
                    # 40 % of what a pod asks for by default
                    "target": {"type": "AverageValue", "averageValue": "60m"},
                },
            }
        ],
        # by default an HPA waits for five minutes before it lets pods go
        "behavior": {"scaleDown": {"stabilizationWindowSeconds": 0}},
    },
}


@pytest.fixture
def hpa(release: Installed) -> Iterator[None]:
    """An HPA on the default pool, and metrics-server, which it asks."""
    provider = release.kubectl.provider
    images.load(provider, [images.METRICS_SERVER])
    system = Kubectl(provider, "kube-system")
    manifests = yaml.safe_dump_all(addons.metrics_server())
    try:
        system.run("apply", "-f", "-", stdin=manifests)
        service = "apiservice/v1beta1.metrics.k8s.io"
        system.run("wait", "--for=condition=Available", service, "--timeout=90s")
        release.kubectl.run("create", "-f", "-", stdin=yaml.safe_dump(HPA))
        yield
    finally:  # while an APIService has nobody behind it, no namespace can be deleted
        system.run("delete", "-f", "-", "--ignore-not-found", stdin=manifests)
        release.kubectl.run("delete", "hpa", "default", "--ignore-not-found")
        release.kubectl.run("scale", "wp/default", "--replicas=1")
        release.wait_for_workers(1, timeout=120)


@pytest.mark.usefixtures("hpa")
def test_an_hpa_on_processor_time_scales_a_pool_up_and_down_and_nothing_is_lost(
    release: Installed,
) -> None:
    """From one pod to three while there is work, and back to one."""
    asked: list[str] = []

    def work(more: int) -> None:
        for _ in range(more):
            url = f"http://site:8080/page/{secrets.token_hex(6)}?bytes=200000"
            asked.append(release.ask(url, engines=["YtDlp"]))

    end = time.monotonic() + 240
    while len(release.workers()) < MOST:
        assert time.monotonic() < end, release.report()
        work(max(0, 12 - release.unfinished()))
        time.sleep(0.5)
    assert MOST == release.pool()["spec"]["replicas"]
    assert "trawler.dev/pool=default" == release.pool()["status"]["selector"]
    while len(release.workers()) > 1 or release.pool()["spec"]["replicas"] > 1:
        assert time.monotonic() < end, release.report()
        time.sleep(0.5)
    found = [release.ended(name) for name in asked]
    assert {"Succeeded"} == {str(job.status.phase) for job in found}
    assert {1} == {job.status.attempt for job in found}
