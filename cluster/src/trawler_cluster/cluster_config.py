"""Names, folders and address ranges of one local cluster. Pure: nothing here has side effects."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final

MAIN: Final = "trawler-dev"
"""The name of the cluster that `make up` starts, and of its kubeconfig context."""

REPOSITORY: Final = Path(__file__).resolve().parents[3]


def cache() -> Path:
    """The folder that keeps everything built or downloaded, across clusters."""
    return Path(os.environ.get("TRAWLER_CACHE") or Path.home() / ".cache" / "trawler")


@dataclass(frozen=True, kw_only=True)
class ClusterConfig:
    """One cluster. `number` (0 to 9) keeps the address ranges of several clusters apart."""

    name: str = MAIN
    number: int = 0
    internet: bool = False

    @property
    def state(self) -> Path:
        return Path("/var/lib/trawler") / self.name

    @property
    def run(self) -> Path:
        return Path("/run") / self.name

    @property
    def kubeconfig(self) -> Path:
        return self.state / "kubeconfig"

    @property
    def logs(self) -> Path:
        return self.state / "log"

    @property
    def containerd_socket(self) -> Path:
        return self.run / "containerd.sock"

    @property
    def namespace(self) -> str:
        """The network namespace in which every component runs."""
        return self.name

    @property
    def link(self) -> str:
        """The name of the outer end of the veth pair; Linux allows 15 characters."""
        return f"trawler{self.number}"

    @property
    def outside_ip(self) -> str:
        return f"10.255.{self.number}.1"

    @property
    def node_ip(self) -> str:
        return f"10.255.{self.number}.2"

    @property
    def pod_range(self) -> str:
        return f"10.{200 + self.number}.0.0/16"

    @property
    def node_pods(self) -> str:
        return f"10.{200 + self.number}.0.0/24"

    @property
    def service_range(self) -> str:
        return f"10.{220 + self.number}.0.0/16"

    @property
    def dns_ip(self) -> str:
        return f"10.{220 + self.number}.0.10"

    @property
    def cgroup(self) -> str:
        return f"/{self.name}"

    @property
    def site_port(self) -> int:
        """The port of the sandbox site on 127.0.0.1."""
        return 18080 + self.number

    @property
    def discord_port(self) -> int:
        """The port of the Discord emulator's page on 127.0.0.1."""
        return 18090 + self.number

    @property
    def node(self) -> str:
        return f"{self.name}-node"
