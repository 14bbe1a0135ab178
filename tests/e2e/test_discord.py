"""A person in the Discord in a box of a real install: chart, images, rights, and the bot's
death.
"""

import hashlib
import secrets
import time
from collections.abc import Iterator
from typing import Any

import pytest

from installed import Installed
from servers import wait_until
from trawler_cluster.sandbox_client import SandboxClient

pytestmark = pytest.mark.timeout(480)


@pytest.fixture
def harbour(release: Installed) -> Iterator[SandboxClient]:
    with (
        release.kubectl.forwarded("service/discord", 8091) as port,
        SandboxClient.entered(f"http://127.0.0.1:{port}") as found,
    ):
        yield found


def _message(harbour: SandboxClient, seed: str) -> dict[str, Any]:
    """The only one that is about this seed."""
    (found,) = [m for m in harbour.messages() if f"/{seed}." in m["content"]]
    return found


def _delivered(harbour: SandboxClient, seed: str) -> dict[str, Any]:
    end = time.monotonic() + 120
    while not (found := _message(harbour, seed))["attachments"]:
        assert time.monotonic() < end, found["content"]
        time.sleep(0.2)
    return found


def test_a_bot_pod_is_killed_while_a_download_runs(
    release: Installed, harbour: SandboxClient
) -> None:
    """The next one goes on with the same message, and the file in it is the site's."""
    seed = secrets.token_hex(6)
    url = f"http://site:8080/video/{seed}.mp4?bytes=600000&rate=150000"
    harbour.use(harbour.command("download"), url=url)
    wait_until(lambda: any(seed in m["content"] for m in harbour.messages()), what="the message")
    release.kubectl.run("delete", "pod", "trawler-bot-0", "--force", "--grace-period=0")
    done = _delivered(harbour, seed)
    data = harbour.attachment(done["attachments"][0])
    assert hashlib.sha256(data).hexdigest() == release.record(seed, 600_000)["sha256"]
    assert "150000" in done["content"]


def test_a_command_is_refused_in_private(harbour: SandboxClient, release: Installed) -> None:
    """An address inside the cluster; no MediaJob is made."""
    before = release.jobs()
    harbour.use(harbour.command("download"), url="http://10.0.0.1/")
    wait_until(
        lambda: any("private network" in m["content"] for m in harbour.control("whispers")),
        what="a word",
    )
    assert len(before) == len(release.jobs())
