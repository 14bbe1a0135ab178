"""Markers, the `--e2e` switch, and media for whoever needs some."""

import asyncio
import math
import os
from collections.abc import Iterator
from itertools import islice
from typing import Protocol, runtime_checkable

import pytest

from trawler_sandbox.media import Studio


def pytest_configure(config: pytest.Config) -> None:
    """Give the main thread an event loop of ours, closed at the end.

    pytest-asyncio asks for "the current loop" before its first test; Python 3.11 then makes one
    that nobody closes, which our warnings-as-errors rightly report, in whichever test is running.
    """
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    config.add_cleanup(loop.close)


@pytest.fixture(scope="session")
def studio(tmp_path_factory: pytest.TempPathFactory) -> Studio:
    """Media of every kind, made once."""
    return Studio(tmp_path_factory.mktemp("studio"))


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[None]:
    """After a failure, show what each part said that the test used: a fault is seldom where it
    shows.
    """
    outcome = yield
    report = outcome.get_result()  # type: ignore[attr-defined]
    if not report.failed or report.when == "teardown":
        return
    for part in getattr(item, "funcargs", {}).values():
        if isinstance(part, Logging):
            report.sections += _said_by(part)


def _said_by(part: "Logging") -> list[tuple[str, str]]:
    """What it can still say: a test may have taken from it what it needs for that."""
    try:
        return [(title, text) for title, text in part.logs().items() if text]
    except Exception as error:  # noqa: BLE001 - a report must not hide the failure that it is about
        return [(f"logs of {type(part).__name__}", repr(error))]


@runtime_checkable
class Logging(Protocol):
    """A part that can say, when a test failed, what it did."""

    def logs(self) -> dict[str, str]:
        """Title → text."""
        ...


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
    """The first worker begins with the tests that wait for minutes (`long`), one after another:
    together they would leave the processors with nothing to do, and last they would keep everybody
    waiting. The next one begins with those that reckon for minutes (`heavy`). A worker is given as
    many tests in a row as any other.
    """
    first = [[item for item in items if item.get_closest_marker(m)] for m in ("long", "heavy")]
    rest = iter([item for item in items if not any(item in part for part in first)])
    workers = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    size = math.ceil(len(items) / workers)
    parts = [*first, *([] for _ in range(workers))]
    ordered = [item for part in parts for item in [*part, *islice(rest, max(0, size - len(part)))]]
    return [*ordered, *rest]
