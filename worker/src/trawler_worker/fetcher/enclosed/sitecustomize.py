# ruff: noqa: INP001 - a folder for PYTHONPATH, and no package
"""Python reads this before any program that is started with this folder in PYTHONPATH: its sockets
pass the guard too. Nothing of the program is imported here, and it imports nothing of ours.
"""

import os
import sys

from trawler_common.egress import AllowList
from trawler_worker.fetcher.network.guard import Guard

try:
    Guard(AllowList.parse(filter(None, os.environ["TRAWLER_EGRESS_ALLOW"].split(",")))).install()
except BaseException:  # noqa: BLE001 - Python would go on without it
    sys.stderr.write("the guard could not be installed\n")
    os._exit(70)
