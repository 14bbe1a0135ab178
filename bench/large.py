"""Measures large files and validation: Direct against curl on the same disk, the growth of a pod's
memory, and the cost of validation.

The first and the last run on this machine, side by side, against a site in a separate process. The
second runs in a pod.
"""

import secrets
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import api

import usage
from fetching import Quiet, order
from installed import Installed
from trawler_crds.media_job import Limits
from trawler_worker.agent.upload import digest
from trawler_worker.fetcher.engines.base import Fetched, Found
from trawler_worker.fetcher.engines.direct import Direct
from trawler_worker.fetcher.validation import validate_all
from trawler_worker.files import Identity

LARGE: Final = 500_000_000
SMALL: Final = 1_000_000
TURNS: Final = 5
PROOFS: Final = 200
Show = Callable[..., None]

_SITE: Final = """
import asyncio, sys
from pathlib import Path
from aiohttp import web
from trawler_sandbox.site import Site

async def main() -> None:
    runner = web.AppRunner(Site(Path(sys.argv[1])).app())
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    print(runner.addresses[0][1], flush=True)
    await asyncio.Event().wait()

asyncio.run(main())
"""


@contextmanager
def _site(folder: Path) -> Iterator[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", _SITE, str(folder)], stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        yield f"http://127.0.0.1:{int(process.stdout.readline())}"
    finally:
        process.terminate()
        process.wait()


def run(show: Show, found: Installed, jobs: api.Jobs) -> None:
    """Print each figure beside its bar."""
    with tempfile.TemporaryDirectory(prefix="trawler-bench-") as name:
        folder = Path(name)
        with _site(folder) as site:
            _against_curl(show, site, folder)
            _proof(show, site, folder)
    _memory(show, found, jobs)


def _against_curl(show: Show, site: str, folder: Path) -> None:
    """Fetch a file and compute its SHA-256, by each side in turn. Every file is different."""
    engine = Direct()
    limits = Limits.model_validate({"maxBytes": 2 * LARGE})
    ours: list[float] = []
    theirs: list[float] = []
    for _ in range(TURNS):
        for times, fetch in (
            (theirs, _curl),
            (ours, lambda url, to: _direct(engine, url, to, limits)),
        ):
            url = f"{site}/video/{secrets.token_hex(6)}.mp4?bytes={LARGE}"
            # the first request for a URL generates its noise
            urllib.request.urlopen(urllib.request.Request(url, method="HEAD")).close()
            begun = time.monotonic()
            path = fetch(url, folder)
            times.append(time.monotonic() - begun)
            path.unlink()
    mine, curls = statistics.median(ours), statistics.median(theirs)
    show("Direct, 500 MB with SHA-256", f"{LARGE / mine / 1e6:.0f} MB/s")
    show("curl, then sha256sum", f"{LARGE / curls / 1e6:.0f} MB/s")
    show("ratio to it", f"{curls / mine:.2f} x", ">= 0.8 x", met=curls / mine >= 0.8)


def _curl(url: str, folder: Path) -> Path:
    path = folder / "by-curl"
    subprocess.run(["curl", "-sS", "-o", str(path), url], check=True)
    subprocess.run(["sha256sum", str(path)], check=True, capture_output=True)
    return path


def _direct(engine: Direct, url: str, folder: Path, limits: Limits) -> Path:
    found = engine.fetch(order(url, limits=limits), folder, Quiet())
    path = found.files[0].path
    digest(str(folder), path.name, Identity.of(path.stat()))
    return path


def _proof(show: Show, site: str, folder: Path) -> None:
    """Measure the validation of a file of one megabyte."""
    url = f"{site}/video/{secrets.token_hex(6)}.mp4?bytes={SMALL}"
    found = Direct().fetch(order(url), folder, Quiet())
    (file,) = found.files
    times = []
    for _ in range(PROOFS):
        begun = time.perf_counter()
        _prove(file, folder, url)
        times.append(time.perf_counter() - begun)
    middle = statistics.median(times) * 1000
    show("proof of 1 MB of MP4, p50", f"{middle:.1f} ms", "<= 3 ms", met=middle <= 3)


def _prove(file: Fetched, folder: Path, url: str) -> None:
    validate_all(Found(files=[file]), order(url), scratch=folder, moved=lambda *_: None)


def _memory(show: Show, found: Installed, jobs: api.Jobs) -> None:
    """Measure the memory of the worker pod while it downloads one file of 500 MB."""
    pods = [p for p in found.pods("worker") if "deletionTimestamp" not in p["metadata"]]
    uids = [pod["metadata"]["uid"] for pod in pods]

    def size() -> float:
        return sum(usage.pss_mib(usage.of_pod(uid)) for uid in uids)

    idle = most = size()
    over = threading.Event()

    def look() -> None:
        nonlocal most
        while not over.wait(0.1):
            most = max(most, size())

    looking = threading.Thread(target=look)
    looking.start()
    name = f"large-{secrets.token_hex(4)}"
    try:
        begun = jobs.create(
            name,
            f"http://site:8080/video/{secrets.token_hex(6)}.mp4?bytes={LARGE}",
            limits={"maxBytes": 2 * LARGE},
        )
        took = jobs.wait([name], "Succeeded", timeout=120)[name] - begun
    finally:
        over.set()
        looking.join()
    show("500 MB by Direct: created → Succeeded", f"{took:.1f} s")
    grown = most - idle
    show(
        "500 MB by Direct: the worker's pod grows by",
        f"{grown:.0f} MiB",
        "< 30 MiB",
        met=grown < 30,
    )
