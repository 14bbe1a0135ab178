"""Memory that is free again goes back to the node, in a process of its own: the allocator is the
process's.
"""

import os
import subprocess
import sys

SCRIPT = """
import asyncio, linecache
from pathlib import Path
from trawler_common import lifecycle, memory

memory.EVERY = 0.2

def resident():
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("RssAnon:")).split()[1]) / 1024

async def service(stop):
    linecache.getlines(asyncio.base_events.__file__)
    pieces = [bytes(200) for _ in range(400_000)]
    most = resident()
    kept = pieces[::500]
    del pieces
    for _ in range(100):
        await asyncio.sleep(0.1)
        if resident() < most - 40:
            break
    print(most - resident(), len(kept), len(linecache.cache))

lifecycle.run(service)
"""


def test_a_peak_goes_back_though_something_small_stays_in_each_part_of_it() -> None:
    """80 MiB were taken, and one piece of five hundred is kept."""
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT],
        env={**os.environ, "PYTHONMALLOC": "malloc"},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    given, _, lines = map(float, done.stdout.split())
    assert given > 40
    assert not lines, "whole source files are kept from the first exception with its lines"
