"""Failures that the search (`test_machine`) found, each kept as a plain test."""

from objects import job, pool
from trawler_crds.media_job import Phase
from world import Operator, World


def lone(**spec: object) -> tuple[World, Operator]:
    """An operator and one job that it has seen."""
    world = World(pool(replicas=0), [])
    world.api.put(job("u1", **spec))
    world.operator = Operator(world)
    return world, world.operator


def phase(world: World) -> Phase:
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
    assert phase(world) is Phase.QUEUED
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
