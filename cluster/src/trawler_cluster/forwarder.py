"""Forward fixed ports of 127.0.0.1 to the sandbox while the cluster is up: to the media site, and
to the Discord emulator with its page.

Run as `python -m trawler_cluster.forwarder KUBECTL KUBECONFIG NAMESPACE SERVICE PORT:PORT`:
forwards to a Service, reconnects when the pod behind it changes, and ends its child process when it
ends itself.
"""

import signal
import subprocess
import sys
import time
from typing import Final

from trawler_cluster.native.processes import Component
from trawler_cluster.provider import Provider

NAMES: Final = ("forwarder", "forwarder-discord")


def components(provider: Provider, *, namespace: str = "trawler") -> list[Component]:
    """The forwarders as components, which `down` stops."""
    config = provider.config
    ports = (("site", f"{config.site_port}:8080"), ("discord", f"{config.discord_port}:8091"))
    return [
        Component(
            name=name,
            argv=[
                *(sys.executable, "-m", "trawler_cluster.forwarder"),
                *(str(provider.tools() / "kubectl"), str(config.kubeconfig)),
                *(namespace, service, mapping),
            ],
            folder=config.state / "pids",
            logs=config.logs,
        )
        for name, (service, mapping) in zip(NAMES, ports, strict=True)
    ]


def ensure(provider: Provider) -> None:
    """Start the forwarders that do not run."""
    for component in components(provider):
        component.start()


def forward(kubectl: str, kubeconfig: str, namespace: str, service: str, ports: str) -> None:
    """Forward forever, with a pause of one second between attempts."""
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
                *("port-forward", "--address", "127.0.0.1", f"service/{service}", ports),
            ]
        )
        child.wait()
        time.sleep(1)


if __name__ == "__main__":
    forward(*sys.argv[1:6])
