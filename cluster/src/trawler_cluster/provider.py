"""The interface that every provider of a local cluster implements."""

from pathlib import Path
from typing import Protocol

from trawler_cluster.cluster_config import ClusterConfig


class Provider(Protocol):
    """Everything that differs between kind and bare Linux."""

    config: ClusterConfig

    def up(self) -> None:
        """Create the cluster, or repair it. Safe to call on a healthy cluster."""

    def down(self) -> None:
        """Remove the cluster and everything it created. Safe to call if nothing exists."""

    def healthy(self) -> bool:
        """Whether the API server answers and the node is ready."""

    def status(self) -> list[tuple[str, str]]:
        """Rows of (part, state), for people."""

    def tools(self) -> Path:
        """The folder with kubectl, helm and, for the native provider, ctr."""

    def has_image(self, reference: str) -> bool:
        """Whether the node has this image."""

    def load(self, archive: Path) -> None:
        """Import an image into the node from an OCI archive."""
