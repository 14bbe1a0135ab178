"""Killed at every named step in turn: the next life takes up from there, nothing lost, nothing twice."""

import asyncio
import signal

import pytest

from rig import Rig
from trawler_common.crashing import VARIABLE, CrashPoint
from trawler_crds.media_job import MediaJob

WORKER = [point for point in CrashPoint if point.startswith("worker")]
SWEEP = [CrashPoint.BEFORE_SWEEP, CrashPoint.AFTER_SWEEP]
OPERATOR = [point for point in CrashPoint if point not in {*WORKER, *SWEEP}]


async def _everything(rig: Rig) -> dict[str, tuple[str, MediaJob]]:
    """A job for every way there is: what it shall end in, and the job."""
    shared = rig.seed()
    kept = rig.ask(rig.seed(), size=400_000, rate=200_000)
    cancelled = rig.ask(rig.seed(), size=10_000_000, rate=100_000)
    found = {
        "kept": ("Succeeded", kept),
        "cancelled": ("Cancelled", cancelled),
        "first": ("Succeeded", rig.ask(shared)),
        "twin": ("Succeeded", rig.ask(shared)),
        "nothing": ("Failed", rig.ask(rig.seed(), kind="status/404")),
        "suspended": ("Succeeded", rig.ask(rig.seed(), suspend=True)),
        "expired": ("gone", rig.ask(rig.seed(), ttlSecondsAfterFinished=0)),
    }
    rig.operator.kubectl("scale", "wp/default", "--replicas=2")
    await asyncio.sleep(1.0)
    rig.edit(cancelled, '"cancel":true')
    rig.edit(found["suspended"][1], '"suspend":false')
    return found


@pytest.mark.parametrize("point", OPERATOR)
async def test_the_operator_dies_at(rig: Rig, point: CrashPoint) -> None:
    """Rows F01, F02, F03, F04: whatever it was about to do, or had just done."""
    rig.operator.kill()
    rig.operator.start(**{VARIABLE: point})
    jobs = await _everything(rig)
    await rig.until(lambda: rig.operator.died() is not None, what=f"death {point}")
    assert -signal.SIGKILL == rig.operator.died()
    rig.operator.start()
    done = await rig.ended([job for end, job in jobs.values() if end != "gone"])
    assert {name: end for name, (end, _) in jobs.items() if end != "gone"} == {
        name: str(done[job.name].status.phase) for name, (end, job) in jobs.items() if end != "gone"
    }
    gone = jobs["expired"][1].name
    await rig.until(lambda: gone not in rig.jobs(), what="the end of the expired one")
    for job in done.values():
        assert job.status.attempt <= 1, "an attempt was given twice"
        assert job.status.failures <= (1 if job.status.phase == "Failed" else 0)
    assert all(rig.downloads_of(job) <= 1 for _, job in jobs.values())
    await rig.nothing_left()


@pytest.mark.parametrize("point", WORKER)
async def test_a_worker_dies_at(rig: Rig, point: CrashPoint) -> None:
    """Rows F07, F08, F09: one more attempt at most, and one object."""
    await rig.replace_pods({VARIABLE: point})
    job = rig.ask(rig.seed())
    await rig.until(rig.a_pod_died, what=f"death {point}")
    rig.node.env = {}
    done = (await rig.ended([job]))[job.name]
    assert "Succeeded" == done.status.phase
    recorded = point is CrashPoint.WORKER_RECORDED
    assert (1 if recorded else 2) == done.status.attempt
    assert (0 if recorded else 1) == done.status.failures
    assert rig.downloads_of(job) <= done.status.attempt
    assert {file.sha256 for file in done.status.files or ()} == await rig.stored()
    await rig.nothing_left()


@pytest.mark.pool(maxAttemptSeconds=3)
@pytest.mark.parametrize("point", SWEEP)
async def test_the_operator_dies_while_it_sweeps(rig: Rig, point: CrashPoint) -> None:
    """Row F04: a deleted job's object goes in the end, another one's stays."""
    kept, deleted = rig.ask(rig.seed()), rig.ask(rig.seed())
    done = await rig.ended([kept, deleted])
    await rig.leave()
    rig.operator.start(**{VARIABLE: point})
    rig.operator.kubectl("delete", "mj", deleted.name)
    await rig.until(lambda: rig.operator.died() is not None, what=f"death {point}")
    rig.operator.start()
    mine = {file.sha256 for file in done[kept.name].status.files or ()}
    async with asyncio.timeout(60):
        while mine != await rig.stored():
            await asyncio.sleep(0.3)
    await rig.nothing_left()
