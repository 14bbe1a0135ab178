"""What stays in memory of the API server's answers; in a process of its own, whose parser has read
nothing yet.
"""

import subprocess
import sys

SCRIPT = """
import gc, json, sys
from trawler_common import kube
def read():
    for number in range(20_000):
        kube._parsed(json.dumps({"metadata": {"uid": f"uid-{number}"}}).encode())
kube._parsed(b"{}")
gc.collect()
before = sys.getallocatedblocks()
read()
gc.collect()
print(sys.getallocatedblocks() - before)
"""


def test_values_that_never_come_again_are_not_kept() -> None:
    """The parser kept 16,384 of them."""
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True, timeout=60
    )
    assert int(done.stdout) < 1000
