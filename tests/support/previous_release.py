"""Trawler as it was: images and chart of an earlier commit, for upgrades and their way back."""

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from trawler_cluster import cluster_config, images, shell
from trawler_cluster.provider import Provider

COMMITS: Final = ("3eecce084b79", "4d0547f11dfc")
"""Earlier releases: one with the bot new in it, and the one before the modules got their rooms."""


@dataclass(frozen=True)
class PreviousRelease:
    """What is needed to install it."""

    chart: Path
    tag: str


def at_hand(commit: str) -> bool:
    """Whether this checkout has the history: a source archive or a shallow clone has not."""
    words = ["git", "-C", str(cluster_config.REPOSITORY), "cat-file", "-e", f"{commit}^{{commit}}"]
    return subprocess.run(words, capture_output=True, check=False).returncode == 0


def load(provider: Provider, commit: str) -> PreviousRelease:
    """Check it out, build its operator and worker, and give them to the node."""
    folder = cluster_config.cache() / "former" / commit
    if not (folder / "charts").exists():
        fresh = folder.with_suffix(".new")
        shutil.rmtree(fresh, ignore_errors=True)
        fresh.mkdir(parents=True)
        tree = subprocess.run(
            ["git", "-C", str(cluster_config.REPOSITORY), "archive", commit],
            capture_output=True,
            check=True,
        )
        subprocess.run(["tar", "-x", "-C", str(fresh)], input=tree.stdout, check=True)
        fresh.rename(folder)
    tag = f"former-{commit}"
    found = [
        images.Image(
            reference=f"{images.REGISTRY}/trawler-{name}:{tag}",
            digest=f"{name}_{tag}-{images.BASE.digest}",
            build=images.dockerfile(folder / name, folder),
        )
        for name in ("operator", "worker")
    ]
    with shell.timed(f"Trawler of {commit}"):
        images.load(provider, found)
    return PreviousRelease(folder / "charts" / "trawler", tag)
