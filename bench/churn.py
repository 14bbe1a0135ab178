"""`make churn`: creates 50 MediaJobs a second for five minutes, with ten full lists per operator,
two leader changes, cancels and deletions, on its own API server. Exits 1 if a job is lost, ends
twice, or is counted wrongly.
"""

import asyncio
import signal
import sys
import tempfile
from pathlib import Path
from typing import Final

import uvloop

from churning import Plan, churn
from servers import api_server, install_crds

PLAN: Final = Plan(seconds=300, ends=(signal.SIGKILL, signal.SIGTERM))
ROOT: Final = Path(__file__).resolve().parents[1]


def main() -> int:
    print(f"{PLAN.per_second:.0f} MediaJobs a second for {PLAN.seconds:.0f} s …", flush=True)
    with (
        tempfile.TemporaryDirectory(prefix="trawler-churn-") as name,
        api_server(Path(name)) as api,
        asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner,
    ):
        install_crds(api, ROOT / "crds")
        found = runner.run(churn(api, Path(name), PLAN))
    print(
        f"made {found.made} at {found.per_second:.1f}/s, deleted {found.deleted}, ends"
        f" {dict(found.ends)}"
    )
    print(f"elections {found.leaders}, lists of each operator {found.lists}")
    print(f"took {found.seconds:.0f} s")
    for name, which in found.faults().items():
        print(f"{name}: {which}")
    print("each job has exactly one end" if not found.faults() else "FAULTS")
    return 1 if found.faults() else 0


if __name__ == "__main__":
    sys.exit(main())
