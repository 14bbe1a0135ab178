"""Build every program of the local cluster from its Go module, once, into the cache."""

import fcntl
import hashlib
import os
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from trawler_cluster import checks, cluster_config, shell

GO: Final = cluster_config.REPOSITORY / "cluster" / "go"

KUBERNETES_VERSION: Final = "v1.36.3"
_VERSION_PACKAGE: Final = "k8s.io/component-base/version"


@dataclass(frozen=True, kw_only=True)
class Module:
    """One of our Go modules. The `tool` lines of its go.mod are the programs that we build."""

    name: str
    programs: tuple[str, ...]
    tags: str = ""
    ldflags: str = "-s -w"
    rename: tuple[tuple[str, str], ...] = ()

    def digest(self) -> str:
        """A hash that changes with what we build and how we build it."""
        made_of = hashlib.sha256(repr(self).encode())
        for file in sorted((GO / self.name).iterdir()):
            made_of.update(file.name.encode() + file.read_bytes())
        return made_of.hexdigest()[:12]


MODULES: Final = (
    Module(name="pause", programs=("pause",)),
    Module(name="etcd", programs=("etcd",), rename=(("server", "etcd"),)),
    Module(name="nats", programs=("nats-server",)),
    Module(name="versitygw", programs=("versitygw",)),
    Module(
        name="node",
        programs=(
            *("containerd", "containerd-shim-runc-v2", "ctr"),
            *("ptp", "host-local", "loopback", "portmap", "bridge"),
        ),
        tags="no_btrfs,no_devmapper,no_zfs",
    ),
    Module(name="coredns", programs=("coredns",)),
    Module(name="localpath", programs=("local-path-provisioner",)),
    Module(name="helm", programs=("helm",)),
    Module(
        name="kubernetes",
        programs=(
            *("kube-apiserver", "kube-controller-manager", "kube-scheduler", "kube-proxy"),
            *("kubelet", "kubeadm", "kubectl"),
        ),
        ldflags=(
            f"-s -w -X {_VERSION_PACKAGE}.gitVersion={KUBERNETES_VERSION}"
            f" -X {_VERSION_PACKAGE}.gitMajor=1 -X {_VERSION_PACKAGE}.gitMinor=36"
        ),
    ),
)
METRICS_SERVER: Final = Module(name="metrics-server", programs=("metrics-server",))
"""Only the autoscaling tests need it: a build from scratch takes 4.5 minutes on two cores."""
KIND: Final = Module(name="kind", programs=("kind",))
WITH_KIND: Final = (KIND, *(m for m in MODULES if m.name in {"helm", "kubernetes"}))


def _folder(module: Module) -> Path:
    return cluster_config.cache() / "tools" / f"{module.name}-{module.digest()}"


def _built(module: Module) -> bool:
    return all((_folder(module) / program).exists() for program in module.programs)


def ensure(modules: tuple[Module, ...] = MODULES) -> Path:
    """Build missing programs and return one folder with links to every program.

    Raises UserError if Go or disk space is missing, CommandFailed if a build fails.
    """
    missing = [module for module in modules if not _built(module)]
    if missing:
        with _one_builder():
            missing = [module for module in modules if not _built(module)]
            _build(missing)
    return _toolbox(modules)


def _build(missing: list[Module]) -> None:
    if not missing:
        return
    checks.require_go()
    checks.require_disk(
        cluster_config.cache(), checks.BUILDING_NEEDS, "Building the cluster's programs"
    )
    shell.say(
        f"Building {len(missing)} Go modules, once; with two cores this takes about 25 minutes."
    )
    work = cluster_config.cache() / "go-work"
    for number, module in enumerate(missing, 1):
        _install(module, work=work, label=f"[{number}/{len(missing)}] {module.name}")
    _remove(work)


def _install(module: Module, *, work: Path, label: str) -> None:
    target = _folder(module)
    fresh = target.with_name(target.name + ".new")
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir(parents=True)
    shell.run_with_progress(
        [
            *("go", "install", "-trimpath", "-mod=readonly"),
            *(("-tags", module.tags) if module.tags else ()),
            *("-ldflags", module.ldflags, "." if module.name == "pause" else "tool"),
        ],
        label=label,
        log=cluster_config.cache() / "log" / f"build-{module.name}.log",
        cwd=GO / module.name,
        env={
            "CGO_ENABLED": "0",
            "GOBIN": str(fresh),
            "GOTOOLCHAIN": "local",
            "GOCACHE": str(work / "build"),
            "GOMODCACHE": str(work / "modules"),
            "GOFLAGS": "",
        },
    )
    for old, new in module.rename:
        (fresh / old).rename(fresh / new)
    shutil.rmtree(target, ignore_errors=True)
    fresh.rename(target)


def _remove(work: Path) -> None:
    """Delete the build caches. Go marks its modules read-only, so make them writable first."""
    for folder, _, _ in os.walk(work):
        Path(folder).chmod(stat.S_IRWXU)
    shutil.rmtree(work, ignore_errors=True)


@contextmanager
def _one_builder() -> Iterator[None]:
    lock = cluster_config.cache() / "build.lock"
    lock.parent.mkdir(parents=True, exist_ok=True)
    with lock.open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def _toolbox(modules: tuple[Module, ...]) -> Path:
    names = "".join(module.digest() for module in modules)
    box = cluster_config.cache() / f"bin-{hashlib.sha256(names.encode()).hexdigest()[:12]}"
    box.mkdir(parents=True, exist_ok=True)
    for module in modules:
        for program in module.programs:
            link = box / program
            if not link.exists():
                link.unlink(missing_ok=True)
                link.symlink_to(_folder(module) / program)
    return box


def program(name: str) -> Path:
    """The path of one program, which is built if it does not exist yet."""
    for module in (*MODULES, METRICS_SERVER, KIND):
        if name in module.programs:
            return ensure((module,)) / name
    raise KeyError(name)
