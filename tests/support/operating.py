"""The operator as a process, for tests: what a person asks of it, and what a pod says to it."""

import asyncio
import hashlib
import json
import os
import secrets
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import aiohttp
import yaml

from servers import ApiServer, http_ok
from stubpod import StubPod
from trawler_crds.media_job import MediaFile, MediaJob
from trawler_crds.messages import Order, Outcome, Result, UploadFile, UploadRequest


class Operator:
    """A running operator and the questions a test asks."""

    def __init__(self, api: ApiServer, namespace: str, env: dict[str, str], log: Path) -> None:
        self.api, self.namespace, self._env, self._log = api, namespace, env, log
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with self._log.open("ab") as sink:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "trawler_operator"],
                env={**os.environ, **self._env},
                stdout=sink,
                stderr=sink,
            )

    def kill(self, signum: int = signal.SIGKILL) -> int:
        assert self._process is not None
        self._process.send_signal(signum)
        return self._process.wait(20)

    def stop(self) -> None:
        if self._process is not None and self._process.poll() is None:
            self.kill()

    def ready(self) -> bool:
        return http_ok(f"http://127.0.0.1:{self._env['TRAWLER_OPERATOR_HEALTH_PORT']}/readyz")

    def kubectl(self, *words: str, stdin: str | None = None) -> str:
        return self.api.kubectl("-n", self.namespace, *words, stdin=stdin).stdout

    def ask(self, **spec: Any) -> MediaJob:
        name = f"j-{secrets.token_hex(4)}"
        job = {
            "apiVersion": "trawler.dev/v1alpha1",
            "kind": "MediaJob",
            "metadata": {"name": name},
            "spec": {"url": f"http://site:8080/video/{name}.mp4", **spec},
        }
        self.kubectl("create", "-f", "-", stdin=yaml.safe_dump(job))
        return self.job(name)

    def job(self, name: str) -> MediaJob:
        return MediaJob.model_validate_json(self.kubectl("get", "mj", name, "-o", "json"))

    async def until(self, name: str, **wanted: Any) -> MediaJob:
        """Wait until status fields have these values."""
        end = time.monotonic() + 30
        while True:
            job = await asyncio.to_thread(self.job, name)
            if all(getattr(job.status, key) == value for key, value in wanted.items()):
                return job
            assert time.monotonic() < end, f"not {wanted}: {job.status}"
            await asyncio.sleep(0.1)

    def pods(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = json.loads(self.kubectl("get", "pods", "-o", "json"))["items"]
        return [pod for pod in found if "deletionTimestamp" not in pod["metadata"]]

    def run_pod(self, name: str) -> None:
        """Say what a kubelet would: it runs."""
        status = {"status": {"phase": "Running"}}
        self.kubectl(
            *("patch", "pod", name, "--subresource=status", "--type=merge"),
            *("-p", json.dumps(status)),
        )


BODY = b"proved media" * 100


def stored(attempt: int = 1, body: bytes = BODY) -> Result:
    digest = hashlib.sha256(body).hexdigest()
    file = MediaFile(name="a.mp4", bytes=len(body), sha256=digest, type="video/mp4")
    return Result(attempt=attempt, outcome=Outcome.STORED, files=[file])


async def upload(pod: StubPod, uid: str, attempt: int = 1) -> int:
    digest = hashlib.sha256(BODY).hexdigest()
    file = UploadFile(sha256=digest, bytes=len(BODY), type="video/mp4")
    answer = await pod.grants(uid, UploadRequest(attempt=attempt, files=[file]))
    async with (
        aiohttp.ClientSession() as session,
        session.put(answer.grants[0].url, data=BODY, headers=answer.grants[0].headers) as put,
    ):
        return put.status


async def ordered(pod: StubPod, count: int = 1) -> Order:
    async with asyncio.timeout(20):
        while len(pod.orders) < count:
            await asyncio.sleep(0.02)
    return pod.orders[count - 1]
