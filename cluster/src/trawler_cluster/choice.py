"""Select the cluster provider for this machine."""

from trawler_cluster import checks
from trawler_cluster.cluster_config import ClusterConfig
from trawler_cluster.kind import Kind
from trawler_cluster.native import Native
from trawler_cluster.provider import Provider


def choose(config: ClusterConfig) -> Provider:
    """Return `Kind` if a Docker daemon answers, otherwise `Native` (plain processes on Linux)."""
    return Kind(config) if checks.docker_answers() else Native(config)
