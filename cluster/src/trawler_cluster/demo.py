"""`make demo`: one link to one file on a real cluster, shown as a person would follow it."""

import hashlib
import secrets
import tempfile
import time
from pathlib import Path
from typing import Final

import httpx
import yaml

from trawler_cluster import fetch, forwarder, install, shell
from trawler_cluster.errors import CommandFailed
from trawler_cluster.kubectl import Kubectl
from trawler_cluster.provider import Provider
from trawler_crds import API_GROUP, API_VERSION
from trawler_crds.media_job import TERMINAL, MediaJob, Phase

PATIENCE: Final = 120.0
BYTES: Final = 1_000_000


def run(provider: Provider) -> None:
    """Up, build, load, install, ask, follow, fetch, compare. Raises CommandFailed on any difference."""
    provider.up()
    forwarder.ensure(provider)
    kubectl = install.install(provider, install.Release())
    seed = secrets.token_hex(6)
    name = f"demo-{seed}"
    shell.say(f"\nA page with a <video> that never was before: http://site:8080/page/{seed}\n")
    begun = time.monotonic()
    manifest = _manifest(name, f"http://site:8080/page/{seed}?bytes={BYTES}")
    shell.say(manifest)
    kubectl.run("apply", "-f", "-", stdin=manifest)
    job = _follow(kubectl, name)
    seconds = time.monotonic() - begun
    if job.status.phase is not Phase.SUCCEEDED or not job.status.files:
        raise CommandFailed(f"{name} ended {job.status.phase}: {job.status.message}")
    file = job.status.files[0]
    shell.say("\n" + kubectl.text("get", "mediajobs", name, "-o", "wide"))
    shell.say("\n" + _show_pod(kubectl, str(job.status.worker)) + "\n")
    size, digest = _fetched(provider, name, kubectl.namespace)
    _compare(provider, seed, size=size, digest=digest, recorded=file.sha256)
    shell.say(
        f"demo: {name} Succeeded: {file.name} {size} bytes sha256 {digest} in {seconds:.1f} s"
    )


def _manifest(name: str, url: str) -> str:
    return yaml.safe_dump(
        {
            "apiVersion": f"{API_GROUP}/{API_VERSION}",
            "kind": "MediaJob",
            "metadata": {"name": name},
            "spec": {"url": url},
        },
        sort_keys=False,
    )


def _follow(kubectl: Kubectl, name: str) -> MediaJob:
    """Print each new state until the last one."""
    shown = ""
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        text = kubectl.run("get", "mediajob", name, "-o", "json").stdout
        job = MediaJob.model_validate_json(text)
        state = f"{job.status.phase:<10} attempt {job.status.attempt}  {job.status.message or ''}"
        if state != shown:
            shell.say(f"  {name}  {state}")
            shown = state
        if job.status.phase in TERMINAL:
            return job
        time.sleep(0.1)
    raise CommandFailed(f"{name} did not end within {PATIENCE:.0f} s")


def _show_pod(kubectl: Kubectl, pod: str) -> str:
    return kubectl.text("get", "pod", pod, "-o", "wide")


def _fetched(provider: Provider, name: str, namespace: str) -> tuple[int, str]:
    with tempfile.TemporaryDirectory(prefix="trawler-demo-") as folder:
        paths = fetch.fetch(provider, name=name, namespace=namespace, folder=Path(folder))
        data = paths[0].read_bytes()
    return len(data), hashlib.sha256(data).hexdigest()


def _compare(provider: Provider, seed: str, *, size: int, digest: str, recorded: str) -> None:
    """What the store gave, what the status says and what the site stands for must be one."""
    site = f"http://127.0.0.1:{provider.plan.site_port}"
    answer: httpx.Response | None = None

    def asked() -> bool:
        nonlocal answer
        try:
            answer = httpx.get(
                f"{site}/_/record",
                params={"path": f"/video/{seed}.mp4", "bytes": BYTES},
                timeout=10,
                trust_env=False,
            )
        except httpx.TransportError:
            return False
        return answer.status_code == httpx.codes.OK

    shell.wait_until(asked, what=f"an answer of the sandbox site at {site}", timeout=30)
    assert answer is not None
    truth = answer.json()
    if (size, digest) != (truth["bytes"], truth["sha256"]) or digest != recorded:
        raise CommandFailed(f"the bytes differ: {size} {digest}, recorded {recorded}, site {truth}")
    shell.say(f"store, status and site agree: sha256 {digest}")
