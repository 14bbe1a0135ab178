"""Killed at every named step in turn: the next life takes up from there, nothing lost, nothing
twice.
"""

import asyncio
import signal
from collections.abc import Callable
from dataclasses import dataclass

import pytest

from stack import Stack
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


def _case(stack: Stack, point: Failpoint) -> Case:
    """Two twins and a slow one always; and whoever is needed to come past this point."""
    shared = stack.seed()
    jobs = {
        "one": stack.ask(shared),
        "twin": stack.ask(shared),
        "slow": stack.ask(stack.seed(), size=200_000, rate=100_000),
    }
    case = Case(jobs, dict.fromkeys(jobs, "Succeeded"))
    match point.partition("-")[2]:
        case "Queued":  # where a slot is free, a job runs without a word of waiting
            stack.operator.declare("closed", paused=True)
            jobs["more"] = stack.ask(stack.seed(), queue="closed")
            case.ends["more"] = "Succeeded"
            case.then = lambda: stack.operator.edit("closed", "mediaqueues", paused=False)
        case "Cancelled":
            jobs["more"] = more = stack.ask(stack.seed(), size=10_000_000, rate=100_000)
            case.ends["more"] = "Cancelled"
            case.after = lambda: stack.edit(more, cancel=True)
        case "Suspended":
            jobs["more"] = more = stack.ask(stack.seed(), suspend=True)
            case.ends["more"] = "Succeeded"
            case.after = lambda: stack.edit(more, suspend=False)
        case "Failed":
            jobs["more"] = stack.ask(stack.seed(), kind="status/404")
            case.ends["more"] = "Failed"
        case "expiry":
            jobs["more"] = stack.ask(stack.seed(), ttlSecondsAfterFinished=0)
            case.ends["more"] = "gone"
        case "pod":
            case.after = lambda: stack.scale(2)
    return case


@pytest.mark.parametrize("point", OPERATOR)
async def test_the_operator_dies(stack: Stack, point: Failpoint) -> None:
    """Rows F01, F02, F03: whatever it was about to do, or had just done, is done once."""
    stack.operator.kill()
    stack.operator.start(**{VARIABLE: point})
    await stack.leading()
    case = _case(stack, point)
    await asyncio.sleep(0.5)
    case.after()
    await stack.until(lambda: stack.operator.died() is not None, what=f"death {point}")
    assert -signal.SIGKILL == stack.operator.died()
    stack.operator.start()
    case.then()
    stay = {name: end for name, end in case.ends.items() if end != "gone"}
    done = await stack.ended([case.jobs[name] for name in stay])
    found = {name: done[case.jobs[name].name].status for name in stay}
    assert stay == {name: str(status.phase) for name, status in found.items()}
    for status in found.values():
        # a refused order is one more attempt and no failure; nobody ran it
        assert status.attempt <= 2
        assert status.failures == (status.phase == "Failed")
    assert all(stack.downloads_of(job) <= 1 for job in case.jobs.values())
    if "gone" in case.ends.values():
        await stack.until(lambda: case.jobs["more"].name not in stack.jobs(), what="the expiry")
    await stack.nothing_left()


@pytest.mark.parametrize("point", WORKER)
async def test_a_worker_dies(stack: Stack, point: Failpoint) -> None:
    """Rows F07, F08, F09: one more attempt at most, and one object."""
    await stack.replace_pods({VARIABLE: point})
    job = stack.ask(stack.seed())
    await stack.until(stack.a_pod_died, what=f"death {point}")
    stack.node.env = {}
    done = (await stack.ended([job]))[job.name]
    attempts, failures = {
        Failpoint.WORKER_ORDERED: (2, 0),  # it never answered: that costs no failure
        Failpoint.WORKER_RECORDED: (1, 0),
    }.get(point, (2, 1))
    assert "Succeeded" == done.status.phase
    assert (attempts, failures) == (done.status.attempt, done.status.failures)
    assert stack.downloads_of(job) <= done.status.attempt
    assert {file.sha256 for file in done.status.files or ()} == await stack.stored()
    await stack.nothing_left()


@pytest.mark.pool(maxAttemptSeconds=3)
@pytest.mark.parametrize("point", SWEEP)
async def test_the_operator_dies_while_it_sweeps(stack: Stack, point: Failpoint) -> None:
    """Row F04: a deleted job's object goes in the end, another one's stays."""
    kept, deleted = stack.ask(stack.seed()), stack.ask(stack.seed())
    done = await stack.ended([kept, deleted])
    await stack.leave()
    stack.operator.start(**{VARIABLE: point})
    stack.operator.kubectl("delete", "mj", deleted.name)
    await stack.until(lambda: stack.operator.died() is not None, what=f"death {point}")
    stack.operator.start()
    mine = {each.sha256 for each in done[kept.name].status.objects}
    async with asyncio.timeout(60):
        while mine != await stack.objects():
            await asyncio.sleep(0.3)
    await stack.nothing_left()
