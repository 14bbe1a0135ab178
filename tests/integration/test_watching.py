"""Our own lists and watches, against a real API server and through a proxy that misbehaves."""

import asyncio
import secrets
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from apiclient import MERGE
from apiproxy import ApiProxy
from operator_process import API
from servers import ApiServer
from trawler_common import kube, reflector
from trawler_common.kube import ApiUnavailable, WatchExpired
from trawler_common.reflector import Reflector
from trawler_crds.media_job import Phase
from trawler_operator.kube.client import ClusterClient
from trawler_operator.kube.informers import JobSink
from trawler_operator.state.cluster_state import ClusterState


@pytest.fixture
def namespace(api: ApiServer) -> str:
    name = f"w-{secrets.token_hex(4)}"
    api.kubectl("create", "namespace", name)
    return name


@asynccontextmanager
async def connected(
    kubeconfig: Path, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[ClusterClient]:
    monkeypatch.setattr(
        "kubernetes.aio.config.kube_config.KUBE_CONFIG_DEFAULT_LOCATION", str(kubeconfig)
    )
    found = await ClusterClient.connect(namespace)
    try:
        yield found
    finally:
        await found.close()
        await asyncio.sleep(0.1)  # TLS closes only then (aiohttp's docs, Graceful Shutdown)


@asynccontextmanager
async def informing(client: ClusterClient, state: ClusterState) -> AsyncIterator[Reflector]:
    found = Reflector(client, client.jobs_path, JobSink(state))
    running = asyncio.create_task(found.run())
    try:
        yield found
        assert not running.done(), running
    finally:
        running.cancel()
        with suppress(asyncio.CancelledError):
            await running


class Jobs:
    """MediaJobs of one namespace, as a person with kubectl has them."""

    def __init__(self, api: ApiServer, namespace: str) -> None:
        self._api = api
        self._path = f"{API}/namespaces/{namespace}/mediajobs"

    def create(self, *names: str, **meta: Any) -> None:
        for name in names:
            job = {
                "apiVersion": "trawler.dev/v1alpha1",
                "kind": "MediaJob",
                "metadata": {"name": name, **meta},
                "spec": {"url": "http://example.com/"},
            }
            self._api.send("POST", self._path, job)

    def delete(self, *names: str) -> None:
        for name in names:
            self._api.send("DELETE", f"{self._path}/{name}")

    def patch(self, name: str, **spec: Any) -> None:
        self._api.send("PATCH", f"{self._path}/{name}", {"spec": spec}, kind=MERGE)


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not condition():
            await asyncio.sleep(0.05)


def names(state: ClusterState) -> set[str]:
    return {job.name for job in state.jobs.values()}


@pytest.fixture
def short_pages(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Two objects a page, so that three make a list of two pages."""
    monkeypatch.setattr(kube, "PAGE", 2)
    return iter(())


async def test_nothing_falls_between_the_list_and_the_watch_nor_between_two_watches(
    api: ApiServer, proxy: ApiProxy, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Made before the watch, while it is cut, changed and deleted: all of it is seen."""
    jobs, state = Jobs(api, namespace), ClusterState(time.monotonic)
    async with (
        connected(proxy.kubeconfig, namespace, monkeypatch) as client,
        informing(client, state) as informer,
    ):
        await informer.synced.wait()
        await asyncio.to_thread(jobs.create, "between")
        await until(lambda: "between" in names(state))
        proxy.cut_watches()
        await asyncio.to_thread(jobs.create, "after-a-cut")
        await until(lambda: "after-a-cut" in names(state))
        await asyncio.to_thread(jobs.delete, "between", "after-a-cut")
        await until(lambda: not names(state))
        assert 1 == len(proxy.lists), "a cut watch goes on where it ended"


async def test_a_version_that_is_always_forgotten_makes_no_storm_of_lists(
    api: ApiServer, proxy: ApiProxy, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """144 lists were made in 8 seconds."""
    jobs, state = Jobs(api, namespace), ClusterState(time.monotonic)
    async with (
        connected(proxy.kubeconfig, namespace, monkeypatch) as client,
        informing(client, state) as informer,
    ):
        await informer.synced.wait()
        proxy.gone = True
        proxy.cut_watches()
        begun = time.monotonic()
        await until(lambda: len(proxy.lists) >= 4)
        assert time.monotonic() - begun > 2.5, "0.5 to 1 s, 1 to 2 s, 2 to 4 s"
        proxy.gone = False
        await asyncio.to_thread(jobs.create, "later")
        await until(lambda: "later" in names(state))


@pytest.mark.parametrize("code", [403, 404, 409, 410, 429, 500, 503])
async def test_no_answer_to_a_list_ends_it(
    code: int,
    api: ApiServer,
    proxy: ApiProxy,
    namespace: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A 404 in the five-minute list ended the process."""
    jobs, state = Jobs(api, namespace), ClusterState(time.monotonic)
    await asyncio.to_thread(jobs.create, "a")
    proxy.refused_lists = [code]
    async with (
        connected(proxy.kubeconfig, namespace, monkeypatch) as client,
        informing(client, state),
    ):
        await until(lambda: names(state) == {"a"})


@pytest.mark.usefixtures("short_pages")
async def test_a_page_is_asked_for_again_by_itself_and_a_forgotten_list_begins_anew(
    api: ApiServer, proxy: ApiProxy, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """410 on a `continue` token ended the process."""
    jobs, state = Jobs(api, namespace), ClusterState(time.monotonic)
    await asyncio.to_thread(jobs.create, "a", "b", "c", "d", "e")
    async with connected(proxy.kubeconfig, namespace, monkeypatch) as client:
        proxy.gone_pages = 1
        async with informing(client, state):
            await until(lambda: len(names(state)) == 5)
            assert 2 == len(proxy.lists)
        other = ClusterState(time.monotonic)
        found = Reflector(client, client.jobs_path, JobSink(other))
        before = len(proxy.lists)
        listing = asyncio.create_task(found.list())
        await until(lambda: len(proxy.lists) > before)
        proxy.refused_lists = [429]
        await listing
        assert 5 == len(names(other))
        assert before + 1 == len(proxy.lists), "only the page was asked for again"


@pytest.mark.usefixtures("short_pages")
async def test_nothing_is_lost_while_lists_and_changes_go_on_together(
    api: ApiServer, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the watch shows after a list began was taken for deleted at its end."""
    monkeypatch.setattr(reflector, "RESYNC", 0.0)
    jobs, state = Jobs(api, namespace), ClusterState(time.monotonic)
    async with (
        connected(api.kubeconfig, namespace, monkeypatch) as client,
        informing(client, state) as informer,
    ):
        await informer.synced.wait()

        async def lists() -> None:
            while True:
                await informer.list()

        listing = asyncio.create_task(lists())
        made = [f"j{number:03}" for number in range(120)]
        kept = set(made[::2])
        for begin in range(0, len(made), 8):
            await asyncio.to_thread(jobs.create, *made[begin : begin + 8])
            await asyncio.to_thread(jobs.delete, *made[begin + 1 : begin + 8 : 2])
        listing.cancel()
        await until(lambda: names(state) == kept)
        await informer.list()
        assert kept == names(state)


async def test_a_legal_object_of_any_size_is_read(
    api: ApiServer, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A quarter of a megabyte of annotations is legal, and made a line too long for the watch."""
    jobs, state = Jobs(api, namespace), ClusterState(time.monotonic)
    async with (
        connected(api.kubeconfig, namespace, monkeypatch) as client,
        informing(client, state) as informer,
    ):
        await informer.synced.wait()
        large = {f"example.com/note-{n}": "x" * 60_000 for n in range(4)}
        await asyncio.to_thread(lambda: jobs.create("large", annotations=large))
        await asyncio.to_thread(jobs.create, "next")
        await until(lambda: names(state) == {"large", "next"})
        found = next(job for job in state.jobs.values() if job.name == "large")
        assert {} == found.metadata.annotations, "nobody else's notes are kept in memory"


async def test_one_object_that_cannot_be_taken_ends_nothing(
    api: ApiServer, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is set aside, to be ended; what comes after it is seen."""
    jobs, state = Jobs(api, namespace), ClusterState(time.monotonic)
    fingerprint = state.duplicates.fingerprint

    def broken(job: Any) -> str:
        if job.name == "odd":
            raise ZeroDivisionError
        return fingerprint(job)

    monkeypatch.setattr(state.duplicates, "fingerprint", broken)
    await asyncio.to_thread(jobs.create, "odd", "even")
    async with (
        connected(api.kubeconfig, namespace, monkeypatch) as client,
        informing(client, state),
    ):
        await until(lambda: names(state) == {"even"})
        assert ["odd"] == [aside.name for aside in state.to_end.values()]
        assert {Phase.PENDING} == {job.status.phase for job in state.jobs.values()}


async def test_a_watch_that_says_nothing_is_given_up(
    proxy: ApiProxy, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The API server sends a bookmark each minute: silence is a broken connection."""
    monkeypatch.setattr(kube, "SILENCE", 1.0)
    proxy.silent = True
    async with connected(proxy.kubeconfig, namespace, monkeypatch) as client:
        page = await client.page(client.jobs_path, "", {})
        with pytest.raises(ApiUnavailable, match="WATCH"):
            await anext(client.watch(client.jobs_path, page["metadata"]["resourceVersion"]))


async def test_a_version_that_was_forgotten_is_said_to_be_gone(
    api: ApiServer, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """410, in the answer or in the stream."""
    async with connected(api.kubeconfig, namespace, monkeypatch) as client:
        with pytest.raises(WatchExpired):
            await anext(client.watch(client.jobs_path, "1"))
