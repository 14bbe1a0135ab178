"""Build container images: our own from their Dockerfiles, and stand-ins with the official names for
machines without a registry. The tag of one of our own images is a hash of its content.
"""

import functools
import hashlib
import os
import shutil
import tempfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from trawler_cluster import binaries, checks, cluster_config, references, shell
from trawler_cluster.provider import Provider

STAND_INS: Final = cluster_config.REPOSITORY / "cluster" / "images"
REGISTRY: Final = "ghcr.io/trawler-dev"
CA_BUNDLES: Final = (
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
)

BASE_PACKAGES: Final = "ca-certificates,python3,python3-venv"
"""Packages that a bare Debian needs to replace the official Python image."""
BASE_APT: Final = """\
DPkg::Post-Invoke { "rm -f /var/cache/apt/archives/*.deb /var/cache/apt/*.bin || true"; };
Dir::Cache::pkgcache "";
Dir::Cache::srcpkgcache "";
"""
"""Delete what apt downloaded, as the official images do: it would be half of each image."""


@dataclass(frozen=True, kw_only=True)
class Image:
    """A container image that a node can run."""

    reference: str
    digest: str
    """Changes with the image's content; names the archive in the cache."""
    build: Callable[[str], None]

    @property
    def archive(self) -> Path:
        return cluster_config.cache() / "images" / f"{self.digest}.tar"


def ca_bundle() -> Path | None:
    """The host's CA certificates, for builds behind a TLS-inspecting proxy."""
    named = os.environ.get("SSL_CERT_FILE")
    for candidate in (*((named,) if named else ()), *CA_BUNDLES):
        if Path(candidate).is_file():
            return Path(candidate)
    return None


def _buildah(*words: str | Path) -> list[str]:
    store = cluster_config.cache() / "buildah"
    runtime = Path("/run/trawler-buildah")
    return ["buildah", "--root", str(store), "--runroot", str(runtime), *map(str, words)]


_ENV: Final = {"BUILDAH_ISOLATION": "chroot", "STORAGE_DRIVER": "overlay"}


def _secret() -> list[str]:
    bundle = ca_bundle()
    return ["--secret", f"id=ca,src={bundle}"] if bundle else []


def build_command(*, docker: bool, reference: str, dockerfile: Path, context: Path) -> list[str]:
    """The command that builds an image with Docker or Buildah."""
    common = ["-t", reference, "-f", str(dockerfile), *_secret(), str(context)]
    if docker:
        return ["docker", "build", *common]
    return _buildah("build", "--layers", "--pull-never", "--format", "docker", *common)


def save_command(*, docker: bool, reference: str, archive: Path) -> list[str]:
    """The command that writes an image to an archive that a node can import."""
    if docker:
        return ["docker", "save", "-o", str(archive), reference]
    # compression takes more time than it saves, here and on each node that loads the archive
    return _buildah(
        *("push", "--disable-compression", reference, f"oci-archive:{archive}:{reference}")
    )


def dockerfile(folder: Path, context: Path) -> Callable[[str], None]:
    """Return a function that builds the image of a folder's Dockerfile."""

    def build(reference: str) -> None:
        docker = checks.docker_answers()
        command = build_command(
            docker=docker,
            reference=reference,
            dockerfile=folder / "Dockerfile",
            context=context,
        )
        name = reference.rsplit("/", 1)[-1].split(":", maxsplit=1)[0]
        log = cluster_config.cache() / "log" / f"image-{name}.log"
        shell.run_with_progress(
            command, label=f"Building image {name}", log=log, env=_ENV | {"DOCKER_BUILDKIT": "1"}
        )

    return build


def _stand_in(program: str, folder: str) -> Callable[[str], None]:
    """Return a function that builds an image of one static program from the cache."""

    def build(reference: str) -> None:
        with tempfile.TemporaryDirectory(prefix="trawler-image-") as context:
            shutil.copy(binaries.program(program), Path(context) / program)
            dockerfile(STAND_INS / folder, Path(context))(reference)

    return build


def _build_base(reference: str) -> None:
    """Build a base image from Debian's own packages in place of the official Python image."""
    with tempfile.TemporaryDirectory(prefix="trawler-base-") as folder:
        tree, apt = Path(folder) / "base.tar", Path(folder) / "docker-clean"
        apt.write_text(BASE_APT)
        shell.run_with_progress(
            [
                *("mmdebstrap", "--variant=minbase", f"--include={BASE_PACKAGES}"),
                "--dpkgopt=path-exclude=/usr/share/doc/*",
                f"--customize-hook=upload {apt} /etc/apt/apt.conf.d/docker-clean",
                *("trixie", tree),
            ],
            label="Making the base image (Debian trixie with Python 3.13)",
            log=cluster_config.cache() / "log" / "image-base.log",
        )
        container = shell.output(_buildah("from", "scratch"), env=_ENV)
        shell.run(_buildah("add", "-q", container, tree, "/"), env=_ENV, timeout=300)
        shell.run(_buildah("commit", "-q", "--rm", container, reference), env=_ENV, timeout=300)


def _fingerprint(*parts: str | Path) -> str:
    made_of = hashlib.sha256()
    for part in parts:
        if isinstance(part, str):
            made_of.update(part.encode())
            continue
        for file in sorted([part] if part.is_file() else part.rglob("*")):
            if file.is_file() and "__pycache__" not in file.parts:
                made_of.update(str(file.relative_to(cluster_config.REPOSITORY)).encode())
                made_of.update(file.read_bytes())
    return made_of.hexdigest()[:12]


def _program_image(reference: str, program: str, folder: str) -> Image:
    known = (*binaries.MODULES, binaries.METRICS_SERVER)
    module = next(m for m in known if program in m.programs)
    return Image(
        reference=reference,
        digest=_fingerprint(reference, module.digest(), STAND_INS / folder),
        build=_stand_in(program, folder),
    )


PAUSE: Final = _program_image(references.PAUSE, "pause", "pause")
COREDNS: Final = _program_image(references.COREDNS, "coredns", "coredns")
LOCAL_PATH: Final = _program_image(references.LOCAL_PATH, "local-path-provisioner", "local-path")
NATS: Final = _program_image("docker.io/library/nats:2.15.2-alpine", "nats-server", "nats")
STORE: Final = _program_image("ghcr.io/versity/versitygw:v1.8.0", "versitygw", "versitygw")
METRICS_SERVER: Final = _program_image(
    references.METRICS_SERVER, "metrics-server", "metrics-server"
)
"""Used only by the autoscaling tests."""
BASE: Final = Image(
    reference=references.BASE,
    digest=_fingerprint(references.BASE, BASE_PACKAGES, BASE_APT),
    build=_build_base,
)


POSTGRES: Final = Image(
    reference="docker.io/library/postgres:17.6-trixie",
    digest=_fingerprint("postgres", BASE.digest, STAND_INS / "postgres"),
    build=dockerfile(STAND_INS / "postgres", STAND_INS / "postgres"),
)


@functools.cache  # one content per run, even if files are edited meanwhile
def service(name: str) -> Image:
    """The image of one of our services (`SERVICES`), tagged with a hash of its content."""
    root = cluster_config.REPOSITORY
    parts: list[str | Path] = [root / "uv.lock", root / name, BASE.digest]
    if name != "sandbox":
        parts += [root / "crds" / "src", root / "common"]
    tag = _fingerprint(*parts)
    reference = f"{REGISTRY}/trawler-{name}:dev-{tag}"
    return Image(
        reference=reference,
        digest=f"{name}-{tag}",
        build=dockerfile(root / name, root),
    )


SERVICES: Final = ("operator", "worker", "bot", "sandbox")


def everything() -> list[Image]:
    """Every image that an install with the sandbox needs."""
    ours = [service(name) for name in SERVICES]
    return ours if checks.docker_answers() else [NATS, STORE, POSTGRES, *ours]


def load(provider: Provider, images: Iterable[Image], *, quiet: bool = False) -> None:
    """Load images into the node if it lacks them, and build those that are missing."""
    for image in images:
        if provider.has_image(image.reference):
            continue
        ensure_archive(image)
        if quiet:
            provider.load(image.archive)
            continue
        with shell.timed(f"Loading {image.reference}"):
            provider.load(image.archive)


def ensure_archive(image: Image) -> None:
    """Build an image into the cache, unless an archive with the same content exists."""
    if image.archive.exists():
        return
    on_base = image is POSTGRES or image.digest.startswith(SERVICES)
    if on_base and not checks.docker_answers():
        _ensure_built(BASE)
    image.archive.parent.mkdir(parents=True, exist_ok=True)
    if image is BASE:
        _ensure_built(BASE)
    else:
        image.build(image.reference)
    fresh = image.archive.with_suffix(".new")
    fresh.unlink(missing_ok=True)
    docker = checks.docker_answers()
    shell.run(
        save_command(docker=docker, reference=image.reference, archive=fresh),
        env=_ENV,
        timeout=600,
    )
    fresh.rename(image.archive)
    _forget_older(image)


def _ensure_built(base: Image) -> None:
    """Build the base image into the builder's store if it is missing: a `FROM` line cannot use an
    archive. The image has the official name there regardless of its content; a second name
    identifies the content.
    """
    content = f"localhost/trawler-base:{base.digest}"
    known = shell.run(_buildah("images", "-q", content), env=_ENV, check=False)
    if known.returncode != 0 or not known.stdout.strip():
        base.build(base.reference)
        shell.run(_buildah("tag", base.reference, content), env=_ENV)


def _forget_older(image: Image) -> None:
    """Keep only the two newest archives of a service: one per content tag would fill the disk."""
    service_name = image.digest.partition("-")[0]
    if service_name in SERVICES:
        same = sorted(
            image.archive.parent.glob(f"{service_name}-*.tar"),
            key=lambda path: path.stat().st_mtime,
            reverse=True,
        )
        for old in same[2:]:
            old.unlink(missing_ok=True)
