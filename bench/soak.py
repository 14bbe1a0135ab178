"""`make soak`: runs for an hour at half the cluster's capacity while its parts are killed, then
checks that every job ended once and that no process grows. Exits 1 otherwise.

In the first quarter of an hour, a random component is killed every 45 seconds. Then for a while
only the dependencies of operator and bot are killed, to observe their memory while those come and
go. Then nothing is killed, to observe every process under an even load. In the last minutes,
everything is killed once more, after the memory was judged.
"""

import asyncio
import secrets
import sys
import time
from typing import Final

import api

import apiclient
from installed import Installed, installed
from soaking import BYTES, OURS, Found, Plan, kills, soak
from trawler_cluster.choice import choose
from trawler_cluster.cluster_config import ClusterConfig as Cluster
from trawler_cluster.kubectl import Kubectl

HOUR: Final = 3600.0
SHARE: Final = 0.5
PEOPLE: Final = 0.5
"""Discord requests per second, as part of the load."""
EVERY: Final = 45.0
GROWTH: Final = 1.0
"""MiB per hour."""
LEANED_ON: Final = ("worker", "nats", "store", "postgres")
VALUES: Final = (
    "operator.replicas=2",
    "sandbox.resources.limits.memory=3Gi",
    "pools.default.maxAttemptSeconds=120",
)
"""Objects are swept a few maximum attempt times after their jobs are gone. With short attempts, the
sweep happens within the hour, and the memory of them stops growing.
"""


def capacity(found: Installed, *, count: int = 200) -> float:
    """Jobs per second at which all slots together are busy."""
    with apiclient.client(found.kubectl.provider.config.kubeconfig) as http:
        jobs = api.Jobs(http, found.namespace)
        with jobs.watching():
            names = [f"capacity-{secrets.token_hex(5)}" for _ in range(count)]
            begun = time.monotonic()
            for name in names:
                url = f"http://site:8080/video/{secrets.token_hex(6)}.mp4?bytes={BYTES}"
                jobs.create(name, url, ttlSecondsAfterFinished=60)
            ends = jobs.wait(names, "Succeeded", timeout=300)
            return count / (max(ends.values()) - begun)


def plan(seconds: float, most: float) -> Plan:
    """A plan for this duration, at half the capacity."""
    spans = (
        (0, min(seconds, HOUR) / 4, OURS),
        (min(seconds, HOUR) / 4, min(seconds, HOUR) / 3, LEANED_ON),
        (max(seconds / 2, seconds - 6 * EVERY), seconds, OURS),
    )
    return Plan(
        seconds=seconds,
        jobs_per_second=max(0.5, SHARE * most - PEOPLE),
        people_per_second=PEOPLE,
        kills=tuple(kills(spans, every=EVERY)),
    )


def show(found: Found, *, judged: bool) -> bool:
    """Print the results. Returns whether all is well. Growth is judged only in a full hour
    (`judged`).
    """
    print(f"{found.seconds:.0f} s; jobs made {found.made}, ends {dict(found.ends)}")
    print(f"people asked {found.asked}, told at once that nothing came {found.unanswered}")
    print(f"killed: {dict(sorted(found.killed.items()))}")
    print(f"lost {len(found.lost)}: {found.lost[:5]}")
    print(f"doubled {len(found.doubled)}: {found.doubled[:5]}")
    grown = []
    for process, growth in sorted(found.growths.items(), key=lambda each: str(each[0])):
        mark = "ok" if growth.per_hour < GROWTH else "GROWS"
        print(
            f"{process.component:<10} {process.command:<50.50} {growth.per_hour:+6.2f} MiB/h "
            f"over {growth.seconds:.0f} s, {growth.before:.1f} → {growth.after:.1f} MiB  {mark}"
        )
        if growth.per_hour >= GROWTH:
            grown.append(process)
            print("           " + " ".join(f"{size:.2f}" for size in growth.least))
    unseen = {*OURS} - {process.component for process in found.growths} if judged else set()
    for component in sorted(unseen):
        print(f"{component:<10} no process of it lived long enough to be judged")
    return not (found.lost or found.doubled or grown or unseen)


def main() -> int:
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else HOUR
    provider = choose(Cluster())
    provider.up()
    kubectl = Kubectl(provider)
    there = kubectl.run("get", "crd", "mediajobs.trawler.dev", check=False).returncode == 0
    namespace = f"trawler-soak-{secrets.token_hex(3)}"
    with installed(provider, namespace=namespace, crds=not there, values=VALUES) as install:
        most = capacity(install)
        wanted = plan(seconds, most)
        print(
            f"all slots together bear {most:.1f} jobs/s; now {wanted.jobs_per_second:.1f} jobs and "
            f"{wanted.people_per_second} requests in Discord per second for {seconds:.0f} s, "
            f"{len(wanted.kills)} kills",
            flush=True,
        )
        found = asyncio.run(soak(install, wanted))
        # print before the uninstall: it may fail, and the figures would be lost
        good = show(found, judged=seconds >= HOUR)
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
