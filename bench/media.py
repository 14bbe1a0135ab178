"""Measures the cost of conversion against ffmpeg by hand, the quality of a video that is encoded to
a size limit, and the cost of going through Cobalt. All runs alternate on this machine.
"""

import re
import secrets
import shutil
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import api

from fetching import order
from serving import Serving
from trawler_sandbox.cobalt import CobaltApi
from trawler_sandbox.media import Studio
from trawler_sandbox.site import Site
from trawler_worker.fetcher.conversion import film
from trawler_worker.fetcher.conversion.plans import plan
from trawler_worker.fetcher.engines.base import Fetched, Found
from trawler_worker.fetcher.media.inspection import inspect
from trawler_worker.fetcher.validation import validate_all
from trawler_worker.protocol import ValidFile

TURNS: Final = 5
ROUNDS: Final = 7
FIT: Final = 10_000_000
Show = Callable[..., None]
_SSIM: Final = re.compile(rb"All:([0-9.]+)")


def run(show: Show, jobs: api.Jobs) -> None:
    """Print each figure beside its bar."""
    with tempfile.TemporaryDirectory(prefix="trawler-bench-") as name:
        folder = Path(name)
        source = _filmed(folder)
        _remux(show, source, folder)
        _encode(show, source, folder)
        _fit(show, source, folder)
    _cobalt(show, jobs)


def _ffmpeg(*words: str) -> bytes:
    argv = ["ffmpeg", "-nostdin", "-y", "-v", "error", *words]
    return subprocess.run(argv, check=True, capture_output=True).stdout


def _filmed(folder: Path) -> Path:
    """Create one minute of 1080p at 30 frames per second with sound, about 80 MB: a moving picture
    with grain.
    """
    path = folder / "source.mp4"
    _ffmpeg(
        *("-f", "lavfi", "-i", "testsrc2=size=1920x1080:rate=30:duration=60"),
        *("-f", "lavfi", "-i", "anoisesrc=color=pink:duration=60:amplitude=0.2"),
        *("-vf", "noise=alls=2:allf=t,gblur=sigma=1", "-c:v", "libx264", "-preset", "ultrafast"),
        *("-pix_fmt", "yuv420p", "-b:v", "10500k", "-maxrate", "10500k", "-bufsize", "21M"),
        *("-c:a", "aac", "-movflags", "+faststart", str(path)),
    )
    return path


def _made(source: Path, folder: Path, *, fit: int | None = None) -> tuple[float, ValidFile, Path]:
    """Convert with the worker's own code. Returns the seconds and the result."""
    scratch = Path(tempfile.mkdtemp(dir=folder))
    path = scratch / "job-1"
    shutil.copyfile(source, path)
    limits = {"fitBytes": fit} if fit else {}
    media = {"deliverAs": "Playable"}
    wish = order("http://site.example/a", media=media, limits=limits, seconds=900.0)
    found = Found(files=[Fetched(path=path, measured=True)])
    begun = time.monotonic()
    (file,) = validate_all(found, wish, scratch=scratch, moved=lambda *_: None)
    return time.monotonic() - begun, file, scratch / file.path


def _against(
    show: Show, what: str, bar: float, ours: Callable[[], float], theirs: Callable[[], float]
) -> None:
    mine, hand = [], []
    for _ in range(TURNS):
        hand.append(theirs())
        mine.append(ours())
    a, b = statistics.median(mine), statistics.median(hand)
    show(f"{what}", f"{a:.2f} s")
    show(f"{what}, by hand", f"{b:.2f} s")
    show("ratio to it", f"{a / b:.2f} x", f"<= {bar} x", met=a / b <= bar)


def _timed(*words: str) -> float:
    begun = time.monotonic()
    _ffmpeg(*words)
    return time.monotonic() - begun


def _remux(show: Show, source: Path, folder: Path) -> None:
    """Measure Matroska to MP4, including validation before and after."""
    large = folder / "large.mkv"
    _ffmpeg("-i", str(source), "-c", "copy", str(large))
    size = large.stat().st_size / 1e6

    def ours() -> float:
        seconds, _, path = _made(large, folder)
        shutil.rmtree(path.parent)
        return seconds

    out = str(folder / "by-hand.mp4")
    words = ("-i", str(large), "-c", "copy", "-movflags", "+faststart", out)
    _against(show, f"another container for {size:.0f} MB", 1.5, ours, lambda: _timed(*words))


def _encode(show: Show, source: Path, folder: Path) -> None:
    """Measure eight seconds of HEVC, against the same command."""
    hevc = folder / "hevc.mp4"
    _ffmpeg(
        *("-i", str(source), "-t", "8", "-c:v", "libx265", "-preset", "ultrafast"),
        *("-x265-params", "log-level=error", "-tag:v", "hvc1", "-c:a", "copy", str(hevc)),
    )
    seen = inspect(hevc)
    filters = film.filters(seen, film.size_of(seen))
    audio = "copy" if plan(seen).audio == "Copy" else "aac"
    words = (
        *("-i", str(hevc), "-map", "0:V:0", "-map", "0:a:0?", "-vf", filters, "-c:v", "libx264"),
        *("-preset", film.PRESET, "-profile:v", "high", "-crf", str(film.QUALITY)),
        *("-fps_mode", "vfr", "-c:a", audio, "-movflags", "+faststart", str(folder / "hand.mp4")),
    )

    def ours() -> float:
        seconds, _, path = _made(hevc, folder)
        shutil.rmtree(path.parent)
        return seconds

    _against(show, "8 s of 1080p HEVC to H.264", 1.1, ours, lambda: _timed(*words))


def _fit(show: Show, source: Path, folder: Path) -> None:
    """Measure 80 MB encoded to 10 MB and its similarity to the source, against two plain passes to
    the same size.
    """
    seconds, file, path = _made(source, folder, fit=FIT)
    show("60 s of 1080p30 to fit 10 MB", f"{seconds:.0f} s", "<= 300 s", met=seconds <= 300)
    show("its size", f"{file.bytes / 1e6:.2f} MB", "<= 10 MB", met=file.bytes <= FIT)
    plain = folder / "plain.mp4"
    rate = str(int(file.bytes * 8 / 60 - 96_000))
    log = ("-passlogfile", str(folder / "plain"))
    usual = ("-i", str(source), "-c:v", "libx264", "-b:v", rate)
    _ffmpeg(*usual, "-pass", "1", *log, "-an", "-f", "null", "/dev/null")
    _ffmpeg(*usual, "-pass", "2", *log, "-c:a", "aac", "-b:a", "96k", str(plain))
    mine, theirs = _ssim(path, source), _ssim(plain, source)
    show("its SSIM", f"{mine:.4f}")
    show("SSIM of two plain passes to the same size", f"{theirs:.4f}")
    show("ratio to it", f"{mine / theirs:.3f} x", ">= 0.99 x", met=mine / theirs >= 0.99)


def _ssim(path: Path, source: Path) -> float:
    argv = ["ffmpeg", "-nostdin", "-v", "info", "-i", str(path), "-i", str(source), "-lavfi"]
    scaled = "[0:v]scale=1920:1080[a];[a][1:v]ssim"
    done = subprocess.run([*argv, scaled, "-f", "null", "-"], check=True, capture_output=True)
    return float(_SSIM.findall(done.stderr)[-1])


def _cobalt(show: Show, jobs: api.Jobs) -> None:
    """Measure 20 MB at 10 MB/s by Cobalt through the cluster, stored and recorded, against its API
    and curl from here.
    """
    ours, theirs = [], []
    with tempfile.TemporaryDirectory(prefix="trawler-bench-") as name, Serving() as serving:
        folder = Path(name)
        site = serving.serve(Site(folder).app())
        at = serving.serve(CobaltApi(Studio(folder), site=site).app())
        jobs.create(warm := f"cobalt-{secrets.token_hex(4)}", _link())
        jobs.wait([warm], "Succeeded", timeout=60)
        _by_hand(at, folder)
        for _ in range(ROUNDS):
            theirs.append(_by_hand(at, folder))
            begun = jobs.create(one := f"cobalt-{secrets.token_hex(4)}", _link())
            ours.append(jobs.wait([one], "Succeeded", timeout=60)[one] - begun)
    mine, hand = statistics.median(ours), statistics.median(theirs)
    show(f"Cobalt: created → Succeeded, p50 of {ROUNDS}", f"{mine * 1000:.0f} ms")
    show(f"Cobalt: its API and curl, p50 of {ROUNDS}", f"{hand * 1000:.0f} ms")
    show("ratio to it", f"{mine / hand:.2f} x", "<= 1.3 x", met=mine / hand <= 1.3)


def _link() -> str:
    return f"https://www.instagram.com/p/paced20_{secrets.token_hex(6)}"


def _by_hand(at: str, folder: Path) -> float:
    """Download as a script would."""
    script = (
        f"curl -s -X POST {at}/ -H 'Accept: application/json' -H 'Content-Type: application/json'"
        f' -d \'{{"url": "{_link()}"}}\' | python3 -c \'import json,sys;'
        ' print(json.load(sys.stdin)["url"])\''
    )
    begun = time.monotonic()
    url = subprocess.run(["bash", "-c", script], check=True, capture_output=True, text=True).stdout
    subprocess.run(["curl", "-s", "-o", str(folder / "c.mp4"), url.strip()], check=True)
    return time.monotonic() - begun


def alone() -> Any:
    """Run the measurements that need no cluster: `python bench/media.py`."""
    with tempfile.TemporaryDirectory(prefix="trawler-bench-") as name:
        folder = Path(name)
        source = _filmed(folder)
        print(f"source: {source.stat().st_size / 1e6:.0f} MB")

        def show(name: str, value: str, bar: str = "", *, met: bool = True) -> None:
            print(f"{name:<50} {value:>12} {bar:<12} {'' if met else 'MISSED'}", flush=True)

        _remux(show, source, folder)
        _encode(show, source, folder)
        _fit(show, source, folder)


if __name__ == "__main__":
    alone()
