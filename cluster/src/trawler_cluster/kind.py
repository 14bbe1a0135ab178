"""A cluster by kind, where Docker is. Thin: all after "there is a kubeconfig" is shared."""

from pathlib import Path

from trawler_cluster import binaries, shell
from trawler_cluster.plan import Plan


class Kind:
    """Never run by the project's own tests, which have no Docker; its command lines are."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan

    def tools(self) -> Path:
        return binaries.ensure(binaries.WITH_KIND)

    def create_command(self) -> list[str]:
        return [
            *(str(self.tools() / "kind"), "create", "cluster", "--name", self.plan.name),
            *("--kubeconfig", str(self.plan.kubeconfig), "--wait", "120s"),
        ]

    def delete_command(self) -> list[str]:
        return [
            *(str(self.tools() / "kind"), "delete", "cluster", "--name", self.plan.name),
            *("--kubeconfig", str(self.plan.kubeconfig)),
        ]

    def load_command(self, archive: Path) -> list[str]:
        return [
            *(str(self.tools() / "kind"), "load", "image-archive", str(archive)),
            *("--name", self.plan.name),
        ]

    def up(self) -> None:
        if self.healthy():
            return
        self.plan.state.mkdir(parents=True, exist_ok=True)
        shell.run_with_progress(
            self.create_command(),
            label="Creating a kind cluster",
            log=self.plan.logs / "kind.log",
        )
        kubectl: list[str | Path] = [self.tools() / "kubectl", "--kubeconfig", self.plan.kubeconfig]
        shell.run([*kubectl, "config", "rename-context", f"kind-{self.plan.name}", self.plan.name])

    def down(self) -> None:
        shell.run(self.delete_command())
        self.plan.kubeconfig.unlink(missing_ok=True)

    def healthy(self) -> bool:
        if not self.plan.kubeconfig.exists():
            return False
        kubectl: list[str | Path] = [self.tools() / "kubectl", "--kubeconfig", self.plan.kubeconfig]
        return shell.run([*kubectl, "get", "--raw", "/readyz"], check=False).returncode == 0

    def status(self) -> list[tuple[str, str]]:
        return [("kind cluster", "running" if self.healthy() else "not running")]

    def has_image(self, reference: str) -> bool:
        node = f"{self.plan.name}-control-plane"
        found = shell.run(
            ["docker", "exec", node, "crictl", "inspecti", "-q", reference], check=False
        )
        return found.returncode == 0

    def load(self, archive: Path) -> None:
        shell.run(self.load_command(archive), timeout=600)
