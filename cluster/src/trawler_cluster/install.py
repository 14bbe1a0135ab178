"""Install Trawler from this checkout into a local cluster."""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

import yaml

from trawler_cluster import cluster_config, images, shell
from trawler_cluster.kubectl import Kubectl
from trawler_cluster.provider import Provider

CHART: Final = cluster_config.REPOSITORY / "charts" / "trawler"


@dataclass(frozen=True, kw_only=True)
class Release:
    """One Helm release of Trawler."""

    name: str = "trawler"
    namespace: str = "trawler"
    values: tuple[str, ...] = ()
    """Additional values for `--set`."""
    sandbox: bool = True
    chart: Path | None = None
    """A chart other than that of this checkout."""


def values(release: Release) -> list[str]:
    """The `--set` arguments of `helm upgrade --install`."""
    known = yaml.safe_load(((release.chart or CHART) / "values.yaml").read_text())["image"]["tags"]
    found = [
        f"image.tags.{name}={images.service(name).reference.rpartition(':')[2]}"
        for name in images.SERVICES
        if name in known
    ]
    if release.sandbox:
        found += ["sandbox.enabled=true", "egress.allow={site:8080,site:80,discord:8091}"]
    return [word for value in (*found, *release.values) for word in ("--set", value)]


def install(provider: Provider, release: Release) -> Kubectl:
    """Build and load the images, install or upgrade the release, and wait until everything is
    ready.
    """
    images.load(provider, images.everything())
    kubectl = Kubectl(provider, release.namespace)
    ensure_namespace(kubectl)
    adopt_kinds(kubectl, release)
    with shell.timed(f"Installing {release.name} in namespace {release.namespace}"):
        kubectl.helm(
            *(
                "upgrade",
                "--install",
                release.name,
                str(release.chart or CHART),
            ),
            *values(release),
            *("--wait", "--timeout", "180s"),
        )
    return kubectl


def adopt_kinds(kubectl: Kubectl, release: Release) -> None:
    """Take over the CRDs of a release whose namespace is gone. CRDs outlive their release, and Helm
    leaves objects alone that are annotated as another release's.
    """
    for path in sorted((CHART / "files" / "crds").glob("*.yaml")):
        name = yaml.safe_load(path.read_text())["metadata"]["name"]
        where = "{.metadata.annotations.meta\\.helm\\.sh/release-namespace}"
        found = kubectl.run("get", "crd", name, "-o", f"jsonpath={where}", check=False)
        owner = found.stdout.strip()
        if found.returncode or owner in {"", release.namespace}:
            continue
        if kubectl.run("get", "namespace", owner, check=False).returncode:
            kubectl.run(
                *("annotate", "--overwrite", "crd", name),
                f"meta.helm.sh/release-name={release.name}",
                f"meta.helm.sh/release-namespace={release.namespace}",
            )


def ensure_namespace(kubectl: Kubectl) -> None:
    """Create the namespace, in which only pods that satisfy Pod Security `restricted` may run."""
    kubectl.run("create", "namespace", kubectl.namespace, check=False)
    kubectl.run(
        *("label", "--overwrite", "namespace", kubectl.namespace),
        "pod-security.kubernetes.io/enforce=restricted",
    )
