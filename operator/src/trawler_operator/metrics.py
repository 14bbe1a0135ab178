"""What the operator counts. Labels are bounded: phases and pools, never names or guilds."""

from collections.abc import Iterator

from prometheus_client import CollectorRegistry, Counter, Gauge
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from trawler_operator.board import Board


class Metrics:
    """Counters of this process, and gauges read from the board when asked."""

    def __init__(self, board: Board) -> None:
        self.registry = CollectorRegistry()
        self.leading = Gauge(
            "trawler_operator_leading",
            "1 where this process leads, 0 where it stands by.",
            registry=self.registry,
        )
        self.status_writes = Counter(
            "trawler_operator_status_writes",
            "MediaJob status writes that the API server took.",
            registry=self.registry,
        )
        self.results = Counter(
            "trawler_operator_results",
            "Results of pods, by what became of them.",
            ["verdict"],
            registry=self.registry,
        )
        self.objects_swept = Counter(
            "trawler_operator_objects_swept",
            "Objects deleted because nothing named them any more.",
            registry=self.registry,
        )
        self.registry.register(_Board(board))


class _Board(Collector):
    def __init__(self, board: Board) -> None:
        self._board = board

    def collect(self) -> Iterator[GaugeMetricFamily]:
        jobs = GaugeMetricFamily("trawler_jobs", "MediaJobs by phase.", labels=["phase"])
        for phase, there in self._board.by_phase.items():
            jobs.add_metric([phase], len(there))
        yield jobs
        pods = GaugeMetricFamily("trawler_worker_pods", "Worker pods by pool.", labels=["pool"])
        for pool in self._board.pools:
            count = sum(pod.pool == pool for pod in self._board.pods.values())
            pods.add_metric([pool], count)
        yield pods
        yield GaugeMetricFamily(
            "trawler_queues", "MediaQueues that are declared.", value=len(self._board.queues)
        )
        wanted = GaugeMetricFamily(
            "trawler_pool_wanted_pods",
            "Pods for all that runs, may run and is kept spare.",
            labels=["pool"],
        )
        for name, known in self._board.pools.items():
            wanted.add_metric([name], known.status.wanted)
        yield wanted
