"""Half a minute of what `make churn` does for five."""

import signal
from pathlib import Path

from churning import Plan, churn
from servers import ApiServer


async def test_jobs_made_cancelled_and_deleted_in_haste_have_one_end_each(
    api: ApiServer, tmp_path: Path
) -> None:
    """While everything is listed again and again and the leader changes twice. So few jobs are
    listed in a moment: only where the next list begins at once does much happen during one.
    """
    plan = Plan(seconds=15, per_second=30, lists=100, ends=(signal.SIGTERM, signal.SIGKILL))
    found = await churn(api, tmp_path, plan)
    assert {} == found.faults()
    assert 450 == found.made
    assert 3 <= found.leaders
    assert found.deleted
    assert {"Succeeded", "Cancelled"} <= set(found.ends)
