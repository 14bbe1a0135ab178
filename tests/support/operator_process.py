"""The operator as a process, for tests: what a person asks of it, and what a pod says to it."""

import asyncio
import hashlib
import os
import secrets
import signal
import time
from pathlib import Path
from typing import Any

import aiohttp
import httpx
import yaml

import forkserver
from apiclient import APPLY, MERGE
from servers import ApiServer, free_port, http_ok, tail, wait_until
from stubpod import StubPod
from trawler_common.store import StoreSettings
from trawler_crds.media_job import MediaFile, MediaJob
from trawler_crds.messages import Order, Outcome, Result, UploadFile, UploadRequest

API = "/apis/trawler.dev/v1alpha1"


def settings(
    folder: Path, *, namespace: str, nats_url: str, store: StoreSettings, pool: dict[str, Any]
) -> dict[str, str]:
    """The environment of an operator whose only pool is of this shape; its files lie in
    `folder`.
    """
    secret, pools = folder / "credentials", folder / "pools.yaml"
    secret.mkdir()
    (secret / "accessKey").write_text(store.credentials().access_key)
    (secret / "secretKey").write_text(store.credentials().secret_key)
    pools.write_text(yaml.safe_dump({"default": pool}))
    values = {
        "INSTALL": namespace,
        "IDENTITY": "operator-1",
        "NATS_URL": nats_url,
        "S3_ENDPOINT": store.endpoint,
        "S3_CREDENTIALS": str(secret),
        "S3_PREFIX": store.prefix,
        "POOLS": str(pools),
        "WORKER_IMAGE": "none",
        "SWEEP_PAUSE": "0.01",
        "HEALTH_PORT": str(free_port()),
    }
    return {f"TRAWLER_OPERATOR_{key}": value for key, value in values.items()}


class Operator:
    """A running operator and the questions a test asks."""

    def __init__(
        self,
        api: ApiServer,
        namespace: str,
        env: dict[str, str],
        log: Path,
        start: forkserver.Starter = forkserver.cold,
    ) -> None:
        self.api, self.namespace, self._env, self._log = api, namespace, env, log
        self._start = start
        self._process: forkserver.Process | None = None
        self._led = 0
        """How often it had begun to lead in its lives before."""

    def env(self, *names: str) -> dict[str, str]:
        """Some of its settings, by their names without the prefix."""
        return {name: self._env[f"TRAWLER_OPERATOR_{name}"] for name in names}

    def start(self, **more: str) -> None:
        """Start it, with further environment."""
        self._led = self.said("leading")
        self._process = self._start(
            "trawler_operator", {**os.environ, **self._env, **more}, self._log
        )

    def kill(self, signum: int = signal.SIGKILL) -> int:
        assert self._process is not None
        self._process.send_signal(signum)
        return self._process.wait(20)

    def send(self, signum: int) -> None:
        assert self._process is not None
        self._process.send_signal(signum)

    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def died(self) -> int | None:
        """Its exit code; None while it lives."""
        assert self._process is not None
        return self._process.poll()

    def stop(self) -> None:
        if self._process is not None and self._process.poll() is None:
            self.send(signal.SIGCONT)
            self.kill()

    def another(self, identity: str) -> "Operator":
        """One more for the same namespace, as yet not started."""
        env = {
            **self._env,
            "TRAWLER_OPERATOR_IDENTITY": identity,
            "TRAWLER_OPERATOR_HEALTH_PORT": str(free_port()),
        }
        return Operator(self.api, self.namespace, env, self._log, self._start)

    def elsewhere(self, prefix: str) -> "Operator":
        """One more of another identity that would store below another prefix, as yet not
        started.
        """
        found = self.another(f"operator-{prefix}")
        found._env["TRAWLER_OPERATOR_S3_PREFIX"] = prefix
        return found

    def log(self) -> str:
        return self._log.read_text()

    def logs(self) -> dict[str, str]:
        """What it said last, and what there is in its namespace."""
        words = ("get", "mediajobs,workerpools,mediaqueues,pods")
        found = self.api.kubectl("-n", self.namespace, *words, check=False)
        return {"operator": tail(self._log), " ".join(words): found.stdout + found.stderr}

    def ready(self) -> bool:
        """It leads, or stands by."""
        return http_ok(self._page("readyz"))

    def leading(self) -> bool:
        """Whether it acts. It is elected some time before, and decides nothing until it has seen
        everything.
        """
        try:
            text = httpx.get(self._page("metrics"), timeout=5, trust_env=False).text
        except httpx.HTTPError:
            return False
        elected = "trawler_operator_leading 1.0" in text and self.ready()
        return elected and self.said("leading") > self._led

    def lead(self) -> None:
        """Wait until it leads; at once an error if it ends instead."""

        def leads() -> bool:
            assert self.died() is None, f"it ended: {self._log}"
            return self.leading()

        wait_until(leads, what=f"a leading operator ({self._log})", timeout=60)

    def said(self, event: str) -> int:
        """How often its log says this."""
        text = self._log.read_text() if self._log.exists() else ""
        return text.count(f'"event": "{event}"')

    def alive(self) -> bool:
        return http_ok(self._page("healthz"))

    def counted(self, name: str) -> float:
        """One figure of /metrics."""
        text = httpx.get(self._page("metrics"), timeout=5, trust_env=False).text
        found = [line for line in text.splitlines() if line.startswith(f"{name} ")]
        return float(found[0].rpartition(" ")[2]) if found else 0.0

    def scaling(self) -> dict[str, Any]:
        found: dict[str, Any] = httpx.get(self._page("scaling"), timeout=5, trust_env=False).json()
        return found

    def _page(self, name: str) -> str:
        return f"http://127.0.0.1:{self._env['TRAWLER_OPERATOR_HEALTH_PORT']}/{name}"

    def kubectl(self, *words: str, stdin: str | None = None) -> str:
        return self.api.kubectl("-n", self.namespace, *words, stdin=stdin).stdout

    def ours(self, kind: str, name: str = "") -> str:
        """Where the API server keeps objects of a kind of ours."""
        return f"{API}/namespaces/{self.namespace}/{kind}" + (f"/{name}" if name else "")

    def read(self, kind: str, name: str) -> dict[str, Any]:
        """One object of a kind of ours."""
        return self.api.send("GET", self.ours(kind, name))

    def ask(self, **spec: Any) -> MediaJob:
        name = f"j-{secrets.token_hex(4)}"
        job = {
            "apiVersion": "trawler.dev/v1alpha1",
            "kind": "MediaJob",
            "metadata": {"name": name},
            "spec": {"url": f"http://site:8080/video/{name}.mp4", **spec},
        }
        return MediaJob.model_validate(self.api.send("POST", self.ours("mediajobs"), job))

    def edit(self, name: str, kind: str = "mediajobs", **spec: Any) -> None:
        """Change some fields of an object's spec."""
        self.api.send("PATCH", self.ours(kind, name), {"spec": spec}, kind=MERGE)

    def remove(self, kind: str) -> None:
        """All of a kind; without waiting until they are gone."""
        self.api.send("DELETE", self.ours(kind))

    def declare(self, queue: str, **spec: Any) -> None:
        """A MediaQueue, made (the operator knows of it then) or changed."""
        manifest = {
            "apiVersion": "trawler.dev/v1alpha1",
            "kind": "MediaQueue",
            "metadata": {"name": queue},
            "spec": spec,
        }
        path = self.ours("mediaqueues", queue) + "?fieldManager=test&force=true"
        self.api.send("PATCH", path, manifest, kind=APPLY)
        there = len(self.all("mediaqueues"))
        wait_until(lambda: self.counted("trawler_queues") == there, what="a known queue")

    def job(self, name: str) -> MediaJob:
        return MediaJob.model_validate(self.read("mediajobs", name))

    async def until(self, name: str, **wanted: Any) -> MediaJob:
        """Wait until status fields have these values."""
        end = time.monotonic() + 30
        while True:
            job = await asyncio.to_thread(self.job, name)
            if all(getattr(job.status, key) == value for key, value in wanted.items()):
                return job
            assert time.monotonic() < end, f"not {wanted}: {job.status}"
            await asyncio.sleep(0.1)

    def all(self, kind: str) -> list[dict[str, Any]]:
        """Every object of a kind of ours in the namespace."""
        found: list[dict[str, Any]] = self.api.send("GET", self.ours(kind))["items"]
        return found

    def jobs(self) -> list[MediaJob]:
        return [MediaJob.model_validate(item) for item in self.all("mediajobs")]

    def pool(self) -> dict[str, Any]:
        return self.read("workerpools", "default")

    def pods(self) -> list[dict[str, Any]]:
        found = self.api.send("GET", self._pod())["items"]
        return [pod for pod in found if "deletionTimestamp" not in pod["metadata"]]

    def run_pod(self, name: str) -> None:
        """Say what a kubelet would: it runs."""
        self.api.send(
            "PATCH", self._pod(name) + "/status", {"status": {"phase": "Running"}}, kind=MERGE
        )

    def _pod(self, name: str = "") -> str:
        return f"/api/v1/namespaces/{self.namespace}/pods" + (f"/{name}" if name else "")


BODY = b"proved media" * 100


def stored(attempt: int = 1, body: bytes = BODY) -> Result:
    digest = hashlib.sha256(body).hexdigest()
    file = MediaFile(name="a.mp4", bytes=len(body), sha256=digest, type="video/mp4")
    return Result(attempt=attempt, outcome=Outcome.STORED, files=[file])


async def upload(pod: StubPod, uid: str, attempt: int = 1, body: bytes = BODY) -> int:
    digest = hashlib.sha256(body).hexdigest()
    file = UploadFile(sha256=digest, bytes=len(body), type="video/mp4")
    answer = await pod.grants(uid, UploadRequest(attempt=attempt, files=[file]))
    async with (
        aiohttp.ClientSession() as session,
        session.put(answer.grants[0].url, data=body, headers=answer.grants[0].headers) as put,
    ):
        return put.status


async def ordered(pod: StubPod, count: int = 1) -> Order:
    async with asyncio.timeout(20):
        while len(pod.orders) < count:
            await asyncio.sleep(0.02)
    return pod.orders[count - 1]
