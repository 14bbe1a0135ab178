"""Measures what people in Discord notice: the time until their files arrive, and the time until a
reply when fifty ask at once; also how four large deliveries load the bot. Uses the Discord in a box
of the same installation.
"""

import json
import statistics
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import usage
from installed import Installed
from trawler_cluster.sandbox_client import SandboxClient

ROUNDS = 15
CROWD = 50
LARGE = 100_000_000
EACH = 4
SLOW = 30
"""Seconds that each of the fifty downloads takes."""
RATE = 20_000
"""Bytes per second of each download."""

Show = Callable[..., None]
Within = Callable[..., Any]
"""Runs a script in a pod and returns its output."""


def run(show: Show, found: Installed, within: Within) -> None:
    """Print each figure beside its bar."""
    with (
        found.kubectl.forwarded("service/discord", 8091) as port,
        SandboxClient.entered(f"http://127.0.0.1:{port}") as sandbox,
    ):
        sandbox.command("download")  # waits until the bot is there
        _click(show, within)
        _figures(show, within)
        sandbox.control("limits", buckets={"enabled": True})
        for channels in (1, CROWD):
            _crowd(show, within, channels)
        with slots(found, CROWD):
            _words(show, within)
        sandbox.control("limits", buckets={"enabled": False})
        sandbox.control("guild", id=sandbox.guild, upload_bytes=2 * LARGE)
    _large(show, found, within)


def _click(show: Show, within: Within) -> None:
    """Measure consecutive requests, each by a different person, so that no cooldown applies."""
    seconds = within("crowd.py", str(ROUNDS), "1", "1000000", "TURNS")["seconds"]
    middle = statistics.median(seconds)
    name = f"click → files in the channel, 1 MB, p50 of {ROUNDS}"
    show(name, f"{middle:.2f} s", "<= 2 s", met=middle <= 2)


def _figures(show: Show, within: Within) -> None:
    """Measure a download from a slow site: from the click to the first progress in the message."""
    seen = within("crowd.py", "5", "1", str(5 * RATE), "TURNS", str(RATE))["first"]
    slowest = max(seen, default=float("inf")) if len(seen) == 5 else float("inf")
    name = "click → the first figures of a slow download, the slowest of 5"
    show(name, f"{slowest:.2f} s", "<= 1 s", met=slowest <= 1)


def _crowd(show: Show, within: Within, channels: int) -> None:
    """Measure everybody at once. The Discord in a box reports the response times."""
    seen = within("crowd.py", str(CROWD), str(channels), "20000", "TOGETHER")
    answers = sorted(seen["answers"])
    tail = answers[int(0.95 * len(answers))]
    where = f"{CROWD} at once in {channels} channel" + ("s" if channels > 1 else "")
    in_time = len(answers)
    show(f"{where}: answered in time", f"{in_time}", f"{CROWD}", met=in_time == CROWD)
    show(f"{where}: answered, p95", f"{tail * 1000:.0f} ms", "<= 500 ms", met=tail <= 0.5)
    show(f"{where}: click → file, the last", f"{max(seen['seconds']):.1f} s")
    limited, invalid = seen["limited"], seen["invalid"]
    show(f"{where}: refused by a bucket", f"{limited}", "0", met=limited == 0)
    show(f"{where}: invalid requests", f"{invalid}", "< 50", met=invalid < 50)


@contextmanager
def slots(found: Installed, count: int) -> Iterator[None]:
    """Run one pod with `count` slots for the duration of the block."""
    before = found.pool()["spec"]

    def shape(spec: dict[str, Any]) -> None:
        text = json.dumps({"spec": spec})
        found.kubectl.run("patch", "workerpool", "default", "--type=merge", "-p", text)

    shape({"slotsPerPod": count, "jobMemory": "96Mi"})
    try:
        yield
    finally:
        shape({"slotsPerPod": before["slotsPerPod"], "jobMemory": before["jobMemory"]})


def _words(show: Show, within: Within) -> None:
    """Measure downloads of half a minute in one channel: how long a message shows the same text
    while it downloads.
    """
    within("crowd.py", str(CROWD), "1", "20000", "TOGETHER")  # wait until the large pod is ready
    size = str(SLOW * RATE)
    seen = within("crowd.py", str(CROWD), "1", size, "TOGETHER", str(RATE))
    answers = sorted(seen["answers"])
    tail, oldest = answers[int(0.95 * len(answers))], max(seen["oldest"])
    where = f"{CROWD} downloads of {SLOW} s in 1 channel"
    show(f"{where}: oldest words", f"{oldest:.1f} s", "<= 8 s", met=oldest <= 8)
    shown = len(seen["oldest"])
    show(f"{where}: messages with progress", f"{shown}", f"{CROWD}", met=shown == CROWD)
    show(f"{where}: answered, p95", f"{tail * 1000:.0f} ms", "<= 500 ms", met=tail <= 0.5)
    show(f"{where}: refused by a bucket", f"{seen['limited']}", "0", met=seen["limited"] == 0)


def _large(show: Show, found: Installed, within: Within) -> None:
    """Measure how much the bot's memory grows while it delivers four files of 100 MB at once."""
    (pod,) = [p for p in found.pods("bot") if "deletionTimestamp" not in p["metadata"]]
    pids = usage.of_pod(pod["metadata"]["uid"])
    idle = most = usage.pss_mib(pids)
    over = threading.Event()

    def look() -> None:
        nonlocal most
        while not over.wait(0.1):
            most = max(most, usage.pss_mib(pids))

    looking = threading.Thread(target=look)
    looking.start()
    try:
        seen = within("crowd.py", str(EACH), str(EACH), str(LARGE), "TOGETHER")
    finally:
        over.set()
        looking.join()
    grown, slowest = most - idle, max(seen["seconds"])
    name = f"{EACH} x 100 MB at once: the bot grows by"
    show(name, f"{grown:.0f} MiB", "< 30 MiB", met=grown < 30)
    show(f"{EACH} x 100 MB at once: click → the last file", f"{slowest:.1f} s")
