"""A cluster for the e2e shelf: a running one of ours if it fits, else one of our own."""

import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from installed import Installed, installed
from trawler_cluster.kubectl import Kubectl
from trawler_cluster.plan import MAIN, Plan
from trawler_cluster.provider import Provider, choose

ROOT = Path(__file__).resolve().parents[2]


def guard(provider: Provider) -> None:
    """Refuse every cluster that is not a throw-away one of ours."""
    context = Kubectl(provider).text("config", "current-context")
    assert context.startswith((MAIN, f"kind-{MAIN}")), f"not a cluster for tests: {context}"


def crds_equal(provider: Provider) -> bool:
    """Whether the CRDs there are those of this checkout."""
    kubectl = Kubectl(provider)
    for path in sorted((ROOT / "crds").glob("*.yaml")):
        wanted = yaml.safe_load(path.read_text())
        found = kubectl.run("get", "crd", wanted["metadata"]["name"], "-o", "json", check=False)
        if found.returncode != 0:
            return False
        there = yaml.safe_load(found.stdout)["spec"]
        if there["versions"] != _defaulted(wanted["spec"]["versions"], there["versions"]):
            return False
    return True


def _defaulted(wanted: Any, there: Any) -> Any:
    """What we wrote, with what the API server adds by itself."""
    if isinstance(wanted, dict) and isinstance(there, dict):
        added = {k: v for k, v in there.items() if k not in wanted and k == "deprecated"}
        return {k: _defaulted(v, there.get(k)) for k, v in wanted.items()} | added
    if isinstance(wanted, list) and isinstance(there, list) and len(wanted) == len(there):
        return [_defaulted(a, b) for a, b in zip(wanted, there, strict=True)]
    return wanted


@pytest.fixture(scope="session")
def cluster() -> Iterator[tuple[Provider, bool]]:
    """A cluster, and whether the CRDs are there already. Taken down only if brought up here."""
    running = choose(Plan())
    if running.healthy() and crds_equal(running):
        guard(running)
        yield running, True
        return
    mine = choose(Plan(name=f"{MAIN}-test", number=1))
    try:
        mine.up()
        guard(mine)
        yield mine, False
    finally:
        mine.down()


@pytest.fixture(scope="session")
def release(cluster: tuple[Provider, bool]) -> Iterator[Installed]:
    """Trawler in a namespace of this run."""
    provider, there = cluster
    namespace = f"trawler-test-{secrets.token_hex(3)}"
    with installed(provider, namespace=namespace, crds=not there, leave=not there) as found:
        yield found


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[None]:
    """After a failure, show what a person would look at."""
    outcome = yield
    report = outcome.get_result()  # type: ignore[attr-defined]
    if report.when == "call" and report.failed:
        found = getattr(item, "funcargs", {}).get("release")
        if isinstance(found, Installed):
            report.sections.append(("namespace", found.report()))
