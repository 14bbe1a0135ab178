"""The operator's module for the API server, against a real one."""

import asyncio
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import pytest_asyncio
import yaml

from apiproxy import ApiProxy
from servers import ApiServer
from trawler_common.kube import ApiUnavailable, Conflict, NotFound, Rejected
from trawler_crds.media_queue import MediaQueue
from trawler_operator.kube.client import ClusterClient


@asynccontextmanager
async def connected(
    kubeconfig: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[ClusterClient]:
    monkeypatch.setenv("KUBECONFIG", str(kubeconfig))
    monkeypatch.setattr(
        "kubernetes.aio.config.kube_config.KUBE_CONFIG_DEFAULT_LOCATION", str(kubeconfig)
    )
    found = await ClusterClient.connect("default")
    try:
        yield found
    finally:
        await found.close()
        await asyncio.sleep(0.1)  # TLS closes only then (aiohttp's docs, Graceful Shutdown)


@pytest_asyncio.fixture
async def cluster(api: ApiServer, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[ClusterClient]:
    async with connected(api.kubeconfig, monkeypatch) as found:
        yield found


def create(api: ApiServer) -> str:
    name = f"api-{secrets.token_hex(4)}"
    job = {
        "apiVersion": "trawler.dev/v1alpha1",
        "kind": "MediaJob",
        "metadata": {"name": name},
        "spec": {"url": "http://example.com/"},
    }
    api.kubectl("create", "-f", "-", stdin=yaml.safe_dump(job))
    return name


def queue(api: ApiServer, name: str) -> MediaQueue:
    shown = api.kubectl("get", "mediaqueue", name, "-o", "json").stdout
    return MediaQueue.model_validate_json(shown)


async def test_conditions_are_written_only_over_those_that_were_seen(
    api: ApiServer, cluster: ClusterClient
) -> None:
    """Another controller set one of its own meanwhile: the list as we knew it took that away."""
    name = f"queue-{secrets.token_hex(4)}"
    made = {
        "apiVersion": "trawler.dev/v1alpha1",
        "kind": "MediaQueue",
        "metadata": {"name": name},
        "spec": {},
    }
    api.kubectl("create", "-f", "-", stdin=yaml.safe_dump(made))
    seen = queue(api, name)
    theirs = {
        "type": "Theirs",
        "status": "True",
        "reason": "Set",
        "message": "",
        "lastTransitionTime": "2026-11-29T10:00:00Z",
    }
    await cluster.write_queue(seen, {"conditions": [theirs]})
    with pytest.raises(Conflict):
        await cluster.write_queue(seen, {"queued": 1, "conditions": []})
    with pytest.raises(Conflict):
        await cluster.write_conditions("MediaQueue", name, seen.metadata.uid, [], version=1)
    assert 2 == (await cluster.write_queue(seen, {"queued": 2})).status.queued, "a count alone"
    assert ["Theirs"] == [each.type for each in queue(api, name).status.conditions or ()]


async def test_a_status_is_written_only_over_the_version_it_was_decided_on(
    api: ApiServer, cluster: ClusterClient
) -> None:
    """Two writers: the second learns that it was late."""
    seen = await cluster.get_job(create(api))
    fresh = await cluster.write_status(seen, {"phase": "Queued"})
    with pytest.raises(Conflict):
        await cluster.write_status(seen, {"phase": "Running", "attempt": 1})
    assert "Running" == (await cluster.write_status(fresh, {"phase": "Running"})).status.phase


async def test_a_job_made_anew_under_the_same_name_is_another_one(
    api: ApiServer, cluster: ClusterClient
) -> None:
    """The uid is checked by the API server."""
    seen = await cluster.get_job(name := create(api))
    api.kubectl("delete", "mediajob", name)
    with pytest.raises((NotFound, Conflict)):
        await cluster.write_status(seen, {"phase": "Queued"})


async def test_each_refusal_has_its_own_meaning(api: ApiServer, cluster: ClusterClient) -> None:
    """Missing, refused for good, or away for now."""
    with pytest.raises(NotFound):
        await cluster.get_job("nobody")
    seen = await cluster.get_job(create(api))
    with pytest.raises(Rejected, match="Unsupported value"):
        await cluster.write_status(seen, {"phase": "Dreaming"})
    cluster._api.configuration.host = "https://127.0.0.1:1"
    with pytest.raises(ApiUnavailable):
        await cluster.get_job("nobody")


@pytest.mark.long
async def test_a_connection_is_kept_for_whoever_comes_after_a_pause(
    api: ApiServer, proxy: ApiProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Longer than the client library would keep it, which is 15 s."""
    name = create(api)
    async with connected(proxy.kubeconfig, monkeypatch) as cluster:
        await cluster.get_job(name)
        await asyncio.sleep(16)  # the pause is what is tested
        await cluster.get_job(name)
    assert 1 == len(proxy.connections)


async def test_a_connection_that_carried_much_is_not_kept(cluster: ClusterClient) -> None:
    """Each keeps for good what its largest answer took: a leader grew with every list, by all it
    has.
    """

    def idle() -> int:
        return sum(map(len, cluster._connector._conns.values()))

    path = "/apis/trawler.dev/v1alpha1/mediajobs"
    await cluster.call("GET", "/version")
    assert 1 == idle()
    page = await cluster.page(path, "", {})
    assert 0 == idle()
    since = page["metadata"]["resourceVersion"]
    watch = cluster.watch(path, since, {"timeoutSeconds": "1"})
    assert [] == [event async for event in watch if event["type"] != "BOOKMARK"]
    assert 0 == idle()
