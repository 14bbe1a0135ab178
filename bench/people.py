"""What people in Discord notice: until the files are there, until they are answered when fifty ask at
once; and what four large deliveries cost the bot. Against the Discord in a box of the same install.
"""

import secrets
import statistics
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import usage

from installed import Installed
from trawler_cluster.harbour import Harbour

ROUNDS = 15
CROWD = 50
LARGE = 100_000_000
EACH = 4
PATIENCE = 180.0

Show = Callable[..., None]


def run(show: Show, found: Installed) -> None:
    """Print each figure beside its bar."""
    with found.kubectl.forwarded("service/discord", 8091) as port:
        harbour = Harbour.enter(f"http://127.0.0.1:{port}")
        command = harbour.command("download")
        _click(show, harbour, command)
        for channels in (1, CROWD):
            _crowd(show, harbour, command, channels)
        _large(show, found, harbour, command)


def _url(size: int) -> tuple[str, str]:
    seed = secrets.token_hex(6)
    return seed, f"http://site:8080/video/{seed}.mp4?bytes={size}"


def _delivered(harbour: Harbour, seeds: list[str], *, pause: float = 0.02) -> float:
    """Wait until each seed's message has its file; answers with when (monotonic)."""
    end = time.monotonic() + PATIENCE
    while True:
        done = [m for m in harbour.messages() if m["attachments"]]
        if all(any(f"/{seed}." in m["content"] for m in done) for seed in seeds):
            return time.monotonic()
        assert time.monotonic() < end, f"{len(done)} of {len(seeds)} after {PATIENCE:.0f} s"
        time.sleep(pause)


def _fresh(harbour: Harbour, people: int, channels: int) -> list[Harbour]:
    made = harbour.control("crowd", guild=harbour.guild, people=people, channels=channels)
    return [
        harbour.beside(token, made["channels"][number % channels])
        for number, token in enumerate(made["tokens"])
    ]


def _click(show: Show, harbour: Harbour, command: dict[str, Any]) -> None:
    """One after the other, each by somebody else: nobody has to wait for a cooldown."""
    seconds = []
    for person in _fresh(harbour, ROUNDS, 1):
        seed, url = _url(1_000_000)
        begun = time.monotonic()
        person.use(command, url=url)
        seconds.append(_delivered(person, [seed]) - begun)
    middle = statistics.median(seconds)
    show(
        f"click → files in the channel, 1 MB, p50 of {ROUNDS}",
        f"{middle:.2f} s",
        "<= 2 s",
        met=middle <= 2,
    )


def _crowd(show: Show, harbour: Harbour, command: dict[str, Any], channels: int) -> None:
    """Everybody at once; answers as the Discord in the box saw them."""
    people = _fresh(harbour, CROWD, channels)
    harbour.control("limits", buckets={"enabled": True})
    before = harbour.control("counters")
    wishes = [_url(20_000) for _ in people]
    begun = time.monotonic()
    with ThreadPoolExecutor(CROWD) as pool:
        list(
            pool.map(
                lambda pair: pair[0].use(command, url=pair[1][1]),
                zip(people, wishes, strict=True),
            )
        )
    for person, (seed, _) in zip(people, wishes, strict=True):
        _delivered(person, [seed])
    last = time.monotonic() - begun
    after = harbour.control("counters")
    harbour.control("limits", buckets={"enabled": False})
    answers = sorted(s for _, s in after["timings"][len(before["timings"]) :])
    assert CROWD == len(answers), f"{len(answers)} of {CROWD} were answered in time"
    tail = answers[int(0.95 * len(answers))]
    invalid = after["invalid"] - before["invalid"]
    where = f"{CROWD} at once in {channels} channel" + ("s" if channels > 1 else "")
    show(f"{where}: answered, p95", f"{tail * 1000:.0f} ms", "<= 500 ms", met=tail <= 0.5)
    show(f"{where}: the last file", f"{last:.1f} s")
    limited = after["limited"] - before["limited"]
    show(f"{where}: refused by a bucket", f"{limited}", "0", met=limited == 0)
    show(f"{where}: invalid requests", f"{invalid}", "< 50", met=invalid < 50)


def _large(show: Show, found: Installed, harbour: Harbour, command: dict[str, Any]) -> None:
    """Four files of 100 MB on their way at once: what the bot's memory grows by at most."""
    harbour.control("guild", id=harbour.guild, upload_bytes=2 * LARGE)
    (pod,) = [p for p in found.pods("bot") if "deletionTimestamp" not in p["metadata"]]
    pids = usage.of_pod(pod["metadata"]["uid"])
    people = _fresh(harbour, EACH, EACH)
    idle = usage.pss_mib(pids)
    wishes = [_url(LARGE) for _ in people]
    begun = time.monotonic()
    for person, (_, url) in zip(people, wishes, strict=True):
        person.use(command, url=url)
    most = idle
    waiting = dict(zip(range(EACH), wishes, strict=True))
    while waiting:
        most = max(most, usage.pss_mib(pids))
        for number, (seed, _) in list(waiting.items()):
            if any(
                m["attachments"] and f"/{seed}." in m["content"] for m in people[number].messages()
            ):
                del waiting[number]
        assert time.monotonic() - begun < PATIENCE, f"{len(waiting)} not delivered"
        time.sleep(0.05)
    grown = most - idle
    rate = EACH * LARGE / (time.monotonic() - begun) / 1e6
    show(
        f"{EACH} x 100 MB at once: the bot grows by", f"{grown:.0f} MiB", "< 30 MiB", met=grown < 30
    )
    show(f"{EACH} x 100 MB at once: click → all there", f"{rate:.0f} MB/s")
