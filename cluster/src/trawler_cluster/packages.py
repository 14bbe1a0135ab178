"""Install the Debian packages that a bare machine lacks, without prompts."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from trawler_cluster import shell

PACKAGES: Final = {
    "runc": "runc",  # starts containers
    "buildah": "buildah",  # builds images without a daemon
    "mmdebstrap": "mmdebstrap",  # creates the base image's file system
    "nft": "nftables",  # kube-proxy's rules, NAT of `up --internet`
    "conntrack": "conntrack",  # kube-proxy clears stale flows
    "ip": "iproute2",  # links, routes, namespaces
    "nsenter": "util-linux",
    "mount": "mount",
    "ffprobe": "ffmpeg",  # tests create and inspect media
    "fc-list": "fontconfig",  # tests render subtitles: it installs fonts
    "sysctl": "procps",
}
"""Required program → the package that provides it."""
FOR_TESTS: Final = {
    "openssl": "openssl",  # keys for the API server of the integration tests
    "curl": "curl",  # the reference that Direct is measured against
    "faketime": "faketime",  # a wrong clock for the operator in these tests
    "pg_ctlcluster": "postgresql",  # the bot's database, as a process
    "chromium": "chromium",  # opens the page of the Discord emulator
}
"""Additional programs that only `make test` needs."""


def ensure(*, for_tests: bool = False) -> None:
    """Install missing packages. Raises CommandFailed if apt fails."""
    wanted = {**PACKAGES, **(FOR_TESTS if for_tests else {})}
    missing = sorted({package for tool, package in wanted.items() if not shutil.which(tool)})
    if not missing:
        return
    quiet = {"DEBIAN_FRONTEND": "noninteractive"}
    log = Path("/var/log/trawler-apt.log")
    with _no_services():
        shell.run_with_progress(
            ["apt-get", "update", "-q"], label="Reading Debian's package lists", log=log
        )
        shell.run_with_progress(
            ["apt-get", "install", "-q", "-y", "--no-install-recommends", *missing],
            label=f"Installing {', '.join(missing)}",
            log=log,
            env=quiet,
        )


@contextmanager
def _no_services() -> Iterator[None]:
    """Keep package scripts from starting services (Debian policy 9.3.3, `policy-rc.d`)."""
    policy = Path("/usr/sbin/policy-rc.d")
    if policy.exists():
        yield
        return
    policy.write_text("#!/bin/sh\nexit 101\n")
    policy.chmod(0o755)
    try:
        yield
    finally:
        policy.unlink(missing_ok=True)
