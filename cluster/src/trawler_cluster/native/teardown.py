"""Tear down a native cluster: first its containers, then its components, then everything that they
left in the kernel.
"""

import shutil
from collections.abc import Iterable
from pathlib import Path

from trawler_cluster import shell
from trawler_cluster.cluster_config import ClusterConfig
from trawler_cluster.native import cgroups, network, processes


def remove(config: ClusterConfig, components: Iterable[processes.Component]) -> None:
    """Remove every process, mount, namespace, cgroup, link and nft table. Safe to repeat."""
    by_name = {component.name: component for component in components}
    for name in (
        "forwarder",
        "forwarder-discord",
        "kubelet",
    ):  # otherwise the kubelet would restart containers
        if name in by_name:
            by_name[name].stop()
    cgroups.kill(config.cgroup)
    processes.end(shims(config), grace=2)
    for component in reversed(list(by_name.values())):
        component.stop()
    processes.end(network.pids(config), grace=2)
    unmount(config)
    network.remove(config)
    cgroups.remove(config.cgroup)
    for folder in (config.run, config.state):
        shutil.rmtree(folder, ignore_errors=True)


def shims(config: ClusterConfig) -> list[int]:
    """The process ids of containerd's shims. They outlive it; each has our socket in its command
    line.
    """
    wanted = str(config.containerd_socket)
    found = []
    for folder in Path("/proc").iterdir():
        if not folder.name.isdigit():
            continue
        try:
            words = (folder / "cmdline").read_bytes().decode(errors="replace").split("\0")
        except OSError:
            continue
        if "containerd-shim" in words[0] and wanted in words:
            found.append(int(folder.name))
    return found


def mounts(config: ClusterConfig) -> list[str]:
    """Every mount point below the cluster's folders, innermost first."""
    below = (f"{config.state}/", f"{config.run}/")
    points = [line.split()[1] for line in Path("/proc/mounts").read_text().splitlines()]
    return sorted((point for point in points if point.startswith(below)), key=len, reverse=True)


def unmount(config: ClusterConfig) -> None:
    """Unmount every mount point, lazily if it is still in use."""
    for point in mounts(config):
        if shell.run(["umount", point], check=False).returncode != 0:
            shell.run(["umount", "-l", point], check=False)
