"""The cluster's own network namespace: reachable from this machine, with no way out by default."""

import sys
from pathlib import Path
from typing import Final

from trawler_cluster import shell
from trawler_cluster.cluster_config import ClusterConfig

NAMESPACES: Final = Path("/run/netns")


def inside(config: ClusterConfig) -> list[str]:
    """The words before a command that runs in the namespace.

    `ip netns exec` would also remount /sys, which hides the cgroups from the kubelet.
    """
    return ["nsenter", f"--net={NAMESPACES / config.namespace}"]


def answers_names(config: ClusterConfig) -> bool:
    """Whether the cluster's name server, asked by its Service address, knows the API server.

    Asked for real: what the API server says of pods and nodes is as old as the kubelet's last word.
    """
    name = b"".join(
        bytes([len(w)]) + w for w in b"kubernetes.default.svc.cluster.local".split(b".")
    )
    query = b"\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00" + name + b"\x00\x00\x01\x00\x01"
    script = (
        "import socket, sys\n"
        "asked = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\n"
        "asked.settimeout(2)\n"
        "asked.sendto(bytes.fromhex(sys.argv[2]), (sys.argv[1], 53))\n"
        "said = asked.recv(512)\n"
        "sys.exit(said[3] & 15 or not said[7])\n"
    )
    argv = [*inside(config), sys.executable, "-c", script, config.dns_ip, query.hex()]
    return shell.run(argv, check=False).returncode == 0


def ensure(config: ClusterConfig) -> None:
    """Make namespace, link and routes; harmless where they are."""
    if not (NAMESPACES / config.namespace).exists():
        shell.run(["ip", "netns", "add", config.namespace])
    if shell.run(["ip", "link", "show", config.link], check=False).returncode != 0:
        peer = ["peer", "name", "eth0", "netns", config.namespace]
        shell.run(["ip", "link", "add", config.link, "type", "veth", *peer])
    shell.run(["ip", "addr", "replace", f"{config.outside_ip}/30", "dev", config.link])
    shell.run(["ip", "link", "set", config.link, "up"])
    within = inside(config)
    shell.run([*within, "ip", "link", "set", "lo", "up"])
    shell.run([*within, "ip", "addr", "replace", f"{config.node_ip}/30", "dev", "eth0"])
    shell.run([*within, "ip", "link", "set", "eth0", "up"])
    shell.run([*within, "ip", "route", "replace", "default", "via", config.outside_ip])
    shell.run([*within, "sysctl", "-qw", "net.ipv4.ip_forward=1"])
    for reach in (config.pod_range, config.service_range):
        shell.run(["ip", "route", "replace", reach, "via", config.node_ip])
    if config.internet:
        _open(config)


def nat_table(config: ClusterConfig) -> str:
    return config.name.replace("-", "_")


def _open(config: ClusterConfig) -> None:
    """Let pods out: forwarding and address translation in a table of our own."""
    table = nat_table(config)
    shell.run(["sysctl", "-qw", "net.ipv4.ip_forward=1"])
    ours = f"{config.pod_range}, {config.node_ip}"
    rules = f"""
        table ip {table}
        delete table ip {table}
        table ip {table} {{
            chain out {{
                type nat hook postrouting priority srcnat;
                ip saddr {{ {ours} }} oifname != "{config.link}" masquerade
            }}
        }}
    """
    shell.run(["nft", "-f", "-"], stdin=rules)


def remove(config: ClusterConfig) -> None:
    """Take all of it away. Every process inside must be gone, or the link stays alive."""
    table = nat_table(config)
    if table in shell.run(["nft", "list", "tables"], check=False).stdout.split():
        shell.run(["nft", "delete", "table", "ip", table])
    for reach in (config.pod_range, config.service_range):
        shell.run(["ip", "route", "del", reach], check=False)
    shell.run(["ip", "link", "del", config.link], check=False)
    if (NAMESPACES / config.namespace).exists():
        shell.run(["ip", "netns", "del", config.namespace])


def pids(config: ClusterConfig) -> set[int]:
    """Every process in the namespace."""
    if not (NAMESPACES / config.namespace).exists():
        return set()
    found = shell.run(["ip", "netns", "pids", config.namespace], check=False).stdout.split()
    return set(map(int, found))
