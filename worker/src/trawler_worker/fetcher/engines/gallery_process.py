"""Runs gallery-dl as a separate program (it is GPL; no part of it is included here). It prints what
it finds as JSON, and downloads no file.

It reads no configuration of the host, prompts for nothing and keeps no cache. We kill it if it
would wait for a site's rate limit: some of its extractors wait for ten minutes, and no option
disables that (observed).
"""

import json
import os
import re
import selectors
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from trawler_crds.failures import FailureReason
from trawler_worker.fetcher.errors import FetchError

ENCLOSED: Final = Path(__file__).parents[1] / "enclosed"
WITHIN: Final = 75.0
"""Timeout in seconds for all requests about one post: shorter than the time that a job may be
silent, so that another engine gets its turn.
"""
MAX_OUT: Final = 16 * 1024 * 1024
MAX_SAID: Final = 64 * 1024
_WAITS: Final = re.compile(rb"\]\[info\] Waiting (?:for|until) ")
_UNSUPPORTED: Final = 32 | 64
"""Bits of the exit code that mean that no extractor accepts the address (64 in 1.32; 32 according
to its documentation).
"""
_WORDS: Final = (
    *("-m", "gallery_dl", "--config-ignore", "--no-input", "--dump-json"),
    *("-o", "output.private=true", "-o", "proxy-env=false", "-o", "cache.file=:memory:"),
    # if a site asks us to wait, a later attempt of the job retries, not gallery-dl
    *("-R", "0", "-o", "sleep-429=0", "--http-timeout", "15"),
)


@dataclass(frozen=True, kw_only=True)
class Ran:
    """What gallery-dl printed, and how it ended."""

    messages: list[list[Any]]
    unsupported: bool
    """Whether gallery-dl has no extractor for this address."""


def look(
    url: str,
    *,
    most: int,
    scratch: Path,
    proxy: str,
    allow: Sequence[str],
    extractors: str = "",
    options: Sequence[str] = (),
) -> Ran:
    """List what gallery-dl finds at an address, up to `most` files. Raises FetchError."""
    argv = [sys.executable, "-P", *_WORDS, "--range", f"1-{most}"]
    if proxy:
        argv += ["--proxy", proxy]
    if extractors:
        argv += ["-X", extractors]
    for option in options:
        argv += ["-o", option]
    with subprocess.Popen(
        [*argv, url],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=scratch,
        env=_environment(scratch, allow),
    ) as process:
        try:
            printed = _hear(process)
        except BaseException:
            process.kill()
            raise
    if process.returncode & _UNSUPPORTED:
        return Ran(messages=[], unsupported=True)
    return Ran(messages=_parse(printed), unsupported=False)


def _environment(scratch: Path, allow: Sequence[str]) -> dict[str, str]:
    """The minimal environment of gallery-dl: it contains no address, name or setting of ours that
    gallery-dl does not need.
    """
    return {
        "PATH": os.environ.get("PATH", "/usr/bin:/bin"),
        "HOME": str(scratch),
        "TMPDIR": str(scratch),
        "LANG": "C.UTF-8",
        "PYTHONPATH": str(ENCLOSED),
        "PYTHONDONTWRITEBYTECODE": "1",
        "TRAWLER_EGRESS_ALLOW": ",".join(allow),
    }


def _hear(process: "subprocess.Popen[bytes]") -> bytes:
    """Read everything that gallery-dl prints. Raises FetchError if it would wait for a rate limit,
    prints too much or exceeds the timeout.
    """
    assert process.stdout is not None
    assert process.stderr is not None
    found, said = bytearray(), bytearray()
    deadline = time.monotonic() + WITHIN
    with selectors.DefaultSelector() as waiting:
        waiting.register(process.stdout, selectors.EVENT_READ, found)
        waiting.register(process.stderr, selectors.EVENT_READ, said)
        while waiting.get_map():
            ready = waiting.select(deadline - time.monotonic())
            if time.monotonic() >= deadline:
                raise FetchError(FailureReason.TOO_SLOW, elsewhere=True, note="deadline")
            for key, _ in ready:
                piece = os.read(key.fd, 64 * 1024)
                if not piece:
                    waiting.unregister(key.fileobj)
                key.data.extend(piece)
            if len(found) > MAX_OUT:
                raise FetchError(
                    FailureReason.TOO_LARGE, "The site lists too much for one request."
                )
            if _WAITS.search(said):
                raise FetchError(FailureReason.THROTTLED, elsewhere=True, note="it would wait")
            del said[:-MAX_SAID]
    return bytes(found)


def _parse(printed: bytes) -> list[list[Any]]:
    """Parse the output into one list of messages (type, …). Raises FetchError."""
    try:
        messages = json.loads(printed or b"[]")
    except (ValueError, RecursionError):
        messages = None
    if not isinstance(messages, list):
        raise FetchError(
            FailureReason.SITE_ERROR,
            "The site's page could not be read.",
            elsewhere=True,
            note="unreadable",
        )
    return [each for each in messages if isinstance(each, list) and each]
