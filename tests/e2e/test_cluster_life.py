"""A whole life on a cluster of its own: up, install, uninstall with a busy worker, repair, down."""

import contextlib
import os
import secrets
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from installed import Installed
from trawler_cluster import install
from trawler_cluster.choice import choose
from trawler_cluster.cluster_config import MAIN, ClusterConfig
from trawler_cluster.kubectl import Kubectl
from trawler_cluster.native import Native, cgroups, network, teardown

pytestmark = pytest.mark.timeout(600)

PLAN = ClusterConfig(name=f"{MAIN}-life", number=2)


def traces() -> dict[str, set[str]]:
    """What clusters leave in a kernel: everything `down` must take away."""

    def lines(*argv: str) -> set[str]:
        return set(subprocess.run(argv, capture_output=True, text=True, check=True).stdout.split())

    mounts = {line.split()[1] for line in Path("/proc/mounts").read_text().splitlines()}
    mine = (str(PLAN.state), str(PLAN.run))
    return {
        "namespaces": lines("ip", "-o", "netns", "list"),
        "links": {
            line.split(":")[1].strip().split("@")[0]
            for line in subprocess.run(
                ["ip", "-o", "link"], capture_output=True, text=True, check=True
            ).stdout.splitlines()
        },
        "routes": lines("ip", "-4", "route", "show", PLAN.pod_range),
        "tables": lines("nft", "list", "tables"),
        "mounts": {mount for mount in mounts if mount.startswith(mine)},
        "cgroups": {str(folder) for folder in cgroups.folders(PLAN.cgroup)},
        "processes": {
            str(pid) for pid in (*network.pids(PLAN), *teardown.shims(PLAN), *_naming(PLAN.name))
        },
        "folders": {str(path) for path in (PLAN.state, PLAN.run) if path.exists()},
    }


def _naming(name: str) -> set[int]:
    """Processes with the cluster's name in their command line."""
    found = set()
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            with contextlib.suppress(OSError):
                if name.encode() in (folder / "cmdline").read_bytes():
                    found.add(int(folder.name))
    return found


@pytest.fixture(scope="module")
def native(request: pytest.FixtureRequest, worker_id: str) -> Iterator[Native]:
    if worker_id != "master":
        request.getfixturevalue("cluster")  # else another worker's would come up or go meanwhile
    provider = choose(PLAN)
    if not isinstance(provider, Native):
        pytest.skip("kind has its own ways of starting and ending, which are not ours to test")
    provider.down()
    yield provider
    provider.down()


def test_a_cluster_lives_and_leaves_nothing(native: Native) -> None:
    """One story, because each step needs the one before; every step says what it saw."""
    before = traces()
    native.up()
    assert native.healthy()
    _is_harmless_twice(native)
    _first_install_and_uninstall_while_busy(native)
    _is_repaired_after_everything_was_killed(native)
    native.down()
    assert before == traces()
    native.down()  # harmless where nothing is
    assert before == traces()


def _is_harmless_twice(native: Native) -> None:
    pids = {component.name: component.pid() for component in native.components()}
    native.up()
    assert pids == {component.name: component.pid() for component in native.components()}


def _first_install_and_uninstall_while_busy(native: Native) -> None:
    """On an API server that never heard of our kinds."""
    kubectl = install.install(
        native, install.Release(namespace="first", values=("crds.keep=false",))
    )
    with contextlib.closing(Installed(kubectl)) as found:
        found.wait_for_workers(1, timeout=90)
        mine = secrets.token_hex(6)
        found.ask(f"http://site:8080/video/{mine}.mp4?bytes=9000000&rate=50000")
        found.wait_for_share(mine, 0.01)
    begun = time.monotonic()
    kubectl.helm("uninstall", "trawler")
    # at once, and not only where the garbage collector happened to have heard of our kinds
    workers = kubectl.json("get", "pods", "-l", "trawler.dev/pool")["items"]
    assert all("deletionTimestamp" in pod["metadata"] for pod in workers)
    while True:
        pods = kubectl.text("get", "pods", "-o", "name")
        crds = kubectl.text("get", "crd", "-o", "name")
        if not pods and "trawler.dev" not in crds:
            break
        assert time.monotonic() - begun < 60, f"left after 60 s: {pods} {crds}"
        time.sleep(0.5)


def _is_repaired_after_everything_was_killed(native: Native) -> None:
    """Every process of the cluster, at once."""
    doomed = network.pids(native.config) | set(teardown.shims(native.config))
    doomed |= cgroups.pids(native.config.cgroup)
    for pid in doomed:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    assert not native.healthy()
    native.up()
    assert native.healthy()
    kubectl = Kubectl(native, "kube-system")
    kubectl.run(
        "wait", "--for=condition=Available", "deployment", "--all", "--timeout=90s", timeout=100
    )
