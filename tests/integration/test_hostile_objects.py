"""Objects that the API server accepts and that no step can take: each gets an end or a condition,
and nobody else notices.
"""

import asyncio
import hashlib
import signal
import time
from pathlib import Path
from typing import Any

import aiohttp
import obstore
import pytest
import yaml

from apiclient import MERGE
from operator_process import Operator, ordered
from servers import wait_until
from stubpod import StubPod
from trawler_common.store import Store, StoreSettings, StoreUnavailable
from trawler_crds.keys import OWNER_OBJECT, SHARED_PREFIX, object_key
from trawler_crds.messages import Order, UploadFile
from trawler_operator.control.garbage_collector import GarbageCollector
from trawler_operator.control.metrics import Metrics
from trawler_operator.planning.gc_rules import Pins
from trawler_operator.state.cluster_state import ClusterState, Unreadable


def ask(operator: Operator, url: str) -> str:
    return operator.ask(url=url).name


@pytest.mark.parametrize(
    "url", ["http://[1:2]/x", "http://[::::]/a.mp4", "http://host:99999/x.mp4"]
)
async def test_an_address_that_no_client_can_dial_ends_its_own_job_only(
    operator: Operator, pod: StubPod, url: str
) -> None:
    """It ended the operator, and each next one while it listed."""
    name = ask(operator, url)
    found = await operator.until(name, phase="Failed", reason="BadAddress")
    assert "The address must" in (found.status.message or "")
    other = operator.ask()
    assert other.uid == (await ordered(pod)).uid
    operator.kill()
    operator.start()
    await asyncio.to_thread(operator.lead)


async def test_a_job_that_this_version_cannot_read_is_ended_and_hinders_no_other(
    operator: Operator, pod: StubPod
) -> None:
    """Written by a newer version, whose schema is in the cluster already."""
    crd = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/mediajobs.trawler.dev"
    schema = operator.api.send("GET", crd)
    versions = schema["spec"]["versions"]
    kind = versions[0]["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"]["media"]
    kind["properties"]["kind"]["enum"].append("Hologram")
    operator.api.send("PATCH", crd, {"spec": {"versions": versions}}, kind=MERGE)
    try:
        await asyncio.to_thread(
            wait_until, lambda: _accepts(operator, "Hologram"), what="the newer schema"
        )

        def ended() -> bool:
            try:
                jobs = operator.all("mediajobs")
            except AssertionError:  # 429: the API server opens the changed kind anew
                return False
            found = [job.get("status", {}) for job in jobs if "Hologram" in str(job)]
            return bool(found) and all(
                (status.get("phase"), status.get("reason")) == ("Failed", "Internal")
                and "version" in status["message"]
                for status in found
            )

        await asyncio.to_thread(wait_until, ended, what="an end of what cannot be read")
        assert 1 <= operator.counted("trawler_jobs_set_aside")
        other = operator.ask()
        assert other.uid == (await ordered(pod)).uid
        operator.kill()
        operator.start()
        await asyncio.to_thread(operator.lead)
        assert 0 == operator.counted("trawler_operator_status_writes_total")
    finally:
        operator.remove("mediajobs")
        kind["properties"]["kind"]["enum"].remove("Hologram")
        operator.api.send("PATCH", crd, {"spec": {"versions": versions}}, kind=MERGE)


def _accepts(operator: Operator, kind: str) -> bool:
    job = {
        "apiVersion": "trawler.dev/v1alpha1",
        "kind": "MediaJob",
        "metadata": {"generateName": "odd-"},
        "spec": {"url": "http://site:8080/x", "media": {"kind": kind}},
    }
    try:
        operator.api.send("POST", operator.ours("mediajobs"), job)
    except AssertionError:
        return False
    return True


async def test_a_pool_of_the_values_that_is_refused_ends_no_leader(operator: Operator) -> None:
    """`minReplicas: 20` with the default `maxReplicas` ended each new one."""
    pools = Path(operator.env("POOLS")["POOLS"])
    known = yaml.safe_load(pools.read_text())
    wrong: dict[str, Any] = {
        "default": {**known["default"], "minReplicas": 20},
        "odd": {"slots": 1},
    }
    wrong["good"] = {"replicas": 0}
    pools.write_text(yaml.safe_dump(wrong))
    await asyncio.to_thread(wait_until, lambda: operator.said("leading") == 1, what="a leader")
    operator.kill()
    operator.start()
    await asyncio.to_thread(wait_until, lambda: operator.said("leading") == 2, what="a leader")
    assert {"default", "good"} == {pool["metadata"]["name"] for pool in operator.all("workerpools")}

    def configured() -> str:
        conditions = operator.pool().get("status", {}).get("conditions", [])
        return next((c["message"] for c in conditions if c["type"] == "Configured"), "")

    await asyncio.to_thread(wait_until, lambda: bool(configured()), what="a condition")
    assert "minReplicas must not be greater than maxReplicas" in configured()


async def test_a_pod_that_refuses_while_it_claims_room_costs_few_attempts(
    operator: Operator, pod: StubPod
) -> None:
    """1,535 attempts and 3,069 status writes were made in 30 s, with `maxQueueSeconds: 5`."""

    async def refuse(_: Order) -> bool | None:
        return False

    pod.decide = refuse
    before = operator.counted("trawler_operator_status_writes_total")
    job = operator.ask(maxQueueSeconds=5)
    found = await operator.until(job.name, phase="Failed", reason="Busy")
    assert 1 < found.status.attempt <= 8
    assert operator.counted("trawler_operator_status_writes_total") - before <= 20


async def test_what_a_pool_that_is_gone_held_is_not_cancelled_without_end(
    operator: Operator, pod: StubPod
) -> None:
    """515 requests in 4.5 s went to a pod that was gone."""
    job = operator.ask()
    await ordered(pod)
    await operator.until(job.name, phase="Running")
    pod.speaking = False
    for listening in pod.stopping:
        await listening()
    operator.kubectl("delete", "wp", "default", "--wait=false")
    operator.kubectl("delete", "mj", job.name)
    await asyncio.sleep(5)
    assert 1 <= operator.said("control_unanswered") <= 8


async def test_two_installs_in_one_bucket_never_sweep_each_other(
    operator: Operator, store_settings: StoreSettings
) -> None:
    """The object sweep of one deleted the media of the other."""
    store = Store(store_settings)

    def owned() -> bool:
        return "prefix_is_anothers" not in operator.log() and operator.ready()

    await asyncio.to_thread(wait_until, owned, what="a prefix of its own")

    async def marked() -> bool:
        try:
            return f"{store.prefix}/{OWNER_OBJECT}" in await store.keys()
        except StoreUnavailable:  # the bucket is made by the operator
            return False

    async with asyncio.timeout(20):
        while not await marked():
            await asyncio.sleep(0.1)
    assert "another" == await Store(_prefixed(store_settings, "other")).claim("another")
    assert "another" == await Store(_prefixed(store_settings, "other")).claim("mine")
    second = operator.elsewhere("other")
    operator.kill(signal.SIGTERM)
    second.start()
    try:
        end = time.monotonic() + 30
        while "prefix_is_anothers" not in second.log():
            assert time.monotonic() < end
            await asyncio.sleep(0.2)
        assert not second.ready(), "whoever runs it sees it in `kubectl get pods`"
    finally:
        second.stop()


def _prefixed(settings: StoreSettings, prefix: str) -> StoreSettings:
    return StoreSettings(
        endpoint=settings.endpoint,
        bucket=settings.bucket,
        region=settings.region,
        prefix=prefix,
        credentials=settings.credentials,
    )


async def test_objects_of_before_there_were_prefixes_are_found_where_they_are(
    store_settings: StoreSettings, ready: Store
) -> None:
    """Nothing is uploaded a second time."""
    before = await _stored_as(_prefixed(store_settings, SHARED_PREFIX), b"old")
    assert await ready.has(before, 3)
    assert b"old" == await ready.get(before)
    assert [b"ol", b"d"] == [piece async for piece in ready.pieces(before, 0, 3, 2)]
    mine = await _stored_as(store_settings, b"new")
    assert object_key("mine", mine) in await ready.keys("mine/")
    with pytest.raises(FileNotFoundError):
        await ready.get("0" * 64)


@pytest.fixture
async def ready(store_settings: StoreSettings) -> Store:
    found = Store(store_settings)
    await found.ensure_bucket()
    return found


async def _stored_as(settings: StoreSettings, body: bytes) -> str:
    digest = hashlib.sha256(body).hexdigest()
    grant = Store(settings).grant(
        UploadFile(sha256=digest, bytes=len(body), type="video/mp4"), seconds=60
    )
    async with (
        aiohttp.ClientSession() as session,
        session.put(grant.url, data=body, headers=grant.headers) as answer,
    ):
        assert answer.status == 200
    return digest


class _Leads:
    """For as long as the test lasts."""

    def require(self) -> None:
        """It does."""

    def remaining(self) -> float:
        return 10.0


async def test_nothing_is_swept_while_one_job_is_not_understood(
    store_settings: StoreSettings, ready: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody knows which objects it names. What is not named by a hash is not ours, and stops no
    sweeping.
    """
    monkeypatch.setattr("trawler_operator.control.garbage_collector.longest_attempt", lambda _: 0.0)
    digest = await _stored_as(store_settings, b"named by nobody")
    foreign = f"{object_key('mine', digest)}.bak"
    await obstore.put_async(ready._objects, foreign, b"theirs")
    state, leads = ClusterState(time.monotonic), _Leads()
    collector = GarbageCollector(
        state=state,
        pins=Pins(),
        store=ready,
        owned=lambda: True,
        exclusive=False,
        leader=leads,  # type: ignore[arg-type]
        metrics=Metrics(state),
        pause=0,
    )
    odd = Unreadable(uid="u", name="odd", version=1, ended=True, why="another version")
    state.see_job(odd)
    await collector._sweep("mine", digest[:2])
    await collector._sweep("mine", digest[:2])
    assert object_key("mine", digest) in await ready.keys("mine/")
    state.see_job(odd, gone=True)
    await collector._sweep("mine", digest[:2])
    assert [foreign] == [key for key in await ready.keys("mine/") if digest in key]
