"""What may die, hang or vanish between operator, worker, bus, store and API server, all of them real.

Only containers are missing: a pod here is two processes. Named by the rows of docs/faults.md.
"""

import secrets
from typing import Any

from node import Node
from operating import Operator


async def test_a_job_goes_all_the_way(operator: Operator, node: Node, site: Any) -> None:
    name = secrets.token_hex(4)
    job = operator.ask(url=site.url(f"/video/{name}.mp4?bytes=1000000"))
    done = await operator.until(job.name, phase="Succeeded")
    print(done.status)
