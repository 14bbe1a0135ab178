"""Run kubectl and helm against one local cluster, and no other."""

import contextlib
import json
import re
import subprocess
from collections.abc import Iterator
from typing import Any

from trawler_cluster import shell
from trawler_cluster.errors import CommandFailed
from trawler_cluster.provider import Provider


class Kubectl:
    """kubectl and helm of one cluster, with its kubeconfig."""

    def __init__(self, provider: Provider, namespace: str = "default") -> None:
        self.provider = provider
        self.namespace = namespace
        self._tools = provider.tools()
        self._config = ["--kubeconfig", str(provider.config.kubeconfig)]

    def argv(self, *words: str) -> list[str]:
        return [str(self._tools / "kubectl"), *self._config, "-n", self.namespace, *words]

    def run(
        self, *words: str, stdin: str | None = None, check: bool = True, timeout: float = 120
    ) -> subprocess.CompletedProcess[str]:
        return shell.run(self.argv(*words), stdin=stdin, check=check, timeout=timeout)

    def text(self, *words: str, timeout: float = 120) -> str:
        return self.run(*words, timeout=timeout).stdout.strip()

    def json(self, *words: str) -> Any:
        return json.loads(self.run(*words, "-o", "json").stdout)

    def helm(self, *words: str, timeout: float = 300, check: bool = True) -> str:
        argv = [str(self._tools / "helm"), *self._config, "-n", self.namespace, *words]
        return shell.run(argv, timeout=timeout, check=check).stdout

    @contextlib.contextmanager
    def forwarded(self, target: str, port: int) -> Iterator[int]:
        """Forward a local port to a pod or Service and yield it. Raises CommandFailed if none
        opens.
        """
        process = subprocess.Popen(
            self.argv("port-forward", "--address", "127.0.0.1", target, f":{port}"),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            found = re.search(r"127\.0\.0\.1:(\d+)", line)
            if found is None:
                raise CommandFailed(f"no way to {target}: {line.strip()}")
            yield int(found[1])
        finally:
            process.kill()
            process.wait()
            if process.stdout is not None:
                process.stdout.close()
