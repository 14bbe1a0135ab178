"""What the operator counts. Labels are bounded: phases and pools, never names or guilds."""

import asyncio
import time
from collections import Counter as Pods
from collections.abc import Callable, Iterator, Mapping
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from trawler_crds.media_job import TERMINAL, EngineName
from trawler_operator.state.cluster_state import ClusterState

LOOK_EVERY: Final = 0.05
"""Seconds between two looks at the event loop."""


class Metrics:
    """Counters of this process, and gauges read from the cluster state when asked."""

    def __init__(self, state: ClusterState) -> None:
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
        self.set_aside = Counter(
            "trawler_operator_set_aside",
            "Objects that the operator cannot work with, each time one was set aside.",
            ["kind"],
            registry=self.registry,
        )
        self.faults = Counter(
            "trawler_operator_faults",
            "Faults of our own that one part of the operator met and went on from.",
            ["part"],
            registry=self.registry,
        )
        self.turns = Histogram(
            "trawler_operator_turn_seconds",
            "How long one turn of the reconciler kept the event loop.",
            buckets=(0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0),
            registry=self.registry,
        )
        self.stalls = Histogram(
            "trawler_operator_loop_stall_seconds",
            "How late the event loop came back to what was due, whatever kept it.",
            buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0),
            registry=self.registry,
        )
        self.longest_stall = Gauge(
            "trawler_operator_longest_loop_stall_seconds",
            "The longest of these since the process began.",
            registry=self.registry,
        )
        self.longest_turn = Gauge(
            "trawler_operator_longest_turn_seconds",
            "The longest turn of the reconciler since the process began, in processor time.",
            registry=self.registry,
        )
        self.renewal_gap = Gauge(
            "trawler_operator_longest_lease_renewal_gap_seconds",
            "The longest time between two renewals of the Lease since the process began.",
            registry=self.registry,
        )
        self._waiting = Gauge(
            "trawler_operator_waiting_effects",
            "Decisions that wait for a hand of their lane.",
            ["lane"],
            registry=self.registry,
        )
        self.registry.register(_StateCollector(state))

    def watch_counts(self, counts: Mapping[str, tuple[str, Callable[[], float]]]) -> None:
        """Show figures that other parts keep: name → what it says, and how it is read."""
        for name, (says, read) in counts.items():
            Gauge(f"trawler_operator_{name}", says, registry=self.registry).set_function(read)

    async def watch_the_loop(self) -> None:
        """Measure for ever how late the event loop comes back."""
        longest = 0.0
        while True:
            due = time.monotonic() + LOOK_EVERY
            await asyncio.sleep(LOOK_EVERY)
            late = max(0.0, time.monotonic() - due)
            self.stalls.observe(late)
            longest = max(longest, late)
            self.longest_stall.set(longest)

    def watch_lanes(self, waiting: Mapping[str, Callable[[], float]]) -> None:
        """Show what waits in each lane."""
        for name, count in waiting.items():
            self._waiting.labels(name).set_function(count)


class _StateCollector(Collector):
    def __init__(self, state: ClusterState) -> None:
        self._state = state

    def collect(self) -> Iterator[GaugeMetricFamily]:
        jobs = GaugeMetricFamily("trawler_jobs", "MediaJobs by phase.", labels=["phase"])
        for phase, there in self._state.by_phase.items():
            jobs.add_metric([phase], len(there))
        for phase in sorted(TERMINAL):
            jobs.add_metric([phase], self._state.finished.count[phase])
        yield jobs
        yield GaugeMetricFamily(
            "trawler_jobs_set_aside",
            "MediaJobs that this version cannot work with.",
            value=len(self._state.unreadable),
        )
        pods = GaugeMetricFamily("trawler_worker_pods", "Worker pods by pool.", labels=["pool"])
        counts = Pods(pod.pool for pod in self._state.pods.values())
        for pool in self._state.pools:
            pods.add_metric([pool], counts[pool])
        yield pods
        refusing = GaugeMetricFamily(
            "trawler_sites_refusing",
            "Sites that refuse an engine at the moment and are left alone.",
            labels=["engine"],
        )
        engines = Pods(each.engine for each in self._state.breakers.refusing(time.monotonic()))
        for engine in EngineName:
            refusing.add_metric([engine], engines[engine])
        yield refusing
        yield GaugeMetricFamily(
            "trawler_queues", "MediaQueues that are declared.", value=len(self._state.queues)
        )
        wanted = GaugeMetricFamily(
            "trawler_pool_wanted_pods",
            "Pods for all that runs, may run and is kept spare.",
            labels=["pool"],
        )
        for name, known in self._state.pools.items():
            wanted.add_metric([name], known.status.wanted)
        yield wanted
