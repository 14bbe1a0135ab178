"""Names, folders and address ranges of one local cluster. Pure: nothing here touches anything."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final

MAIN: Final = "trawler-dev"
"""The cluster of `make up`, and the name of its context."""

REPOSITORY: Final = Path(__file__).resolve().parents[3]


def cache() -> Path:
    """Where everything that was built or downloaded is kept between clusters."""
    return Path(os.environ.get("TRAWLER_CACHE") or Path.home() / ".cache" / "trawler")


@dataclass(frozen=True, kw_only=True)
class ClusterConfig:
    """One cluster. `number` keeps the address ranges of several clusters apart (0 to 9)."""

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
        """The outside end of the veth pair; Linux allows 15 characters."""
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
        """Where the sandbox site answers on 127.0.0.1."""
        return 18080 + self.number

    @property
    def discord_port(self) -> int:
        """Where the page of the Discord in a box answers on 127.0.0.1."""
        return 18090 + self.number

    @property
    def node(self) -> str:
        return f"{self.name}-node"
