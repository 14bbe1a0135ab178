"""A pool's wish as a pod manifest."""

from dataclasses import replace
from typing import Any

import pytest

from objects import pool
from trawler_operator.planning import pod_manifest

SETTINGS = pod_manifest.PodSettings(
    install="ns",
    image="img:1",
    pull_policy="IfNotPresent",
    pull_secrets=("mine",),
    nats_url="nats://n",
    egress_allow="site:8080",
    egress_proxy="",
    otlp_endpoint="",
    log_level="INFO",
)


def build(**spec: Any) -> dict[str, Any]:
    return pod_manifest.make(pool(**spec), name="default-abc", settings=SETTINGS)


def test_worker_pods_satisfy_pod_security_restricted() -> None:
    """Every container: no escalation, no capability, not root, seccomp, read-only root."""
    spec = build()["spec"]
    assert spec["securityContext"]["runAsNonRoot"] is True
    assert "RuntimeDefault" == spec["securityContext"]["seccompProfile"]["type"]
    for container in spec["containers"]:
        security = container["securityContext"]
        assert security["allowPrivilegeEscalation"] is False
        assert security["readOnlyRootFilesystem"] is True
        assert ["ALL"] == security["capabilities"]["drop"]


def test_the_fetcher_holds_nothing_worth_stealing() -> None:
    """Another user, no token, no address of the bus, no secret."""
    spec = build()["spec"]
    agent, fetcher = spec["containers"]
    assert spec["automountServiceAccountToken"] is False
    assert agent["securityContext"]["runAsUser"] != fetcher["securityContext"]["runAsUser"]
    assert not any("NATS" in entry["name"] for entry in fetcher["env"])
    assert all({"emptyDir", "name"} == set(volume) for volume in spec["volumes"])
    mounts = {mount["name"]: mount for mount in agent["volumeMounts"]}
    assert mounts["scratch"]["readOnly"] is True


def test_cobalt_runs_beside_the_workers_where_its_links_work() -> None:
    """A sidecar that listens to its own pod alone, without a right, and goes with it; the fetcher
    knows where.
    """
    settings = replace(
        SETTINGS, cobalt=pod_manifest.CobaltPod(image="cobalt:11", options={"picker": "First"})
    )
    spec = pod_manifest.make(pool(), name="default-abc", settings=settings)["spec"]
    (cobalt,) = spec["initContainers"]
    env = {entry["name"]: entry["value"] for entry in cobalt["env"]}
    assert "Always" == cobalt["restartPolicy"]
    assert "127.0.0.1" == env["API_LISTEN_ADDRESS"]
    assert env["API_URL"].startswith(pod_manifest.COBALT_AT)
    security = cobalt["securityContext"]
    assert security["readOnlyRootFilesystem"]
    assert not security["allowPrivilegeEscalation"]
    assert ["ALL"] == security["capabilities"]["drop"]
    told = {entry["name"]: entry["value"] for entry in spec["containers"][1]["env"]}
    assert pod_manifest.COBALT_AT == told["TRAWLER_WORKER_COBALT_URL"]
    assert "First" == told["TRAWLER_WORKER_COBALT_PICKER"]
    assert "initContainers" not in build()["spec"]


def test_only_the_key_of_somebody_elses_cobalt_is_ever_mounted() -> None:
    settings = replace(
        SETTINGS, cobalt=pod_manifest.CobaltPod(url="https://c:9000", key_secret="mine")
    )
    spec = pod_manifest.make(pool(), name="default-abc", settings=settings)["spec"]
    agent, fetcher = spec["containers"]
    assert "cobalt" in {mount["name"] for mount in fetcher["volumeMounts"]}
    assert "cobalt" not in {mount["name"] for mount in agent["volumeMounts"]}
    told = {entry["name"]: entry["value"] for entry in fetcher["env"]}
    assert "/etc/trawler/cobalt/key" == told["TRAWLER_WORKER_COBALT_KEY"]


def test_the_grace_is_the_pools_own_and_not_its_longest_attempt() -> None:
    """A node is not kept from being drained for an hour; what is not done by then is handed
    back.
    """
    mine = build(maxAttemptSeconds=86400, terminationGracePeriodSeconds=90)["spec"]
    assert 90 == mine["terminationGracePeriodSeconds"]
    grace = {e["name"]: e["value"] for e in mine["containers"][0]["env"]}["TRAWLER_WORKER_GRACE"]
    assert "90" == grace


def test_a_signal_is_heard_before_python_is_up() -> None:
    """As PID 1 it is deaf until it has handlers: 1 of 8 pods told to go at their start stayed for
    an hour.
    """
    for container in build()["spec"]["containers"]:
        assert "exec /usr/bin/tini" in container["command"][2]
        assert ["/app/bin/python", "-m"] == container["command"][4:6]


def test_worker_pods_can_pull_from_a_private_registry() -> None:
    """As all other pods can."""
    assert [{"name": "mine"}] == build()["spec"]["imagePullSecrets"]


def test_one_amount_of_a_container_changes_no_other() -> None:
    """A smaller request of the processor silently dropped the limit of memory."""
    fetcher = build(resources={"fetcher": {"requests": {"cpu": "20m"}}})["spec"]["containers"][1]
    disk = {"ephemeral-storage": str(4 * 2**30 + 256 * 2**20)}
    assert {
        "requests": {"cpu": "20m", "memory": "256Mi", **disk},
        "limits": {"memory": "1536Mi", **disk},
    } == fetcher["resources"]


def test_a_node_needs_room_for_the_scratch_of_a_pod_unless_the_pool_says_otherwise() -> None:
    """Else a full disk of a node would evict whom it likes."""
    resources = {"fetcher": {"requests": {"ephemeral-storage": "1Gi"}}}
    fetcher = build(resources=resources, scratch="8Gi")["spec"]["containers"][1]
    env = {each["name"]: each["value"] for each in fetcher["env"]}
    assert "1Gi" == fetcher["resources"]["requests"]["ephemeral-storage"]
    assert str(8 * 2**30 + 256 * 2**20) == fetcher["resources"]["limits"]["ephemeral-storage"]
    assert str(8 * 2**30 * 95 // 100) == env["TRAWLER_WORKER_SCRATCH_BYTES"]


def test_the_pod_is_owned_by_its_pool_and_not_restarted() -> None:
    """Deleting the pool takes its pods along; a name is never used twice."""
    manifest = build()
    assert "pool-default" == manifest["metadata"]["ownerReferences"][0]["uid"]
    assert "Never" == manifest["spec"]["restartPolicy"]


def test_the_template_changes_with_the_pod_and_not_with_its_name_or_replicas() -> None:
    """Else every scaling would replace every pod."""
    same = pod_manifest.template(pool(replicas=5), SETTINGS)
    assert same == pod_manifest.template(pool(replicas=1), SETTINGS)
    assert same != pod_manifest.template(pool(slotsPerPod=5), SETTINGS)
    key = "trawler.dev/template"
    assert same == build()["metadata"]["annotations"][key]


@pytest.mark.parametrize(
    ("text", "size"),
    [("512Mi", 512 * 2**20), ("1G", 10**9), ("1.5Gi", 3 * 2**29), ("77", 77), ("1500m", 2)],
)
def test_quantities_become_bytes(text: str, size: int) -> None:
    """As Kubernetes reads them."""
    assert size == pod_manifest.to_bytes(text)
