"""Check early whether this machine can run a cluster. Each error is one sentence."""

import os
import platform
import re
import shutil
import subprocess
from pathlib import Path
from typing import Final

from trawler_cluster.errors import UserError

GO_AT_LEAST: Final = (1, 26, 6)
GB: Final = 1000**3
BUILDING_NEEDS: Final = 20 * GB
RUNNING_NEEDS: Final = 8 * GB


def docker_answers() -> bool:
    """Whether a Docker daemon answers, not only whether its client is installed."""
    if shutil.which("docker") is None:
        return False
    try:
        probe = subprocess.run(
            ["docker", "version", "--format", "{{.Server.Version}}"],
            capture_output=True,
            timeout=10,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return probe.returncode == 0


def require_linux_root() -> None:
    """Raises UserError if the native provider cannot work on this machine."""
    if platform.system() != "Linux" or not Path("/etc/debian_version").exists():
        raise UserError(
            "This machine is neither Debian-like Linux nor running Docker. Start Docker (then"
            " kind is used), or run this on Debian or Ubuntu as root."
        )
    if os.geteuid() != 0:
        raise UserError(
            "Without Docker, the cluster runs as plain processes and needs root: run this as root"
            " (or start Docker, then kind is used)."
        )


def parse_go_version(text: str) -> tuple[int, int, int] | None:
    """Parse the version in `go version go1.26.8 linux/amd64`."""
    found = re.search(r"go(\d+)\.(\d+)(?:\.(\d+))?", text)
    if found is None:
        return None
    return int(found[1]), int(found[2]), int(found[3] or 0)


def require_go() -> None:
    """Raises UserError if Go is missing or too old to build the components."""
    wanted = ".".join(map(str, GO_AT_LEAST))
    go = shutil.which("go")
    if go is None:
        raise UserError(
            f"Go {wanted} or later is needed to build Kubernetes from source, and none is"
            " installed. Install it from https://go.dev/dl/ and put it on PATH."
        )
    version = parse_go_version(
        subprocess.run([go, "version"], capture_output=True, text=True, check=False).stdout
    )
    if version is None or version < GO_AT_LEAST:
        raise UserError(
            f"Go {wanted} or later is needed to build Kubernetes from source; {go} is older."
        )


def require_disk(folder: Path, needed: int, why: str) -> None:
    """Raises UserError if fewer than `needed` bytes are free."""
    while not folder.exists():
        folder = folder.parent
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise UserError(
            f"{why} needs {needed // GB} GB of free disk at {folder}, and {free / GB:.1f} GB are"
            " free. Free some space and run this again."
        )
