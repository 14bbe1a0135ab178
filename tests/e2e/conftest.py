"""A cluster for the e2e shelf: a running one of ours if it fits, else one of our own."""

import contextlib
import fcntl
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from installed import SMALL, SMALL_BOT, Installed, installed
from trawler_cluster import images
from trawler_cluster.choice import choose
from trawler_cluster.cluster_config import MAIN, ClusterConfig
from trawler_cluster.kubectl import Kubectl
from trawler_cluster.provider import Provider

ROOT = Path(__file__).resolve().parents[2]
CRDS = sorted((ROOT / "crds").glob("*.yaml"))


def guard(provider: Provider) -> None:
    """Refuse every cluster that is not a throw-away one of ours."""
    context = Kubectl(provider).text("config", "current-context")
    assert context.startswith((MAIN, f"kind-{MAIN}")), f"not a cluster for tests: {context}"


def crds_equal(provider: Provider) -> bool:
    """Whether the CRDs there are those of this checkout."""
    kubectl = Kubectl(provider)
    for path in CRDS:
        wanted = yaml.safe_load(path.read_text())
        found = kubectl.run("get", "crd", wanted["metadata"]["name"], "-o", "json", check=False)
        if found.returncode != 0:
            return False
        there = yaml.safe_load(found.stdout)["spec"]
        if there["versions"] != _defaulted(wanted["spec"]["versions"], there["versions"]):
            return False
    return True


def _defaulted(wanted: Any, there: Any) -> Any:
    """What we wrote, with what the API server adds by itself."""
    if isinstance(wanted, dict) and isinstance(there, dict):
        added = {k: v for k, v in there.items() if k not in wanted and k == "deprecated"}
        return {k: _defaulted(v, there.get(k)) for k, v in wanted.items()} | added
    if isinstance(wanted, list) and isinstance(there, list) and len(wanted) == len(there):
        return [_defaulted(a, b) for a, b in zip(wanted, there, strict=True)]
    return wanted


@contextlib.contextmanager
def _users(folder: Path) -> Iterator[list[str]]:
    """Which workers of this run use the cluster; the others wait meanwhile."""
    with (folder / "users").open("a+") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        file.seek(0)
        users = file.read().split()
        yield users
        file.truncate(0)
        file.write(" ".join(users))


@contextlib.contextmanager
def _shared(provider: Provider, folder: Path, worker: str) -> Iterator[None]:
    """The first worker brings it up, with our kinds, and the last takes it down."""
    with _users(folder) as users:
        if not users:
            try:
                provider.up()
                guard(provider)
                crds = [word for path in CRDS for word in ("-f", str(path))]
                Kubectl(provider).run("apply", *crds)
                images.load(provider, images.everything())
            except BaseException:
                provider.down()
                raise
        users.append(worker)
    try:
        yield
    finally:
        with _users(folder) as users:
            users.remove(worker)
            if not users:
                provider.down()


@pytest.fixture(scope="session")
def cluster(
    tmp_path_factory: pytest.TempPathFactory, worker_id: str
) -> Iterator[tuple[Provider, bool]]:
    """A cluster with our kinds, and whether it goes away after the tests: it does where they
    brought it up.
    """
    folder = tmp_path_factory.getbasetemp()
    if worker_id != "master":
        folder = folder.parent  # of all workers
    running = choose(ClusterConfig())
    if running.healthy() and crds_equal(running):
        guard(running)
        with _users(folder):  # two that load the same image are in each other's way
            images.load(running, images.everything())
        yield running, False
        return
    mine = choose(ClusterConfig(name=f"{MAIN}-test", number=1))
    with _shared(mine, folder, worker_id):
        yield mine, True


@pytest.fixture(scope="session")
def release(cluster: tuple[Provider, bool]) -> Iterator[Installed]:
    """Trawler in a namespace of this worker's own."""
    provider, goes = cluster
    namespace = f"trawler-test-{secrets.token_hex(3)}"
    # what one test makes the site refuse is not to keep another one waiting
    values = (*SMALL, *SMALL_BOT, "operator.refusals=0")
    with installed(provider, namespace=namespace, crds=False, values=values, leave=goes) as found:
        yield found
