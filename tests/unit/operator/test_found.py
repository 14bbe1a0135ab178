"""Failures that the search (`test_machine`) found, each kept as a plain test."""

from objects import job, pool, queue
from simulation import NOON, Operator, Simulation
from trawler_crds.media_job import Phase
from trawler_operator.formatting import stamp
from trawler_operator.planning.planner import SETTLE


def lone(**spec: object) -> tuple[Simulation, Operator]:
    """An operator and one job that it has seen."""
    world = Simulation(pool(replicas=0), [])
    world.api.put(job("u1", **spec))
    world.operator = Operator(world)
    return world, world.operator


def phase(world: Simulation) -> Phase:
    return world.api.jobs["u1"].status.phase


def finish(operator: Operator) -> None:
    while operator.effects:
        for key in tuple(operator.effects):
            operator.step(key)


def test_what_the_api_server_did_not_take_is_tried_again_without_waiting_for_a_full_list() -> None:
    """A cancel of a queued job was forgotten for up to five minutes."""
    world, operator = lone()
    operator.turn()
    finish(operator)
    world.api.edit("u1", cancel=True)
    world.deliver_events()
    world.api.failing = 1
    operator.turn()
    finish(operator)
    assert phase(world) is Phase.CANCELLED


def test_what_was_decided_on_an_older_sight_of_a_job_is_not_written() -> None:
    """A write whose answer was lost was done twice, upon what the watch had shown meanwhile."""
    world, operator = lone(cancel=True)
    world.api.failing, world.api.committing = 1, True
    operator.turn()
    finish(operator)
    operator.turn()  # decided on what was known before the lost answer
    world.deliver_events()
    written = world.api.jobs["u1"]
    assert Phase.CANCELLED is written.status.phase
    finish(operator)
    assert written == world.api.jobs["u1"]


def test_a_dispatch_whose_answer_was_lost_counts_until_it_is_known() -> None:
    """Before the watch showed it, a duplicate was fetched too, and a second job of a queue of
    one.
    """
    world = Simulation(pool(replicas=2), [queue("capped", maxRunning=1)])
    world.api.put(job("u1", url="http://site/1", queue="capped"))
    world.api.put(job("u2", url="http://site/2", queue="capped"))
    world.api.put(job("u3", url="http://site/1"))
    world.operator = operator = Operator(world)
    operator.turn()
    world.now += SETTLE
    while len(operator.state.by_phase[Phase.QUEUED]) < 3:
        operator.turn()
        finish(operator)
    for worker in world.workers.values():
        worker.speak()
        world.deliver_presence(worker, 0)
    world.api.failing, world.api.committing = 1, True
    operator.turn()
    finish(operator)
    operator.turn()
    finish(operator)
    running = [uid for uid, j in world.api.jobs.items() if j.status.phase is Phase.RUNNING]
    assert running == ["u1"]


def test_a_copy_is_made_only_of_the_version_that_it_was_decided_on() -> None:
    """A job was answered once more, after another leader's answer had reached it."""
    world = Simulation(pool(replicas=0), [])
    files = [{"name": "a.mp4", "bytes": 100, "sha256": "a" * 64, "type": "video/mp4"}]
    ended = {"phase": "Succeeded", "files": files, "completionTime": stamp(NOON)}
    one = {f"status_{key}": value for key, value in ended.items()}
    world.api.put(job("u0", url="http://site/1", **one))
    waiting = world.api.put(job("u1", url="http://site/1"))
    world.store.add("a" * 64)
    world.operator = operator = Operator(world)
    operator.turn()
    world.api.write_status(waiting, ended)
    world.deliver_events()
    written = world.api.jobs["u1"]
    finish(operator)
    assert written == world.api.jobs["u1"]
