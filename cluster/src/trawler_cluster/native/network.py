"""The cluster's own network namespace: reachable from this machine, without outside access by
default.
"""

import sys
from pathlib import Path
from typing import Final

from trawler_cluster import shell
from trawler_cluster.cluster_config import ClusterConfig

NAMESPACES: Final = Path("/run/netns")


def inside(config: ClusterConfig) -> list[str]:
    """The command prefix that runs a command in the namespace.

    `ip netns exec` would also remount /sys, which hides the cgroups from the kubelet.
    """
    return ["nsenter", f"--net={NAMESPACES / config.namespace}"]


def answers_names(config: ClusterConfig) -> bool:
    """Whether the cluster's DNS server, at its Service address, resolves the API server's name.

    Sends a real query: what the API server reports about pods and nodes is only as recent as the
    kubelet's last report.
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
    """Create the namespace, the link and the routes. Safe to repeat."""
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
    """Give pods outside access: IP forwarding, and NAT in a table of our own."""
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
    """Remove the namespace, link, routes and table. Every process inside must have ended, otherwise
    the link stays alive.
    """
    table = nat_table(config)
    if table in shell.run(["nft", "list", "tables"], check=False).stdout.split():
        shell.run(["nft", "delete", "table", "ip", table])
    for reach in (config.pod_range, config.service_range):
        shell.run(["ip", "route", "del", reach], check=False)
    shell.run(["ip", "link", "del", config.link], check=False)
    if (NAMESPACES / config.namespace).exists():
        shell.run(["ip", "netns", "del", config.namespace])


def pids(config: ClusterConfig) -> set[int]:
    """The ids of every process in the namespace."""
    if not (NAMESPACES / config.namespace).exists():
        return set()
    found = shell.run(["ip", "netns", "pids", config.namespace], check=False).stdout.split()
    return set(map(int, found))
