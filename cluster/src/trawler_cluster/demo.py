"""`make demo`: run `/download` on a real cluster with the Discord emulator, from a user's link to
the files in the channel, once for each engine that reads pages.
"""

import hashlib
import secrets
import time
from dataclasses import dataclass, field
from typing import Any, Final

import httpx

from trawler_cluster import forwarder, install, shell
from trawler_cluster.errors import CommandFailed
from trawler_cluster.kubectl import Kubectl
from trawler_cluster.provider import Provider
from trawler_cluster.sandbox_client import SandboxClient

PATIENCE: Final = 120.0
SHORT: Final = 110
"""Maximum number of characters of a message that is printed."""
TRYING: Final = ("bot.cooldownSeconds=1", "bot.requestsPerMinute=60")
"""Relaxed rate limits: people who try the emulator, or run the demo again, should not have to wait
between two commands.
"""


@dataclass(frozen=True, kw_only=True)
class Wish:
    """A user's request and its expected result."""

    what: str
    url: str
    engine: str
    files: int
    same: dict[int, str] = field(default_factory=dict)
    """Index of a file → the name under which the site records its bytes."""


def wishes(seed: str) -> list[Wish]:
    """One request for each engine that reads pages, for media that no earlier run fetched."""
    pictures = {n - 1: f"{seed}-{n}.{'mp4' if n % 3 == 0 else 'jpg'}" for n in (1, 2, 3)}
    return [
        Wish(
            what="An album of three, by Cobalt",
            url=f"https://www.instagram.com/p/album3_{seed}",
            engine="Cobalt",
            files=3,
            same=pictures,
        ),
        Wish(
            what="A DASH video whose sound is a file of its own, by yt-dlp",
            url=f"http://site:8080/dash/{seed}.mpd",
            engine="YtDlp",
            files=1,
        ),
        Wish(
            what="A page of pictures, by gallery-dl",
            url=f"http://site/gallery/{seed}",
            engine="GalleryDl",
            files=4,
            same={n - 1: f"{seed}-{n}.jpg" for n in range(1, 5)},
        ),
    ]


def run(provider: Provider) -> None:
    """Start the cluster, install Trawler, send the commands, follow the messages and compare the
    files. Raises CommandFailed on any difference.
    """
    provider.up()
    forwarder.ensure(provider)
    kubectl = install.install(provider, install.Release(values=TRYING))
    page = f"http://127.0.0.1:{provider.config.discord_port}"
    site = f"http://127.0.0.1:{provider.config.site_port}"
    seed = secrets.token_hex(6)
    count, size, begun = 0, 0, time.monotonic()
    shell.say("\nAsked for in #general, as a person would:")
    with SandboxClient.entered(page) as harbour:
        command = harbour.command("download")
        for wish in wishes(seed):
            files = _delivered(harbour, command, wish)
            _compare(site, wish, files)
            count, size = count + len(files), size + sum(map(len, files))
            time.sleep(1.1)  # the cooldown between two commands
    seconds = time.monotonic() - begun
    _show_jobs(kubectl, seed)
    shell.say(f"\nThe page on which you can do the same: {page}/ (`make down` ends it)")
    shell.say(
        f"demo: delivered {count} files, {size} bytes, in 3 messages by 3 engines in"
        f" {seconds:.1f} s"
    )


def _delivered(harbour: SandboxClient, command: dict[str, Any], wish: Wish) -> list[bytes]:
    """Send a command and return the files of the message that answers it."""
    shell.say(f"\n  {wish.what}.\n  ben: /download url: {wish.url}")
    harbour.use(command, url=wish.url)
    message = _follow(harbour, wish.url)
    attached = message["attachments"]
    if len(attached) != wish.files:
        raise CommandFailed(f"{len(attached)} files came, not {wish.files}")
    return [harbour.attachment(each) for each in attached]


def _follow(harbour: SandboxClient, url: str) -> dict[str, Any]:
    """Print the message whenever it changes, until it has its files; return it."""
    shown = ""
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        mine = [m for m in harbour.messages() if url in m["content"]]
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


def _show_jobs(kubectl: Kubectl, seed: str) -> None:
    """Print the MediaJobs behind the messages, as a cluster administrator sees them, and check
    which engines fetched them.
    """
    jobs = kubectl.json("get", "mediajobs")["items"]
    mine = [job for job in jobs if seed in job["spec"]["url"]]
    names = [job["metadata"]["name"] for job in mine]
    shell.say("\n" + kubectl.text("get", "mediajobs", *names, "-o", "wide"))
    engines = {job["spec"]["url"]: job["status"].get("engine") for job in mine}
    wanted = {wish.url: wish.engine for wish in wishes(seed)}
    if engines != wanted:
        raise CommandFailed(f"by other engines than meant: {engines}")


def _compare(site: str, wish: Wish, files: list[bytes]) -> None:
    """Check that the files in the channel are the site's, in the site's order."""
    for place, name in wish.same.items():
        found = hashlib.sha256(files[place]).hexdigest()
        truth = _record(site, name)
        if (len(files[place]), found) != (truth["bytes"], truth["sha256"]):
            raise CommandFailed(f"file {place + 1} differs from the site's {name}")
    if wish.same:
        shell.say(f"  channel and site agree on {len(wish.same)} files, byte for byte")


def _record(site: str, name: str) -> dict[str, Any]:
    found: list[dict[str, Any]] = []

    def asked() -> bool:
        try:
            words = {"path": f"/any/{name}"}
            answer = httpx.get(f"{site}/_/record", params=words, timeout=10, trust_env=False)
        except httpx.TransportError:
            return False
        if answer.status_code == httpx.codes.OK:
            found.append(answer.json())
        return bool(found)

    shell.wait_until(asked, what=f"an answer of the sandbox site at {site}", timeout=30)
    return found[0]
