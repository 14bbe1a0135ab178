"""Markers and the `--e2e` switch."""

import asyncio
import math
import os
from itertools import islice

import pytest


def pytest_configure(config: pytest.Config) -> None:
    """Give the main thread an event loop of ours, closed at the end.

    pytest-asyncio asks for "the current loop" before its first test; Python 3.11 then makes one
    that nobody closes, which our warnings-as-errors rightly report, in whichever test is running.
    """
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    config.add_cleanup(loop.close)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--e2e", action="store_true", help="also run what needs a local cluster (root, or Docker)"
    )


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Everything below tests/e2e needs a cluster; without the switch it is left out by name."""
    for item in items:
        if "e2e" in item.path.parts:
            item.add_marker(pytest.mark.e2e)
    if not config.getoption("--e2e"):
        kept = [item for item in items if item.get_closest_marker("e2e") is None]
        config.hook.pytest_deselected(items=[item for item in items if item not in kept])
        items[:] = _long_ones_first(kept)


def _long_ones_first(items: list[pytest.Item]) -> list[pytest.Item]:
    """Each worker begins with its part of the tests marked `long`: whoever comes to one last would
    keep all others waiting for minutes. A worker is given as many tests in a row as any other.
    """
    workers = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    long = [item for item in items if item.get_closest_marker("long")]
    rest = iter([item for item in items if item not in long])
    size = math.ceil(len(items) / workers)
    parts = [long[number::workers] for number in range(workers)]
    return [item for part in parts for item in [*part, *islice(rest, size - len(part))]]
