"""The chart rendered into dicts."""

import re
import subprocess
from pathlib import Path
from typing import Any

import yaml

from trawler_cluster import binaries

CHART = Path(__file__).resolve().parents[2] / "charts" / "trawler"


def template(*words: str) -> subprocess.CompletedProcess[str]:
    """`helm template`, whatever it says."""
    argv = [binaries.program("helm"), "template", "trawler", CHART, "-n", "ns"]
    argv += ["--kube-version", binaries.KUBERNETES_VERSION, *words]
    return subprocess.run(
        [str(word) for word in argv], capture_output=True, text=True, timeout=60, check=False
    )


def render(*words: str) -> list[dict[str, Any]]:
    """Every object. Fails where helm does."""
    done = template(*words)
    assert done.returncode == 0, done.stderr
    return [doc for doc in yaml.safe_load_all(done.stdout) if doc]


def pod_specs(objects: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Name of its Deployment, StatefulSet or Job (without the hash of its contents) → pod spec."""
    return {
        re.sub("-[0-9a-f]{8}$", "", found["metadata"]["name"]): found["spec"]["template"]["spec"]
        for found in objects
        if found["kind"] in {"Deployment", "StatefulSet", "Job"}
    }
