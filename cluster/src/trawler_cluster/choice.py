"""Which provider a machine gets."""

from trawler_cluster import checks
from trawler_cluster.cluster_config import ClusterConfig
from trawler_cluster.kind import Kind
from trawler_cluster.native import Native
from trawler_cluster.provider import Provider


def choose(config: ClusterConfig) -> Provider:
    """Kind where a Docker daemon answers, else plain processes on Linux."""
    return Kind(config) if checks.docker_answers() else Native(config)
