"""The provider that runs the real Kubernetes components as plain processes on bare Linux."""

import json
import math
import shutil
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import yaml

from trawler_cluster import binaries, checks, images, packages, shell
from trawler_cluster.cluster_config import ClusterConfig
from trawler_cluster.native import addons, cgroups, configs, network, processes, teardown


class Native:
    """The provider for machines without Docker."""

    def __init__(self, config: ClusterConfig) -> None:
        self.config = config

    def tools(self) -> Path:
        return binaries.ensure()

    def components(self) -> list[processes.Component]:
        within = network.inside(self.config)
        return [
            processes.Component(
                name=name,
                argv=[*within, *argv],
                folder=self.config.state / "pids",
                logs=self.config.logs,
            )
            for name, argv in configs.commands(self.config, self.tools()).items()
        ]

    # up -------------------------------------------------------------------------------------

    def up(self) -> None:
        config = self.config
        checks.require_linux_root()
        if not config.state.exists():
            checks.require_disk(config.state, checks.RUNNING_NEEDS, "Running the cluster")
        packages.ensure()
        tools = self.tools()
        with shell.timed(f"Starting cluster {config.name}"):
            network.ensure(config)
            cgroups.create(config.cgroup)
            self._write_configs(tools)
            self._make_keys(tools)
            self._wait("a ready API server", self._api_ready, "etcd", "kube-apiserver")
            self._bind_roles()
            control = ("kube-controller-manager", "kube-scheduler")
            self._wait("a ready containerd", self._containerd_ready, "containerd", *control)
            self._load_base_images()
            # kube-proxy exits if the first address that it finds is not the node's
            self._wait("a registered node", self._node_has_address, "kubelet")
            self._apply_addons()
            everything = (component.name for component in self.components())
            self._wait("a ready node with DNS", self._node_ready, *everything)

    def _write_configs(self, tools: Path) -> None:
        config = self.config
        conf = config.state / "conf"
        files = {
            conf / "kubeadm.yaml": configs.kubeadm(config),
            conf / "containerd.toml": configs.containerd(config, tools),
            conf / "kubelet.yaml": yaml.safe_dump(configs.kubelet(config)),
            conf / "proxy.yaml": yaml.safe_dump(configs.kube_proxy(config)),
            conf / "resolv.conf": "nameserver 127.0.0.1\n",
            config.state / "cni" / "10-pods.conflist": json.dumps(
                yaml.safe_load(configs.cni(config))
            ),
        }
        config.run.mkdir(parents=True, exist_ok=True)
        config.state.mkdir(parents=True, exist_ok=True, mode=0o755)
        for path, text in files.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            # kube-proxy exits when its file is written, even with the same content
            if not path.exists() or path.read_text() != text:
                path.write_text(text)

    def _make_keys(self, tools: Path) -> None:
        conf = self.config.state / "conf"
        if not self.config.kubeconfig.exists():
            config: list[str | Path] = ["--config", conf / "kubeadm.yaml"]
            phase: list[str | Path] = [tools / "kubeadm", "init", "phase"]
            shell.run([*phase, "certs", "all", *config])
            shell.run([*phase, "kubeconfig", "all", *config, "--kubeconfig-dir", conf])
            fresh = conf / "kubeconfig"
            shutil.copy(conf / "admin.conf", fresh)
            admin = f"kubernetes-admin@{self.config.name}"
            shell.run(
                [
                    *(tools / "kubectl", "--kubeconfig", fresh),
                    *("config", "rename-context", admin, self.config.name),
                ]
            )
            fresh.rename(self.config.kubeconfig)

    def _kubectl(self, *words: str, conf: str = "admin.conf", **more: object) -> str:
        argv: list[str | Path] = [
            self.tools() / "kubectl",
            "--kubeconfig",
            self.config.state / "conf" / conf,
            *words,
        ]
        return shell.run(argv, **more).stdout  # type: ignore[arg-type]

    def _api_ready(self) -> bool:
        admin = self.config.state / "conf" / "admin.conf"
        argv: list[str | Path] = [
            self.tools() / "kubectl",
            "--kubeconfig",
            admin,
            "--request-timeout=2s",
        ]
        return shell.run([*argv, "get", "--raw", "/readyz"], check=False).returncode == 0

    def _wait(self, what: str, condition: Callable[[], bool], *needed: str) -> None:
        """Wait for a condition that needs these components, and restart those that exit. A
        component that was killed a moment ago may still seem to run.
        """
        components = [found for found in self.components() if found.name in needed]

        def reached() -> bool:
            for component in components:
                component.start()
            return condition() and all(component.pid() for component in components)

        logs = ", ".join(f"{component.name}.log" for component in components)
        shell.wait_until(
            reached, what=f"{what} (see {logs} in {self.config.logs})", timeout=120, pause=0.5
        )

    def _bind_roles(self) -> None:
        """Create the role bindings that `kubeadm init` creates in later phases, which need a
        cluster that kubeadm itself started.
        """
        for name, role, who in (
            ("kubeadm:cluster-admins", "cluster-admin", "--group=kubeadm:cluster-admins"),
            (
                "kubelet-api",
                "system:kubelet-api-admin",
                "--user=kube-apiserver-kubelet-client",
            ),
        ):
            self._kubectl(
                *("create", "clusterrolebinding", name, f"--clusterrole={role}", who),
                conf="super-admin.conf",
                check=False,
            )

    def _ctr(self, *words: str | Path, check: bool = True) -> str:
        address = ("-a", str(self.config.containerd_socket), "-n", "k8s.io")
        argv: list[str | Path] = [self.tools() / "ctr", *address, *words]
        return shell.run(argv, check=check, timeout=600).stdout

    def _containerd_ready(self) -> bool:
        address = ("-a", str(self.config.containerd_socket))
        return shell.run([self.tools() / "ctr", *address, "version"], check=False).returncode == 0

    def _load_base_images(self) -> None:
        images.load(
            self, [images.PAUSE, images.COREDNS, images.LOCAL_PATH, images.BASE], quiet=True
        )

    def _apply_addons(self) -> None:
        servers = _host_nameservers() if self.config.internet else []
        manifests = [
            *addons.coredns(self.config, servers),
            *addons.local_path(self.config),
        ]
        self._kubectl("apply", "-f", "-", stdin=yaml.safe_dump_all(manifests))

    def _node_has_address(self) -> bool:
        address = '{.status.addresses[?(@.type=="InternalIP")].address}'
        words = ("get", "node", self.config.node, "-o", f"jsonpath={address}")
        return self._kubectl(*words, check=False).strip() == self.config.node_ip

    def _node_ready(self) -> bool:
        """Whether the running kubelet reported the node as ready and DNS answers. A report must be
        newer than the kubelet: the API server also keeps reports of kubelets that have died.
        """
        kubelet = next(found for found in self.components() if found.name == "kubelet")
        pid = kubelet.pid()
        began = processes.began(pid) if pid is not None else None
        ready = '{range .status.conditions[?(@.type=="Ready")]}{.status} {.lastHeartbeatTime}{end}'
        words = self._kubectl(
            *("get", "node", self.config.node, "-o", f"jsonpath={ready}"), check=False
        ).split()
        if began is None or len(words) != 2:
            return False
        said = datetime.fromisoformat(words[1].replace("Z", "+00:00")).timestamp()
        fresh = said >= math.floor(began) - 1  # a heartbeat has whole seconds, `began` a boot time
        return words[0] == "True" and fresh and network.answers_names(self.config)

    # down, status and images ------------------------------------------------------------------

    def down(self) -> None:
        checks.require_linux_root()
        with shell.timed(f"Removing cluster {self.config.name}"):
            teardown.remove(self.config, self._recorded())

    def _recorded(self) -> list[processes.Component]:
        """The components with pid files. Works even if the programs themselves were deleted."""
        folder = self.config.state / "pids"
        records = sorted(folder.glob("*.pid"), key=lambda path: path.stat().st_mtime)
        return [
            processes.Component(name=path.stem, argv=(), folder=folder, logs=self.config.logs)
            for path in records
        ]

    def healthy(self) -> bool:
        return (
            self.config.kubeconfig.exists()
            and all(component.pid() for component in self.components())
            and self._api_ready()
            and self._node_ready()
        )

    def status(self) -> list[tuple[str, str]]:
        if not self.config.state.exists():
            return [("cluster", "not there; `make up` starts it")]
        rows = [
            (component.name, f"running, pid {pid}" if (pid := component.pid()) else "NOT RUNNING")
            for component in self.components()
        ]
        rows.append(("API server", "ready" if self._api_ready() else "NOT READY"))
        rows.append(("node and DNS", "ready" if self._node_ready() else "NOT READY"))
        return rows

    def has_image(self, reference: str) -> bool:
        return reference in self._ctr("images", "ls", "-q").split()

    def load(self, archive: Path) -> None:
        # the default, the transfer service, takes two to three times as long
        self._ctr("images", "import", "--local", archive)


def _host_nameservers() -> list[str]:
    lines = Path("/etc/resolv.conf").read_text().splitlines()
    return [line.split()[1] for line in lines if line.startswith("nameserver")][:3]
