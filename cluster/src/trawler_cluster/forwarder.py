"""Keeps the sandbox site answering at a fixed port of 127.0.0.1 while the cluster is up.

Run as `python -m trawler_cluster.forwarder KUBECTL KUBECONFIG NAMESPACE PORT`: forwards to the
Service `site`, anew whenever the pod behind it changes, and takes the child along when it ends.
"""

import signal
import subprocess
import sys
import time

from trawler_cluster.native.processes import Component
from trawler_cluster.provider import Provider


def component(provider: Provider, *, namespace: str = "trawler") -> Component:
    """The forwarder as a process that `down` ends."""
    plan = provider.plan
    return Component(
        name="forwarder",
        argv=[
            *(sys.executable, "-m", "trawler_cluster.forwarder"),
            *(str(provider.tools() / "kubectl"), str(plan.kubeconfig)),
            *(namespace, str(plan.site_port)),
        ],
        folder=plan.state / "pids",
        logs=plan.logs,
    )


def ensure(provider: Provider) -> None:
    """Start it unless it runs."""
    component(provider).start()


def forward(kubectl: str, kubeconfig: str, namespace: str, port: str) -> None:
    """Forward for ever; a second between tries."""
    child: subprocess.Popen[bytes] | None = None

    def leave(*_: object) -> None:
        if child is not None:
            child.kill()
            child.wait()
        sys.exit(0)

    signal.signal(signal.SIGTERM, leave)
    signal.signal(signal.SIGINT, leave)
    while True:
        child = subprocess.Popen(
            [
                *(kubectl, "--kubeconfig", kubeconfig, "-n", namespace),
                *("port-forward", "--address", "127.0.0.1", "service/site", f"{port}:8080"),
            ]
        )
        child.wait()
        time.sleep(1)


if __name__ == "__main__":
    forward(*sys.argv[1:5])
