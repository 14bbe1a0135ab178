"""What the rendered manifests promise, and what the schema refuses."""

import base64
import json
from typing import Any

import pytest
import yaml

from chart import CHART, pod_specs, render, template
from trawler_crds.media_job import MUTABLE, MediaJobSpec, MediaJobStatus

EVERY_KNOB = ("-f", str(CHART / "ci" / "every-knob.yaml"))
ALL_ON = ("--set", "sandbox.enabled=true")
WITHOUT_BOT = ("trawler-operator", "trawler-uninstall")
OURS = (
    *("trawler-operator", "trawler-nats", "trawler-store", "trawler-site", "trawler-uninstall"),
    "trawler-cobalt",
    *("trawler-bot", "trawler-postgres", "trawler-sandbox-discord", "trawler-secrets"),
)
SPECS = (".pools", ".bot.queue")
"""Values that are specs of our own kinds."""


def test_the_defaults_install_operator_bus_and_store_and_no_sandbox() -> None:
    """A first evening."""
    names = set(pod_specs(render()))
    assert {*WITHOUT_BOT, "trawler-nats", "trawler-store", "trawler-secrets"} == names


def test_every_knob_at_once_renders() -> None:
    """And the embedded parts stay out where they are switched off."""
    specs = pod_specs(render(*EVERY_KNOB))
    assert {*WITHOUT_BOT, "trawler-site", "trawler-bot"} == set(specs)
    operator = specs["trawler-operator"]["containers"][0]
    env = {entry["name"]: entry.get("value") for entry in operator["env"]}
    assert operator["image"] == "registry.example/trawler/trawler-operator:a"
    assert env["TRAWLER_OPERATOR_WORKER_IMAGE"] == "registry.example/trawler/trawler-worker:b"
    assert env["TRAWLER_OPERATOR_S3_ENDPOINT"] == "https://s3.example"
    assert env["TRAWLER_OPERATOR_EGRESS_ALLOW"] == "site:8080,media.internal:80"
    assert env["TRAWLER_OPERATOR_COBALT_URL"] == "https://cobalt.example:9000"
    assert env["TRAWLER_OPERATOR_COBALT_KEY_SECRET"] == "my-cobalt"
    assert '"quality":"720"' in env["TRAWLER_OPERATOR_COBALT_OPTIONS"]


def test_cobalt_runs_in_the_worker_pods_or_somewhere_else_or_not_at_all() -> None:
    """The sandbox's stand-in only where there is no other."""

    def told(*words: str) -> tuple[bool, str, str]:
        specs = pod_specs(render(*words))
        env = {
            e["name"]: e.get("value", "") for e in specs["trawler-operator"]["containers"][0]["env"]
        }
        names = ("TRAWLER_OPERATOR_COBALT_IMAGE", "TRAWLER_OPERATOR_COBALT_URL")
        return "trawler-cobalt" in specs, *(env.get(name, "") for name in names)

    image = "ghcr.io/imputnet/cobalt:11.7.1"
    assert (False, "", "") == told()
    assert (True, "", "http://cobalt:9000") == told(*ALL_ON)
    assert (False, image, "") == told(*ALL_ON, "--set", "cobalt.enabled=true")
    assert (False, "", "http://c:1") == told(*ALL_ON, "--set", "cobalt.url=http://c:1")


@pytest.mark.parametrize("name", OURS)
def test_our_pods_satisfy_pod_security_restricted(name: str) -> None:
    """Kubernetes' own list, level `restricted`; plus a read-only root."""
    spec = pod_specs(render(*ALL_ON))[name]
    assert spec["securityContext"]["runAsNonRoot"] is True
    assert spec["securityContext"]["runAsUser"] >= 10000
    assert spec["securityContext"]["seccompProfile"]["type"] == "RuntimeDefault"
    for container in [*spec["containers"], *spec.get("initContainers", [])]:
        security = container["securityContext"]
        assert security["allowPrivilegeEscalation"] is False
        assert security["readOnlyRootFilesystem"] is True
        assert security["capabilities"]["drop"] == ["ALL"]


@pytest.mark.parametrize(
    "name",
    [
        *("trawler-nats", "trawler-store", "trawler-site", "trawler-cobalt"),
        *("trawler-postgres", "trawler-sandbox-discord"),
    ],
)
def test_who_does_not_speak_to_the_api_server_has_no_token(name: str) -> None:
    """Least privilege."""
    assert pod_specs(render(*ALL_ON))[name]["automountServiceAccountToken"] is False


@pytest.mark.parametrize(
    "name",
    [
        *("trawler-operator", "trawler-nats", "trawler-store", "trawler-site", "trawler-cobalt"),
        *("trawler-bot", "trawler-postgres", "trawler-sandbox-discord"),
    ],
)
def test_every_container_has_probes_and_bounds(name: str) -> None:
    """So that a sick one is seen and a greedy one is stopped."""
    for container in pod_specs(render(*ALL_ON))[name]["containers"]:
        assert {"livenessProbe", "readinessProbe"} <= set(container)
        # for as long as the pod lives: each would be a process that the node has to start
        assert not {"exec"} & {*container["livenessProbe"], *container["readinessProbe"]}
        assert "memory" in container["resources"]["limits"]
        assert container["command"][0].startswith("/")


def _allowed(role: str) -> set[tuple[str, str, str]]:
    """(group, resource, verb) of one Role."""
    return {
        (group, resource, verb)
        for found in render(*ALL_ON)
        if found["kind"] == "Role" and found["metadata"]["name"] == role
        for rule in found["rules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }


def test_the_operator_may_do_no_more_than_it_does() -> None:
    """Pairs that must not be there."""
    allowed = _allowed("trawler-operator")
    assert not {entry for entry in allowed if "*" in entry}
    assert not {entry for entry in allowed if entry[1] in {"secrets", "pods/exec", "pods/log"}}
    assert ("trawler.dev", "mediajobs", "create") in allowed  # those that try a new image
    assert ("trawler.dev", "mediajobs", "patch") not in allowed
    assert ("", "pods", "create") in allowed
    assert not [found for found in render() if found["kind"].startswith("ClusterRole")]


def test_the_uninstall_hook_comes_last_and_may_only_end_pods_and_the_lease() -> None:
    """Its own account: the operator's is gone when it runs."""
    hooks = [doc for doc in render() if doc["metadata"]["name"].startswith("trawler-uninstall")]
    assert {"ServiceAccount", "Role", "RoleBinding", "Job"} == {doc["kind"] for doc in hooks}
    assert all(doc["metadata"]["annotations"]["helm.sh/hook"] == "post-delete" for doc in hooks)
    assert _allowed("trawler-uninstall") == {
        ("", "pods", "list"),
        ("", "pods", "delete"),
        ("coordination.k8s.io", "leases", "delete"),
        ("apps", "deployments", "get"),
    }


def test_the_bot_may_make_and_note_mediajobs_and_nothing_else() -> None:
    """It talks to strangers: no pods, no secrets, nothing deleted but queues of servers that it has
    left.
    """
    found = _allowed("trawler-bot")
    assert {group for group, _, _ in found} == {"trawler.dev"}
    ends = {entry for entry in found if entry[2] in {"delete", "deletecollection", "*"}}
    assert {("trawler.dev", "mediaqueues", "delete")} == ends


def test_every_field_of_a_status_that_is_not_the_bots_is_named_in_its_policy() -> None:
    """Roles cannot bound a patch to some fields; a new field is guarded or this fails."""
    policies = [d for d in render(*ALL_ON) if d["kind"] == "ValidatingAdmissionPolicy"]
    (policy,) = [d for d in policies if not d["metadata"]["name"].endswith("-queues")]
    said = json.dumps(policy["spec"]["validations"])
    fields = {info.alias or name for name, info in MediaJobStatus.model_fields.items()}
    mutable = {info.alias or name for name, info in MediaJobSpec.model_fields.items()} & MUTABLE
    for field in fields - {"delivery", "conditions"}:
        assert f"object.?status.?{field} == oldObject.?status.?{field}" in said
    for field in mutable - {"cancel"}:
        assert f"object.spec.?{field} == oldObject.spec.?{field}" in said
    kinds = {doc["kind"] for doc in render(*ALL_ON, "--set", "admissionPolicy.enabled=false")}
    assert not [kind for kind in kinds if kind.startswith("ValidatingAdmissionPolicy")]


def test_nothing_random_is_rendered() -> None:
    """`helm template | kubectl apply` and GitOps tools render again and again."""
    words = (*ALL_ON, "--set", "bot.token=secret")
    assert render(*words) == render(*words)
    made = [doc for doc in render(*ALL_ON) if doc["kind"] == "Secret"]
    assert [] == made, "without a token of yours there is nothing to render"


def test_what_cannot_be_had_again_outlives_the_release() -> None:
    """Volumes, the token, and the CRDs with every MediaJob of every install."""
    kinds = {"Secret", "PersistentVolumeClaim", "CustomResourceDefinition"}
    found = [d for d in render(*ALL_ON, "--set", "bot.token=secret") if d["kind"] in kinds]
    assert 6 == len(found)
    for doc in found:
        assert "keep" == doc["metadata"]["annotations"]["helm.sh/resource-policy"]


def test_every_secret_can_be_named() -> None:
    """Then none is made, and each pod mounts what was named."""
    names = {
        "bot.tokenSecret": "t",
        "bot.keySecret": "k",
        "store.credentialsSecret": "s",
        "postgres.credentialsSecret": "p",
    }
    words = [word for key, name in names.items() for word in ("--set", f"{key}={name}")]
    found = render(*words)
    assert "trawler-secrets" not in pod_specs(found)
    mounted = {
        volume["secret"]["secretName"]
        for spec in pod_specs(found).values()
        for volume in spec.get("volumes", [])
        if "secret" in volume
    }
    assert set(names.values()) == mounted


def test_the_job_that_makes_secrets_may_do_nothing_else() -> None:
    """Create: it cannot read, change or replace one."""
    assert {("", "secrets", "create")} == _allowed("trawler-secrets")
    (job,) = [d for d in render() if d["kind"] == "Job" and "secrets" in d["metadata"]["name"]]
    (other,) = [
        d
        for d in render("--set", "image.tag=next")
        if d["kind"] == "Job" and "secrets" in d["metadata"]["name"]
    ]
    assert job["metadata"]["name"] != other["metadata"]["name"], "a Job cannot be changed"


@pytest.mark.parametrize("name", OURS)
def test_every_pod_of_ours_can_pull_from_a_private_registry(name: str) -> None:
    """Workers too: their pods are the operator's to make."""
    specs = pod_specs(render(*ALL_ON, "--set", "image.pullSecrets[0].name=mine"))
    assert [{"name": "mine"}] == specs[name]["imagePullSecrets"]
    env = {e["name"]: e.get("value") for e in specs["trawler-operator"]["containers"][0]["env"]}
    assert "mine" == env["TRAWLER_OPERATOR_WORKER_PULL_SECRETS"]


def test_bot_and_operator_look_below_the_same_prefix() -> None:
    """The namespace's name, unless told otherwise."""
    for words, prefix in (((), "ns"), (("--set", "store.prefix=own"), "own")):
        specs = pod_specs(render(*ALL_ON, *words))
        for name, variable in (("trawler-operator", "OPERATOR"), ("trawler-bot", "BOT")):
            env = {e["name"]: e.get("value") for e in specs[name]["containers"][0]["env"]}
            assert prefix == env[f"TRAWLER_{variable}_S3_PREFIX"]


def test_a_bot_comes_with_a_token_or_with_the_sandbox() -> None:
    """With one of yours it speaks to Discord itself, also where the sandbox is on."""
    real = render("--set", "bot.token=secret", *ALL_ON)
    specs = pod_specs(real)
    assert "trawler-sandbox-discord" not in specs
    names = {entry["name"] for entry in specs["trawler-bot"]["containers"][0]["env"]}
    assert "TRAWLER_BOT_DISCORD_API_BASE" not in names
    (secret,) = [doc for doc in real if doc["metadata"]["name"] == "trawler-discord"]
    assert base64.b64decode(secret["data"]["token"]) == b"secret"
    boxed = pod_specs(render(*ALL_ON))["trawler-bot"]["containers"][0]
    env = {entry["name"]: entry.get("value") for entry in boxed["env"]}
    assert env["TRAWLER_BOT_DISCORD_API_BASE"] == "http://discord:8091/api/v10"
    assert "trawler-bot" not in pod_specs(render(*ALL_ON, "--set", "bot.enabled=false"))


def test_files_are_public_only_where_an_address_is_given() -> None:
    """`links.publicUrl`; the health port is never behind that Service."""
    assert not [doc for doc in render(*ALL_ON) if doc["metadata"]["name"] == "trawler-links"]
    (service,) = [
        doc
        for doc in render(*ALL_ON, "--set", "links.publicUrl=https://files.example")
        if doc["metadata"]["name"] == "trawler-links"
    ]
    assert [port["targetPort"] for port in service["spec"]["ports"]] == ["links"]


def test_two_operators_are_spread_and_never_evicted_together() -> None:
    """One leads, one stands by; with one there is nothing to protect."""
    kinds = [doc["kind"] for doc in render()]
    assert "PodDisruptionBudget" not in kinds
    two = render(*EVERY_KNOB)
    (budget,) = [doc for doc in two if doc["kind"] == "PodDisruptionBudget"]
    (deployment,) = [
        doc
        for doc in two
        if doc["metadata"]["name"] == "trawler-operator" and doc["kind"] == "Deployment"
    ]
    chosen = budget["spec"]["selector"]["matchLabels"]
    assert chosen.items() <= deployment["spec"]["template"]["metadata"]["labels"].items()
    assert deployment["spec"]["template"]["spec"]["topologySpreadConstraints"]


def test_keda_scales_the_pools_that_only_obey() -> None:
    """By the JSON of the operator; a pool that scales itself is left alone."""
    assert not [doc for doc in render() if doc["kind"] == "ScaledObject"]
    found = {
        doc["spec"]["scaleTargetRef"]["name"]: doc["spec"]
        for doc in render(*EVERY_KNOB)
        if doc["kind"] == "ScaledObject"
    }
    assert {"default", "large"} == set(found)
    assert (1, 6) == (found["large"]["minReplicaCount"], found["large"]["maxReplicaCount"])
    (trigger,) = found["large"]["triggers"]
    assert "metrics-api" == trigger["type"]
    assert "pools.large.wanted" == trigger["metadata"]["valueLocation"]
    (service,) = [
        doc
        for doc in render(*EVERY_KNOB)
        if doc["kind"] == "Service" and doc["metadata"]["name"] == "trawler-operator"
    ]
    assert (
        f"//trawler-operator.ns.svc:{service['spec']['ports'][0]['port']}/scaling"
        in (trigger["metadata"]["url"])
    )


def test_no_crash_point_is_ever_set() -> None:
    """They are compiled in."""
    assert "TRAWLER_CRASH_AT" not in json.dumps(render(*EVERY_KNOB))


def test_crds_come_with_the_release_unless_told_otherwise() -> None:
    """`crds.install`, `crds.keep`."""
    kind = "CustomResourceDefinition"
    found = [doc for doc in render("--set", "crds.keep=false") if doc["kind"] == kind]
    assert len(found) == 3
    assert not any("annotations" in doc["metadata"] for doc in found)
    assert [doc for doc in render("--set", "crds.install=false") if doc["kind"] == kind] == []


def test_the_chart_holds_no_object_of_our_own_kinds() -> None:
    """Helm resolves kinds before it creates them: the first install would fail."""
    assert not [doc for doc in render(*EVERY_KNOB) if doc["apiVersion"].startswith("trawler.dev")]


@pytest.mark.parametrize(
    ("value", "why"),
    [
        ("operator.replica=2", "replica"),
        ("operator.replicas=6", "replicas"),
        ("egress.allow={site}", "allow"),
        ("pools.default.slots=2", "slots"),
        ("pools.default.replicas=-1", "replicas"),
        ("pools.default.scaling=Magic", "scaling"),
        ("telemetry.otlpEndpoint=collector", "otlpEndpoint"),
        ("unknown=1", "unknown"),
        ("store.size=lots", "size"),
        ("image.pullPolicy=Sometimes", "pullPolicy"),
        ("bot.queue.wait=2", "wait"),
        ("bot.allowedGuilds={mine}", "allowedGuilds"),
        ("links.publicUrl=files.example", "publicUrl"),
        ("store.prefix=a/b", "prefix"),
    ],
)
def test_a_wrong_value_is_refused_by_the_schema(value: str, why: str) -> None:
    """And named."""
    done = template("--set", value)
    assert done.returncode != 0
    assert why in done.stderr


@pytest.mark.parametrize(
    ("values", "why"),
    [
        (("nats.embedded=false",), "nats.url is needed"),
        (("store.embedded=false",), "store.endpoint is needed"),
        (
            ("store.embedded=false", "store.endpoint=http://s3:1"),
            "store.credentialsSecret is needed",
        ),
        (("bot.token=t", "postgres.embedded=false"), "postgres.external.url"),
        (("bot.token=t", "bot.replicas=2"), "must not be more than bot.shards"),
        (("pools.default.minReplicas=20",), "minReplicas must not be more than maxReplicas"),
    ],
)
def test_what_is_switched_off_must_be_named(values: tuple[str, ...], why: str) -> None:
    """One sentence instead of a pod that crashes."""
    done = template(*(word for value in values for word in ("--set", value)))
    assert done.returncode != 0
    assert why in done.stderr


def _leaves(node: Any, path: str = "") -> set[str]:
    if isinstance(node, dict) and node and not path.startswith(SPECS):
        return {leaf for key, child in node.items() for leaf in _leaves(child, f"{path}.{key}")}
    return {path}


def _schema_leaves(node: dict[str, Any], path: str = "") -> set[str]:
    if "properties" not in node or path.startswith(SPECS):
        return {path}
    return {
        leaf
        for key, child in node["properties"].items()
        for leaf in _schema_leaves(child, f"{path}.{key}")
    }


def test_values_and_schema_agree() -> None:
    """Every value is in the schema, every entry of the schema has a default."""
    values = _leaves(yaml.safe_load((CHART / "values.yaml").read_text()))
    schema = _schema_leaves(json.loads((CHART / "values.schema.json").read_text()))
    inner = {leaf for leaf in values if ".resources" in leaf}
    assert values - inner == {s for s in schema if ".resources" not in s} - {".global"}


def test_every_value_has_a_comment() -> None:
    """Above it, or above the group it opens."""
    lines = (CHART / "values.yaml").read_text().splitlines()
    commented = [n for n, line in enumerate(lines) if line.strip().startswith("#")]
    tops = [n for n, line in enumerate(lines) if line and not line.startswith((" ", "#"))]
    for start, stop in zip(tops, [*tops[1:], len(lines)], strict=True):
        near = range(start - 2, stop)
        assert any(n in near for n in commented), lines[start]
