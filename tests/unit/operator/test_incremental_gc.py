"""The collector in a process of its own: its settings are the whole process's."""

import subprocess
import sys

SCRIPT = """
import gc, time
from trawler_operator import incremental_gc
incremental_gc.collect_in_pieces()
longest = 0.0
begun = 0.0
def watch(phase, info):
    global longest, begun
    if phase == "start":
        begun = time.perf_counter()
    else:
        longest = max(longest, time.perf_counter() - begun)
gc.callbacks.insert(0, watch)
kept = [{"n": str(n), "more": [n]} for n in range(400_000)]
before = gc.get_freeze_count()
class Node: pass
for _ in range(50_000):
    node = Node(); node.me = node
del node
gc.collect()
assert not [each for each in gc.get_objects() if isinstance(each, Node)]
print(before, longest)
"""


def test_what_is_kept_is_looked_at_once_and_cycles_are_still_found() -> None:
    """A look at everything took more than a second with a hundred thousand jobs."""
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True, timeout=60
    )
    frozen = int(done.stdout.split()[0])
    assert frozen > 600_000


SHORT = """
import gc
from collections import deque
from trawler_operator import incremental_gc
gc.collect(); gc.freeze()
incremental_gc.collect_in_pieces()
class Node: pass
alive, jobs = [], deque(maxlen=5_000)
for number in range(400_000):
    node = Node(); node.me = node
    alive.append(node)
    jobs.append([number])
    del alive[:-50]
alive.clear()
del node
gc.collect()
gc.unfreeze()
print(len([each for each in gc.get_objects() if isinstance(each, Node)]))
"""


def test_cycles_that_live_for_a_moment_are_not_left_behind() -> None:
    """Each look that came while some were alive kept those for ever."""
    done = subprocess.run(
        [sys.executable, "-c", SHORT], capture_output=True, text=True, check=True, timeout=60
    )
    assert 0 == int(done.stdout)
