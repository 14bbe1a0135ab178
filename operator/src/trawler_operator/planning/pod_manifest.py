"""Builds the manifest of a pool's worker pods. Pure. The pods satisfy Pod Security `restricted`."""

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Any, Final

from trawler_crds import API_GROUP, API_VERSION
from trawler_crds.keys import ANNOTATION_TEMPLATE, LABEL_POOL
from trawler_crds.worker_pool import Resources, WorkerPool

AGENT_UID: Final = 10001
FETCHER_UID: Final = 10002
GROUP: Final = 10000
LOGS: Final = 256 * 1024 * 1024
"""Bytes of a pod's logs that the kubelet keeps. They count towards the pod's disk usage."""
INIT: Final = (
    "/bin/sh",
    "-c",
    'if [ -x /usr/bin/tini ]; then exec /usr/bin/tini -- "$@"; else exec "$@"; fi',
    "init",
)
"""PID 1 of each container is tini. Python as PID 1 ignores SIGTERM until it has handlers, which
takes seconds: the kernel drops a signal that the first process of a container does not handle.
Worker images of the previous release have no tini, and must start under this operator too.
"""


COBALT_UID: Final = 1000
"""The user `node` of the official image."""
COBALT_AT: Final = "http://127.0.0.1:9000"
_KEY: Final = "/etc/trawler/cobalt"


@dataclass(frozen=True, kw_only=True)
class CobaltPod:
    """Where worker pods find Cobalt: an image that runs in each of them, or a URL."""

    image: str = ""
    resources: Mapping[str, Any] = field(default_factory=dict)
    url: str = ""
    key_secret: str = ""
    options: Mapping[str, str] = field(default_factory=dict)
    """Settings of the fetcher: picker, quality, codec, audioFormat."""


@dataclass(frozen=True, kw_only=True)
class PodSettings:
    """Settings of all worker pods of an install."""

    install: str
    image: str
    pull_policy: str
    pull_secrets: tuple[str, ...]
    """Names of the secrets with registry credentials."""
    nats_url: str
    egress_allow: str
    egress_proxy: str
    otlp_endpoint: str
    log_level: str
    cobalt: CobaltPod = CobaltPod()


def build(
    pool: WorkerPool, *, name: str, settings: PodSettings, image: str | None = None
) -> dict[str, Any]:
    """The manifest of one worker pod. `image` replaces the release's image."""
    if image is not None:
        settings = replace(settings, image=image)
    spec, pulls = pool.spec, settings.pull_secrets
    grace = spec.termination_grace_period_seconds
    agent = _container(
        "worker",
        "trawler_worker.agent",
        AGENT_UID,
        spec.resources.worker,
        settings,
        {
            "INSTALL": settings.install,
            "POD": name,
            "POOL": pool.name,
            "NATS_URL": settings.nats_url,
            "SLOTS": str(spec.slots_per_pod),
            "JOBS": str(spec.jobs_per_pod or 0),
            "GRACE": str(grace),
            "OTLP_ENDPOINT": settings.otlp_endpoint,
        },
        scratch_read_only=True,
    )
    agent["ports"] = [{"name": "health", "containerPort": 8080}]
    agent["livenessProbe"] = _probe("/healthz", period=10, failures=6)
    agent["readinessProbe"] = _probe("/readyz", period=5, failures=2)
    agent["startupProbe"] = _probe("/healthz", period=1, failures=120)
    fetcher = _container(
        "fetcher",
        "trawler_worker.fetcher",
        FETCHER_UID,
        spec.resources.fetcher,
        settings,
        {
            "AGENT_UID": str(AGENT_UID),
            "JOB_MEMORY": str(to_bytes(spec.job_memory)),
            "SCRATCH_BYTES": str(to_bytes(spec.scratch) * 95 // 100),
            "PROXY": settings.egress_proxy,
            "EGRESS_ALLOW": settings.egress_allow,
            **_cobalt_words(settings.cobalt),
        },
        scratch_read_only=False,
    )
    _reserve_disk(fetcher["resources"], to_bytes(spec.scratch) + LOGS)
    # with malloc its memory grows by what it needs, not by a mebibyte at a time; its jobs use
    # Python's own allocator again
    fetcher["env"].append({"name": "PYTHONMALLOC", "value": "malloc"})
    volumes: list[dict[str, Any]] = [
        {"name": "scratch", "emptyDir": {"sizeLimit": spec.scratch}},
        {"name": "talk", "emptyDir": {"medium": "Memory", "sizeLimit": "1Mi"}},
    ]
    if settings.cobalt.key_secret and not settings.cobalt.image:
        volumes.append({"name": "cobalt", "secret": {"secretName": settings.cobalt.key_secret}})
        mount = {"name": "cobalt", "mountPath": _KEY, "readOnly": True}
        fetcher["volumeMounts"].append(mount)
    beside = [_cobalt(settings)] if settings.cobalt.image else []
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": name,
            "labels": {
                "app.kubernetes.io/name": "trawler",
                "app.kubernetes.io/component": "worker",
                LABEL_POOL: pool.name,
            },
            "annotations": {},
            "ownerReferences": [_owner(pool)],
        },
        "spec": {
            "restartPolicy": "Never",
            "automountServiceAccountToken": False,
            "enableServiceLinks": False,
            "terminationGracePeriodSeconds": grace,
            "securityContext": {
                "runAsNonRoot": True,
                "runAsUser": FETCHER_UID,
                "runAsGroup": GROUP,
                "fsGroup": GROUP,
                "seccompProfile": {"type": "RuntimeDefault"},
            },
            **({"imagePullSecrets": [{"name": n} for n in pulls]} if pulls else {}),
            **({"initContainers": beside} if beside else {}),
            "containers": [agent, fetcher],
            "volumes": volumes,
            **({"nodeSelector": spec.node_selector} if spec.node_selector else {}),
            **({"tolerations": [t.wire() for t in spec.tolerations]} if spec.tolerations else {}),
        },
    }


def _cobalt_words(cobalt: CobaltPod) -> dict[str, str]:
    """Environment variables of the fetcher for Cobalt, without prefix; empty without Cobalt."""
    url = COBALT_AT if cobalt.image else cobalt.url
    if not url:
        return {}
    names = {
        "picker": "COBALT_PICKER",
        "quality": "COBALT_QUALITY",
        "codec": "COBALT_CODEC",
        "audioFormat": "COBALT_AUDIO_FORMAT",
    }
    words = {names[key]: str(value) for key, value in cobalt.options.items() if key in names}
    if cobalt.key_secret and not cobalt.image:
        words["COBALT_KEY"] = f"{_KEY}/key"
    return {"COBALT_URL": url, **words}


def _cobalt(settings: PodSettings) -> dict[str, Any]:
    """The Cobalt container. It is a sidecar: it starts before the two other containers, restarts if
    it ends, and ends with them. A tunnel of Cobalt works only in the process that created it, and
    this Cobalt listens only inside its pod.
    """
    env = {
        "API_URL": f"{COBALT_AT}/",
        "API_LISTEN_ADDRESS": "127.0.0.1",
        # only the fetcher uses this Cobalt: rate limits are meant for strangers
        "RATELIMIT_MAX": "100000",
        "TUNNEL_RATELIMIT_MAX": "100000",
    }
    if settings.egress_proxy:
        proxy = settings.egress_proxy
        env |= {"HTTP_PROXY": proxy, "HTTPS_PROXY": proxy, "NO_PROXY": "127.0.0.1"}
    return {
        "name": "cobalt",
        "image": settings.cobalt.image,
        "imagePullPolicy": settings.pull_policy,
        "restartPolicy": "Always",
        "workingDir": "/app",
        "command": ["node", "src/cobalt"],
        "env": [{"name": name, "value": value} for name, value in env.items()],
        "resources": dict(settings.cobalt.resources),
        "securityContext": {
            "runAsUser": COBALT_UID,
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
    }


def _reserve_disk(resources: dict[str, Any], size: int) -> None:
    """Request disk for scratch, so that the scheduler looks for a node with room, unless the pool
    sets its own values. A pod that uses more is evicted, and no other pod with it.
    """
    for part in ("requests", "limits"):
        resources.setdefault(part, {}).setdefault("ephemeral-storage", str(size))


def template(pool: WorkerPool, settings: PodSettings, image: str | None = None) -> str:
    """A hash that changes whenever a new pod of the pool would differ from the existing ones."""
    manifest = build(pool, name="", settings=settings, image=image)
    del manifest["metadata"]["ownerReferences"], manifest["metadata"]["annotations"]
    return hashlib.sha256(json.dumps(manifest, sort_keys=True).encode()).hexdigest()[:16]


def make(
    pool: WorkerPool, *, name: str, settings: PodSettings, image: str | None = None
) -> dict[str, Any]:
    """The manifest to create, annotated with the hash of the template that it was created from."""
    manifest = build(pool, name=name, settings=settings, image=image)
    manifest["metadata"]["annotations"][ANNOTATION_TEMPLATE] = template(pool, settings, image)
    return manifest


def _container(
    name: str,
    module: str,
    uid: int,
    resources: Resources,
    settings: PodSettings,
    env: dict[str, str],
    *,
    scratch_read_only: bool,
) -> dict[str, Any]:
    return {
        "name": name,
        "image": settings.image,
        "imagePullPolicy": settings.pull_policy,
        "command": [*INIT, "/app/bin/python", "-m", module],
        "env": [
            {"name": f"TRAWLER_WORKER_{key}", "value": value}
            for key, value in (env | {"LOG_LEVEL": settings.log_level}).items()
        ]
        # memory freed by threads goes back to the node, or to the next thread that needs some
        + [{"name": "MALLOC_ARENA_MAX", "value": "1"}],
        "resources": resources.wire(),
        "securityContext": {
            "runAsUser": uid,
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        "volumeMounts": [
            {"name": "scratch", "mountPath": "/scratch", "readOnly": scratch_read_only},
            {"name": "talk", "mountPath": "/run/trawler"},
        ],
    }


def _probe(path: str, *, period: int, failures: int) -> dict[str, Any]:
    return {
        "httpGet": {"path": path, "port": "health"},
        "periodSeconds": period,
        "timeoutSeconds": 5,
        "failureThreshold": failures,
    }


def _owner(pool: WorkerPool) -> dict[str, Any]:
    return {
        "apiVersion": f"{API_GROUP}/{API_VERSION}",
        "kind": "WorkerPool",
        "name": pool.name,
        "uid": pool.metadata.uid,
        "controller": True,
        "blockOwnerDeletion": False,
    }


_UNITS: Final[dict[str, Decimal | int]] = {
    "m": Decimal("0.001"),
    "": 1,
    "k": 10**3,
    "M": 10**6,
    "G": 10**9,
    "T": 10**12,
    "Ki": 2**10,
    "Mi": 2**20,
    "Gi": 2**30,
    "Ti": 2**40,
}


def to_bytes(quantity: str) -> int:
    """Convert a Kubernetes quantity of memory to bytes."""
    number = quantity.rstrip("mkMGTi")
    return math.ceil(Decimal(number) * _UNITS[quantity[len(number) :]])
