"""Markers and the `--e2e` switch."""

import pytest


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
        items[:] = kept
