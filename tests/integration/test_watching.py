"""Our own watch of MediaJobs, against a real API server and through a proxy that misbehaves."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest
import yaml

from apiproxy import ApiProxy
from servers import ApiServer
from trawler_common import kube
from trawler_common.kube import ApiAway, Gone
from trawler_operator.board import Board
from trawler_operator.cluster import Cluster
from trawler_operator.watching import JobWatch


@asynccontextmanager
async def connected(kubeconfig: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Cluster]:
    monkeypatch.setattr(
        "kubernetes.aio.config.kube_config.KUBE_CONFIG_DEFAULT_LOCATION", str(kubeconfig)
    )
    found = await Cluster.connect("default")
    try:
        yield found
    finally:
        await found.close()


def create(api: ApiServer, name: str) -> None:
    job = {
        "apiVersion": "trawler.dev/v1alpha1",
        "kind": "MediaJob",
        "metadata": {"name": name},
        "spec": {"url": "http://example.com/"},
    }
    api.kubectl("create", "-f", "-", stdin=yaml.safe_dump(job))


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not condition():
            await asyncio.sleep(0.05)


async def test_nothing_falls_between_the_list_and_the_watch_nor_between_two_watches(
    api: ApiServer, proxy: ApiProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Made before the watch, while it is cut, changed and deleted: all of it is seen."""
    async with connected(proxy.kubeconfig, monkeypatch) as cluster:
        board = Board()
        listed = 0

        async def list_all() -> str:
            nonlocal listed
            listed += 1
            return (await cluster.list_jobs())[1]

        _, version = await cluster.list_jobs()
        await asyncio.to_thread(create, api, "between")
        watching = asyncio.create_task(JobWatch(cluster, board, list_all).run(version))

        def names() -> set[str]:
            return {job.name for job in board.jobs.values()}

        await until(lambda: "between" in names())
        proxy.cut_watches()
        await asyncio.to_thread(create, api, "after-a-cut")
        await until(lambda: "after-a-cut" in names())
        await asyncio.to_thread(api.kubectl, "delete", "mediajob", "between", "after-a-cut")
        await until(lambda: not names())
        assert 0 == listed, "a cut watch goes on where it ended"
        proxy.gone = True
        proxy.cut_watches()
        await until(lambda: listed > 0)
        watching.cancel()
        with suppress(asyncio.CancelledError):
            await watching


async def test_a_watch_that_says_nothing_is_given_up(
    proxy: ApiProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The API server sends a bookmark each minute: silence is a broken connection."""
    monkeypatch.setattr(kube, "SILENCE", 1.0)
    proxy.silent = True
    async with connected(proxy.kubeconfig, monkeypatch) as cluster:
        _, version = await cluster.list_jobs()
        with pytest.raises(ApiAway, match="WATCH"):
            await anext(cluster.watch_jobs(version))


async def test_a_version_that_was_forgotten_is_said_to_be_gone(
    api: ApiServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """410, in the answer or in the stream."""
    async with connected(api.kubeconfig, monkeypatch) as cluster:
        with pytest.raises(Gone):
            await anext(cluster.watch_jobs("1"))
