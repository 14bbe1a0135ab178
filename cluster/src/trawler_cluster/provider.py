"""What a local cluster is able to do, whoever provides it."""

from pathlib import Path
from typing import Protocol

from trawler_cluster.cluster_config import ClusterConfig


class Provider(Protocol):
    """All that differs between kind and bare Linux."""

    config: ClusterConfig

    def up(self) -> None:
        """Make the cluster, or mend it. Harmless when it is healthy."""

    def down(self) -> None:
        """Leave nothing behind. Harmless when nothing is there."""

    def healthy(self) -> bool:
        """Whether the API server answers and the node is ready."""

    def status(self) -> list[tuple[str, str]]:
        """(part, how it is), for a person."""

    def tools(self) -> Path:
        """The folder with kubectl, helm and, natively, ctr."""

    def has_image(self, reference: str) -> bool:
        """Whether the node has this image."""

    def load(self, archive: Path) -> None:
        """Give the node the image in an OCI archive."""
