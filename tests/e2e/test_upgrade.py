"""Row F39: another release under running jobs, and the way back."""

import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest

import previous_release
from installed import SMALL, Installed, installed
from trawler_cluster import images, install
from trawler_cluster.provider import Provider

pytestmark = pytest.mark.timeout(900)
WITHOUT_BOT = (*SMALL, "bot.enabled=false")


@pytest.fixture(params=previous_release.COMMITS)
def older(
    cluster: tuple[Provider, bool], request: pytest.FixtureRequest
) -> Iterator[tuple[Installed, previous_release.PreviousRelease]]:
    """An install of its own, as the commit before made it."""
    if not previous_release.at_hand(request.param):
        pytest.skip(f"{request.param} is not in this checkout: git fetch --unshallow")
    provider, goes = cluster
    known = previous_release.load(provider, request.param)
    tags = (f"image.tags.operator={known.tag}", f"image.tags.worker={known.tag}", *WITHOUT_BOT)
    with installed(
        provider,
        namespace=f"trawler-old-{secrets.token_hex(3)}",
        crds=False,
        values=tags,
        chart=known.chart,
        leave=goes,
    ) as found:
        yield found, known


def _upgrade(found: Installed, chart: Path, operator: str, worker: str) -> None:
    """All values given anew: the older chart refuses what only the newer one knows. Those of
    `SMALL` stay as they are: a site that is started anew does not remember who fetched what.
    """
    tags = (f"image.tags.operator={operator}", f"image.tags.worker={worker}")
    more = ("crds.install=false", *tags, *WITHOUT_BOT)
    release = install.Release(values=more, chart=chart)
    words = ("--reset-values", "--wait", "--timeout", "180s")
    found.kubectl.helm("upgrade", "trawler", str(chart), *words, *install.values(release))


def _jobs(found: Installed, count: int) -> dict[str, str]:
    """Downloads of six seconds each, more than there are slots: job → seed."""
    seeds = [secrets.token_hex(6) for _ in range(count)]
    return {
        found.ask(f"http://site:8080/video/{seed}.mp4?bytes=600000&rate=100000"): seed
        for seed in seeds
    }


def test_f39_jobs_run_on_through_an_upgrade_and_back(
    older: tuple[Installed, previous_release.PreviousRelease],
) -> None:
    """Old worker under a new operator, then all new, then all old again: every job ends well, each
    by one attempt and one download.
    """
    found, known = older
    now = {name: images.service(name).reference.rpartition(":")[2] for name in images.SERVICES}
    chart = install.CHART
    jobs: dict[str, str] = {}
    for path, operator, worker in (
        (chart, now["operator"], known.tag),
        (chart, now["operator"], now["worker"]),
        (known.chart, known.tag, now["worker"]),
        (known.chart, known.tag, known.tag),
    ):
        mine = _jobs(found, 4)
        first = next(iter(mine))
        found.until(first, lambda job: job.status.phase == "Running", what="Running")
        _upgrade(found, path, operator, worker)
        jobs |= mine
    for name, seed in jobs.items():
        done = found.ended(name, timeout=120).status
        assert ("Succeeded", 0) == (done.phase, done.failures), f"{name}: {done}"
        assert 1 == found.downloads(seed)
