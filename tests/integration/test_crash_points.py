"""Killed at every named step in turn: the next life takes up from there, nothing lost, nothing twice."""

import asyncio
import signal
from collections.abc import Callable
from dataclasses import dataclass

import pytest

from rig import Rig
from trawler_common.failpoints import VARIABLE, Failpoint
from trawler_crds.media_job import MediaJob

WORKER = [point for point in Failpoint if point.startswith("worker")]
BOT = [point for point in Failpoint if point.startswith("bot")]  # tests/integration/emulator
SWEEP = [Failpoint.BEFORE_SWEEP, Failpoint.AFTER_SWEEP]
OPERATOR = [point for point in Failpoint if point not in {*WORKER, *BOT, *SWEEP}]


@dataclass
class Case:
    """Jobs whose way leads past a crash point, and what each shall end in."""

    jobs: dict[str, MediaJob]
    ends: dict[str, str]
    after: Callable[[], None] = lambda: None
    """What somebody does a moment later."""
    then: Callable[[], None] = lambda: None
    """What somebody does after the death."""


def _case(rig: Rig, point: Failpoint) -> Case:
    """Two twins and a slow one always; and whoever is needed to come past this point."""
    shared = rig.seed()
    jobs = {
        "one": rig.ask(shared),
        "twin": rig.ask(shared),
        "slow": rig.ask(rig.seed(), size=200_000, rate=100_000),
    }
    case = Case(jobs, dict.fromkeys(jobs, "Succeeded"))
    match point.partition("-")[2]:
        case "Queued":  # where a slot is free, a job runs without a word of waiting
            rig.operator.declare("closed", paused=True)
            jobs["more"] = rig.ask(rig.seed(), queue="closed")
            case.ends["more"] = "Succeeded"
            case.then = lambda: rig.operator.edit("closed", "mediaqueues", paused=False)
        case "Cancelled":
            jobs["more"] = more = rig.ask(rig.seed(), size=10_000_000, rate=100_000)
            case.ends["more"] = "Cancelled"
            case.after = lambda: rig.edit(more, cancel=True)
        case "Suspended":
            jobs["more"] = more = rig.ask(rig.seed(), suspend=True)
            case.ends["more"] = "Succeeded"
            case.after = lambda: rig.edit(more, suspend=False)
        case "Failed":
            jobs["more"] = rig.ask(rig.seed(), kind="status/404")
            case.ends["more"] = "Failed"
        case "expiry":
            jobs["more"] = rig.ask(rig.seed(), ttlSecondsAfterFinished=0)
            case.ends["more"] = "gone"
        case "pod":
            case.after = lambda: rig.scale(2)
    return case


@pytest.mark.parametrize("point", OPERATOR)
async def test_the_operator_dies(rig: Rig, point: Failpoint) -> None:
    """Rows F01, F02, F03: whatever it was about to do, or had just done, is done once."""
    rig.operator.kill()
    rig.operator.start(**{VARIABLE: point})
    await rig.leading()
    case = _case(rig, point)
    await asyncio.sleep(0.5)
    case.after()
    await rig.until(lambda: rig.operator.died() is not None, what=f"death {point}")
    assert -signal.SIGKILL == rig.operator.died()
    rig.operator.start()
    case.then()
    stay = {name: end for name, end in case.ends.items() if end != "gone"}
    done = await rig.ended([case.jobs[name] for name in stay])
    found = {name: done[case.jobs[name].name].status for name in stay}
    assert stay == {name: str(status.phase) for name, status in found.items()}
    for status in found.values():
        # a refused order is one more attempt and no failure; nobody ran it
        assert status.attempt <= 2
        assert status.failures == (status.phase == "Failed")
    assert all(rig.downloads_of(job) <= 1 for job in case.jobs.values())
    if "gone" in case.ends.values():
        await rig.until(lambda: case.jobs["more"].name not in rig.jobs(), what="the expiry")
    await rig.nothing_left()


@pytest.mark.parametrize("point", WORKER)
async def test_a_worker_dies(rig: Rig, point: Failpoint) -> None:
    """Rows F07, F08, F09: one more attempt at most, and one object."""
    await rig.replace_pods({VARIABLE: point})
    job = rig.ask(rig.seed())
    await rig.until(rig.a_pod_died, what=f"death {point}")
    rig.node.env = {}
    done = (await rig.ended([job]))[job.name]
    attempts, failures = {
        Failpoint.WORKER_ORDERED: (2, 0),  # it never answered: that costs no failure
        Failpoint.WORKER_RECORDED: (1, 0),
    }.get(point, (2, 1))
    assert "Succeeded" == done.status.phase
    assert (attempts, failures) == (done.status.attempt, done.status.failures)
    assert rig.downloads_of(job) <= done.status.attempt
    assert {file.sha256 for file in done.status.files or ()} == await rig.stored()
    await rig.nothing_left()


@pytest.mark.pool(maxAttemptSeconds=3)
@pytest.mark.parametrize("point", SWEEP)
async def test_the_operator_dies_while_it_sweeps(rig: Rig, point: Failpoint) -> None:
    """Row F04: a deleted job's object goes in the end, another one's stays."""
    kept, deleted = rig.ask(rig.seed()), rig.ask(rig.seed())
    done = await rig.ended([kept, deleted])
    await rig.leave()
    rig.operator.start(**{VARIABLE: point})
    rig.operator.kubectl("delete", "mj", deleted.name)
    await rig.until(lambda: rig.operator.died() is not None, what=f"death {point}")
    rig.operator.start()
    mine = {each.sha256 for each in done[kept.name].status.objects}
    async with asyncio.timeout(60):
        while mine != await rig.objects():
            await asyncio.sleep(0.3)
    await rig.nothing_left()
