"""The cluster provider for machines with Docker: kind. Thin: once a kubeconfig exists, all further
code is shared.
"""

from pathlib import Path

from trawler_cluster import binaries, shell
from trawler_cluster.cluster_config import ClusterConfig


class Kind:
    """A kind cluster. The project's own tests have no Docker and check only its command lines."""

    def __init__(self, config: ClusterConfig) -> None:
        self.config = config

    def tools(self) -> Path:
        return binaries.ensure(binaries.WITH_KIND)

    def create_command(self) -> list[str]:
        return [
            *(str(self.tools() / "kind"), "create", "cluster", "--name", self.config.name),
            *("--kubeconfig", str(self.config.kubeconfig), "--wait", "120s"),
        ]

    def delete_command(self) -> list[str]:
        return [
            *(str(self.tools() / "kind"), "delete", "cluster", "--name", self.config.name),
            *("--kubeconfig", str(self.config.kubeconfig)),
        ]

    def load_command(self, archive: Path) -> list[str]:
        return [
            *(str(self.tools() / "kind"), "load", "image-archive", str(archive)),
            *("--name", self.config.name),
        ]

    def up(self) -> None:
        if self.healthy():
            return
        self.config.state.mkdir(parents=True, exist_ok=True)
        shell.run_with_progress(
            self.create_command(),
            label="Creating a kind cluster",
            log=self.config.logs / "kind.log",
        )
        kubectl: list[str | Path] = [
            self.tools() / "kubectl",
            "--kubeconfig",
            self.config.kubeconfig,
        ]
        shell.run(
            [*kubectl, "config", "rename-context", f"kind-{self.config.name}", self.config.name]
        )

    def down(self) -> None:
        shell.run(self.delete_command())
        self.config.kubeconfig.unlink(missing_ok=True)

    def healthy(self) -> bool:
        if not self.config.kubeconfig.exists():
            return False
        kubectl: list[str | Path] = [
            self.tools() / "kubectl",
            "--kubeconfig",
            self.config.kubeconfig,
        ]
        return shell.run([*kubectl, "get", "--raw", "/readyz"], check=False).returncode == 0

    def status(self) -> list[tuple[str, str]]:
        return [("kind cluster", "running" if self.healthy() else "not running")]

    def has_image(self, reference: str) -> bool:
        node = f"{self.config.name}-control-plane"
        found = shell.run(
            ["docker", "exec", node, "crictl", "inspecti", "-q", reference], check=False
        )
        return found.returncode == 0

    def load(self, archive: Path) -> None:
        shell.run(self.load_command(archive), timeout=600)
