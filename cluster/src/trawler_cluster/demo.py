"""`make demo`: one `/download` in a Discord in a box, from a person's link to the files in the
channel, on a real cluster.
"""

import hashlib
import secrets
import time
from typing import Any, Final

import httpx

from trawler_cluster import forwarder, install, shell
from trawler_cluster.errors import CommandFailed
from trawler_cluster.harbour import Harbour
from trawler_cluster.kubectl import Kubectl
from trawler_cluster.provider import Provider

PATIENCE: Final = 120.0
BYTES: Final = 1_000_000
SHORT: Final = 110
"""Characters of a line that shows a message."""
TRYING: Final = ("bot.cooldownSeconds=1", "bot.requestsPerMinute=60")
"""Who tries things in the box, or runs this again, shall not have to wait between two commands."""


def run(provider: Provider) -> None:
    """Up, build, load, install, ask, follow, compare. Raises CommandFailed on any difference."""
    provider.up()
    forwarder.ensure(provider)
    kubectl = install.install(provider, install.Release(values=TRYING))
    page = f"http://127.0.0.1:{provider.plan.discord_port}"
    seed = secrets.token_hex(6)
    with Harbour.entered(page) as harbour:
        name, data, seconds = _downloaded(harbour, seed)
    digest = hashlib.sha256(data).hexdigest()
    _show_job(kubectl, seed)
    _compare(provider, seed, size=len(data), digest=digest)
    shell.say(f"\nThe page on which you can do the same: {page}/ (`make down` ends it)")
    shell.say(f"demo: delivered {name} {len(data)} bytes sha256 {digest} in {seconds:.1f} s")


def _downloaded(harbour: Harbour, seed: str) -> tuple[str, bytes, float]:
    """Name and bytes of the file that came, and the seconds from the command to it."""
    command = harbour.command("download")
    url = f"http://site:8080/page/{seed}?bytes={BYTES}"
    shell.say(
        "\nA page with a <video> that never was before, asked for in #general as a person would:"
    )
    shell.say(f"  ben: /download url: {url}")
    begun = time.monotonic()
    harbour.use(command, url=url)
    message = _follow(harbour, seed)
    seconds = time.monotonic() - begun
    (attached,) = message["attachments"]
    return str(attached["filename"]), harbour.attachment(attached), seconds


def _follow(harbour: Harbour, seed: str) -> dict[str, Any]:
    """Print the message whenever it is another, until it has its files."""
    shown = ""
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        mine = [m for m in harbour.messages() if f"/{seed}?" in m["content"]]
        if mine:
            state = mine[0]["content"].replace("\n", " — ")
            if state != shown:
                shell.say(f"  trawler: {state[:SHORT]}")
                shown = state
            if mine[0]["attachments"]:
                return mine[0]
            if "trawler:retry:" in str(mine[0]["components"]):
                raise CommandFailed(f"the message ended without a file: {state}")
        time.sleep(0.1)
    said = (
        f"the message said: {shown}"
        if shown
        else (
            "nothing was said in the channel. What only ben may see is on the page: type it there"
        )
    )
    raise CommandFailed(f"no file came within {PATIENCE:.0f} s; {said}")


def _show_job(kubectl: Kubectl, seed: str) -> None:
    """The MediaJob behind the message, as whoever runs the cluster sees it."""
    jobs = kubectl.json("get", "mediajobs")["items"]
    (name,) = [job["metadata"]["name"] for job in jobs if f"/{seed}?" in job["spec"]["url"]]
    shell.say("\n" + kubectl.text("get", "mediajobs", name, "-o", "wide"))


def _compare(provider: Provider, seed: str, *, size: int, digest: str) -> None:
    """What lies in the channel must be what the site stands for."""
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
    if (size, digest) != (truth["bytes"], truth["sha256"]):
        raise CommandFailed(f"the bytes differ: {size} {digest}, site {truth}")
    shell.say(f"channel and site agree: sha256 {digest}")
