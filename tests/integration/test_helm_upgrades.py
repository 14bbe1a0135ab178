"""Upgrades by Helm, and manifests applied without it, on a real API server: what is state stays."""

import base64
import json
import os
import secrets
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from apiclient import MERGE
from chart import CHART
from operator_process import API
from servers import ApiServer, wait_until
from trawler_cluster import binaries

STATE = ("secret", "persistentvolumeclaim")
WORKLOADS = ("statefulset", "deployment")
RENDERED = """
{{- $keys := dict "trawler-store" "accessKey" "trawler-bot" "key" "trawler-postgres" "password" }}
{{- range $name, $key := $keys }}
{{- $old := lookup "v1" "Secret" $.Release.Namespace $name }}
---
apiVersion: v1
kind: Secret
metadata:
  name: {{ $name }}
data:
  {{ $key }}: {{ dig "data" $key (randAlphaNum 20 | b64enc) $old }}
{{- end }}
"""
"""How Secrets were made until they were made once, by a Job: by Helm, anew unless it looks and
finds them.
"""


class Release:
    """One release in a namespace of its own. No controller runs here, so hooks are run by hand."""

    def __init__(self, api: ApiServer, folder: Path) -> None:
        self.api = api
        self.namespace = f"h-{secrets.token_hex(4)}"
        self._folder = folder
        api.kubectl("create", "namespace", self.namespace)

    def helm(self, *words: str) -> str:
        argv = [str(binaries.program("helm")), "-n", self.namespace, *words]
        done = subprocess.run(
            argv,
            capture_output=True,
            text=True,
            timeout=120,
            env={**os.environ, "KUBECONFIG": str(self.api.kubeconfig), "HOME": str(self._folder)},
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def install(self, *words: str, chart: Path = CHART) -> None:
        """Install or upgrade; the chart's Job makes secrets before anything else is there."""
        given = ("--set", "crds.install=false", *words)
        words = ("upgrade", "--install", "trawler", str(chart), *given)
        # a dry run looks things up in the cluster, as the real one does
        self.make_secrets(self.helm(*words, "--dry-run=server", "-o", "json"))
        self.helm(*words, "--no-hooks")

    def apply(self, *words: str) -> str:
        """As GitOps tools do it, and `helm template | kubectl apply`. Answers with what kubectl
        said.
        """
        given = ("--set", "crds.install=false", *words)
        rendered = self.helm("template", "trawler", str(CHART), *self._version(), *given)
        said = self.api.kubectl("-n", self.namespace, "apply", "-f", "-", stdin=rendered).stdout
        self.make_secrets(rendered)
        return said

    def _version(self) -> tuple[str, ...]:
        return ("--kube-version", binaries.KUBERNETES_VERSION)

    def make_secrets(self, rendered: str) -> None:
        """What the Job runs, as it is rendered."""
        if rendered.startswith("{"):
            found = json.loads(rendered)
            rendered = "\n---\n".join(hook["manifest"] for hook in found["hooks"])
        for doc in filter(None, yaml.safe_load_all(rendered)):
            if doc["kind"] == "Job" and doc["metadata"]["name"].startswith("trawler-secrets-"):
                (container,) = doc["spec"]["template"]["spec"]["containers"]
                subprocess.run(
                    [sys.executable, *container["command"][1:], *container["args"]],
                    check=True,
                    capture_output=True,
                    timeout=60,
                    env={
                        **os.environ,
                        "KUBECONFIG": str(self.api.kubeconfig),
                        "TRAWLER_OPERATOR_INSTALL": self.namespace,
                    },
                )

    def has(self, kind: str, name: str) -> bool:
        found = self.api.kubectl("-n", self.namespace, "get", kind, name, check=False)
        return found.returncode == 0

    def all(self, *kinds: str) -> dict[str, Any]:
        """What matters of each object: data, or spec."""
        text = self.api.kubectl("-n", self.namespace, "get", ",".join(kinds), "-o", "yaml").stdout
        return {
            f"{doc['kind']} {doc['metadata']['name']}": doc.get("data") or doc["metadata"]["uid"]
            for doc in yaml.safe_load(text)["items"]
            if not doc["metadata"]["name"].startswith("sh.helm.release")
        }

    def generations(self) -> dict[str, int]:
        """How often the wish of each workload has changed."""
        kinds = ",".join((*WORKLOADS, "validatingadmissionpolicy", "job"))
        text = self.api.kubectl("-n", self.namespace, "get", kinds, "-o", "yaml").stdout
        return {
            f"{doc['kind']} {doc['metadata']['name']}": doc["metadata"]["generation"]
            for doc in yaml.safe_load(text)["items"]
        }

    def token(self) -> str:
        return base64.b64decode(self.all("secret")["Secret trawler-discord"]["token"]).decode()


@pytest.fixture
def release(api: ApiServer, tmp_path: Path) -> Iterator[Release]:
    found = Release(api, tmp_path)
    yield found
    api.kubectl("delete", "validatingadmissionpolicy,validatingadmissionpolicybinding", "--all")


@pytest.mark.parametrize(
    "words",
    [
        ("--set", "operator.replicas=2"),
        ("--reuse-values", "--set", "operator.logLevel=DEBUG"),
        ("--reset-values",),
        ("--set", "bot.token=first,operator.replicas=2,store.size=20Gi"),
    ],
    ids=["one value", "reused values", "no value", "all values anew"],
)
def test_an_upgrade_changes_nothing_of_state(release: Release, words: tuple[str, ...]) -> None:
    """One value, without the token, removed bot, PostgreSQL, its volume, token and key."""
    release.install("--set", "bot.token=first")
    state, workloads = release.all(*STATE), release.all(*WORKLOADS)
    assert {
        *("Secret trawler-bot", "Secret trawler-discord", "Secret trawler-postgres"),
        *("Secret trawler-store", "PersistentVolumeClaim trawler-store"),
        "PersistentVolumeClaim trawler-postgres",
    } == set(state)
    release.install(*words)
    assert state == release.all(*STATE)
    assert workloads == release.all(*WORKLOADS), "the very same objects"
    assert "first" == release.token()


def test_manifests_applied_twice_change_nothing(release: Release) -> None:
    """Passwords and keys changed at each sync: `lookup` answers nothing there."""
    words = ("--set", "bot.token=first", "--set", "sandbox.enabled=true")
    release.apply(*words)
    state, pods = release.all(*STATE), release.generations()
    assert "Secret trawler-postgres" in state
    said = release.apply(*words)
    assert state == release.all(*STATE)
    assert pods == release.generations(), "no pod is replaced"
    assert "created" not in said


@pytest.mark.parametrize(
    "change", ["image.tag=v2", "operator.resources.limits.memory=1Gi", "image.pullPolicy=Always"]
)
def test_manifests_of_the_next_version_can_be_applied(release: Release, change: str) -> None:
    """Jobs cannot be changed: one that ran before is not in the way of the next."""
    words = ("--set", "bot.token=first", "--set", "sandbox.enabled=true")
    release.apply(*words)
    state = release.all(*STATE)
    release.apply(*words, "--set", change)
    assert state == release.all(*STATE)


def test_the_bot_goes_by_an_explicit_value_only_and_its_state_stays(release: Release) -> None:
    """`bot.enabled: false`; and comes back with the same token, key and database."""
    release.install("--set", "bot.token=first")
    state = release.all(*STATE)
    release.install("--set", "bot.enabled=false")
    assert "StatefulSet trawler-bot" not in release.all(*WORKLOADS)
    assert state == release.all(*STATE)
    release.install("--set", "bot.enabled=true")
    assert "StatefulSet trawler-bot" in release.all(*WORKLOADS)
    assert state == release.all(*STATE)


def test_uninstalling_keeps_what_cannot_be_had_again_and_a_new_release_finds_it(
    release: Release,
) -> None:
    """Volumes and keys fit together only as they were."""
    release.install("--set", "bot.token=first")
    state = release.all(*STATE)
    release.helm("uninstall", "trawler", "--no-hooks")
    assert {} == release.all(*WORKLOADS)
    assert state == release.all(*STATE)
    release.install()
    assert state == release.all(*STATE)
    assert "StatefulSet trawler-bot" in release.all(*WORKLOADS), "its token was kept"


def test_secrets_that_an_earlier_release_rendered_stay_as_they_are(release: Release) -> None:
    """They belong to Helm, which would remove what is not rendered any more."""
    for name, key in (("trawler-store", "accessKey"), ("trawler-bot", "key")):
        secret = {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {
                "name": name,
                "labels": {"app.kubernetes.io/managed-by": "Helm"},
                "annotations": {
                    "meta.helm.sh/release-name": "trawler",
                    "meta.helm.sh/release-namespace": release.namespace,
                },
            },
            "stringData": {key: f"old {name}"},
        }
        release.api.kubectl(
            "-n", release.namespace, "create", "-f", "-", stdin=yaml.safe_dump(secret)
        )
    release.install("--set", "bot.token=first")
    release.install("--set", "operator.replicas=2")
    release.helm("uninstall", "trawler", "--no-hooks")
    found = release.all("secret")
    assert (
        "old trawler-store" == base64.b64decode(found["Secret trawler-store"]["accessKey"]).decode()
    )
    assert "old trawler-bot" == base64.b64decode(found["Secret trawler-bot"]["key"]).decode()


def test_a_rollback_to_a_release_that_rendered_secrets_changes_nothing_of_state(
    release: Release, tmp_path: Path
) -> None:
    """And the upgrade after it finds them again."""
    earlier = shutil.copytree(CHART, tmp_path / "earlier")
    shutil.rmtree(earlier / "templates" / "secrets")
    (earlier / "templates" / "rendered.yaml").write_text(RENDERED)
    release.install("--set", "bot.token=first", chart=earlier)
    state = release.all(*STATE)
    assert {"Secret trawler-store", "Secret trawler-bot", "Secret trawler-postgres"} <= set(state)
    release.install("--set", "operator.replicas=2")
    assert state == release.all(*STATE)
    release.helm("rollback", "trawler", "1", "--no-hooks")
    assert state == release.all(*STATE)
    release.install("--set", "operator.replicas=2")
    assert state == release.all(*STATE)


def test_another_token_is_taken_and_a_token_of_the_sandbox_is_never_for_discord(
    release: Release,
) -> None:
    """The one of the box is of no use outside of it."""
    release.install("--set", "sandbox.enabled=true")
    assert release.has("secret", "trawler-discord-sandbox")
    release.install("--set", "operator.replicas=1")
    assert "StatefulSet trawler-bot" not in release.all(*WORKLOADS)
    release.install("--set", "bot.token=first")
    release.install("--set", "bot.token=second")
    assert "second" == release.token()


def test_the_bot_may_change_nothing_of_a_job_but_its_delivery_and_its_cancelling(
    release: Release,
) -> None:
    """It talks to strangers, and could have written any field of a status."""
    release.install("--set", "bot.token=first")
    namespace = release.namespace
    job = {
        "apiVersion": "trawler.dev/v1alpha1",
        "kind": "MediaJob",
        "metadata": {"name": "one"},
        "spec": {"url": "http://example.com/"},
    }
    release.api.kubectl("-n", namespace, "create", "-f", "-", stdin=yaml.safe_dump(job))
    bot = f"system:serviceaccount:{namespace}:trawler-bot"

    path = f"{API}/namespaces/{namespace}/mediajobs/one"

    def patch(body: Any) -> httpx.Response:
        where = f"{path}/status" if "status" in body else path
        return release.api.patch_as(bot, where, body)

    def condition(kind: str) -> dict[str, str]:
        time = "2027-01-15T08:00:00Z"
        return {"type": kind, "status": "True", "reason": "Shown", "lastTransitionTime": time}

    refused = [
        {"status": {"phase": "Running"}},
        {"status": {"attempt": 1000}},
        {"status": {"files": []}},
        {"status": {"conditions": [condition("Stored")]}},
        {"spec": {"priority": 9}},
        {"spec": {"suspend": True}},
        {"metadata": {"finalizers": ["example.com/stay"]}},
    ]
    # a policy takes a moment to be enforced
    attempts = iter(range(1, 1000))
    wait_until(
        lambda: not patch({"status": {"attempt": next(attempts)}}).is_success,
        what="an enforced policy",
    )
    for body in refused:
        answer = patch(body)
        assert not answer.is_success, body
        assert "the bot may" in answer.text
    for body in (
        {"status": {"delivery": {"messageId": "1"}}},
        {"status": {"conditions": [condition("Delivered")]}},
        {"spec": {"cancel": True}},
    ):
        answer = patch(body)
        assert answer.is_success, answer.text
    _may_delete_only_its_own_queues(release, bot)


def _may_delete_only_its_own_queues(release: Release, bot: str) -> None:
    labels = {"trawler.dev/managed-by": "bot"}
    for name, meta in (
        ("guild-1", {"labels": labels}),
        ("guild-2", {"labels": labels}),
        ("vip", {}),
    ):
        queue = {
            "apiVersion": "trawler.dev/v1alpha1",
            "kind": "MediaQueue",
            "metadata": {"name": name, **meta},
            "spec": {"weight": 2},
        }
        release.api.kubectl(
            "-n", release.namespace, "create", "-f", "-", stdin=yaml.safe_dump(queue)
        )
    queues = f"{API}/namespaces/{release.namespace}/mediaqueues"
    release.api.send("PATCH", f"{queues}/guild-2", {"spec": {"weight": 9}}, kind=MERGE)
    for name in ("vip", "guild-2"):
        answer = release.api.delete_as(bot, f"{queues}/{name}")
        assert "only queues that it made" in answer.text
    assert release.api.delete_as(bot, f"{queues}/guild-1").is_success
