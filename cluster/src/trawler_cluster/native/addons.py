"""Manifests of the cluster's add-ons: DNS (CoreDNS), volumes (local-path-provisioner) and, for
tests, metrics (metrics-server).
"""

from typing import Any, Final

from trawler_cluster import references
from trawler_cluster.cluster_config import ClusterConfig

_RBAC: Final = "rbac.authorization.k8s.io"


def _corefile(nameservers: list[str]) -> str:
    forward = f"  forward . {' '.join(nameservers)}\n" if nameservers else ""
    return (
        ".:53 {\n  errors\n  health\n  ready\n"
        "  kubernetes cluster.local in-addr.arpa ip6.arpa {\n"
        "    fallthrough in-addr.arpa ip6.arpa\n  }\n"
        f"{forward}  cache 5\n  reload 5s\n}}\n"
    )


def _account(name: str, namespace: str, rules: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [
        {
            "apiVersion": "v1",
            "kind": "ServiceAccount",
            "metadata": {"name": name, "namespace": namespace},
        },
        {
            "apiVersion": f"{_RBAC}/v1",
            "kind": "ClusterRole",
            "metadata": {"name": f"system:{name}"},
            "rules": rules,
        },
        {
            "apiVersion": f"{_RBAC}/v1",
            "kind": "ClusterRoleBinding",
            "metadata": {"name": f"system:{name}"},
            "roleRef": {"apiGroup": _RBAC, "kind": "ClusterRole", "name": f"system:{name}"},
            "subjects": [{"kind": "ServiceAccount", "name": name, "namespace": namespace}],
        },
    ]


def _deployment(name: str, namespace: str, pod: dict[str, Any]) -> dict[str, Any]:
    labels = {"k8s-app": name}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "namespace": namespace, "labels": labels},
        "spec": {
            "selector": {"matchLabels": labels},
            "template": {
                "metadata": {"labels": labels},
                "spec": {"serviceAccountName": name, "terminationGracePeriodSeconds": 1, **pod},
            },
        },
    }


def _config(name: str, namespace: str, data: dict[str, str]) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": name, "namespace": namespace},
        "data": data,
    }


def coredns(config: ClusterConfig, nameservers: list[str]) -> list[dict[str, Any]]:
    """CoreDNS, which resolves the cluster's own names. It forwards other names only if
    `nameservers` are given.
    """
    space = "kube-system"
    reads = ["list", "watch"]
    return [
        *_account(
            "coredns",
            space,
            [
                {
                    "apiGroups": [""],
                    "resources": ["endpoints", "services", "pods", "namespaces"],
                    "verbs": reads,
                },
                {
                    "apiGroups": ["discovery.k8s.io"],
                    "resources": ["endpointslices"],
                    "verbs": reads,
                },
            ],
        ),
        _config("coredns", space, {"Corefile": _corefile(nameservers)}),
        _deployment(
            "coredns",
            space,
            {
                "dnsPolicy": "Default",
                "containers": [
                    {
                        "name": "coredns",
                        "image": references.COREDNS,
                        "imagePullPolicy": "IfNotPresent",
                        "args": ["-conf", "/etc/coredns/Corefile"],
                        "volumeMounts": [{"name": "config", "mountPath": "/etc/coredns"}],
                        "readinessProbe": {
                            "httpGet": {"path": "/ready", "port": 8181},
                            "periodSeconds": 2,
                        },
                    }
                ],
                "volumes": [{"name": "config", "configMap": {"name": "coredns"}}],
            },
        ),
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": "kube-dns", "namespace": space},
            "spec": {
                "clusterIP": config.dns_ip,
                "selector": {"k8s-app": "coredns"},
                "ports": [
                    {"name": "dns", "port": 53, "protocol": "UDP"},
                    {"name": "dns-tcp", "port": 53, "protocol": "TCP"},
                ],
            },
        },
    ]


_HELPER: Final = f"""apiVersion: v1
kind: Pod
metadata: {{name: helper-pod}}
spec:
  priorityClassName: system-node-critical
  terminationGracePeriodSeconds: 0
  containers:
  - name: helper-pod
    image: {references.BASE}
    imagePullPolicy: IfNotPresent
"""


def local_path(config: ClusterConfig) -> list[dict[str, Any]]:
    """The default StorageClass, whose volumes are folders below the cluster's state folder."""
    space = "kube-system"
    name = "local-path-provisioner"
    return [
        *_account(
            name,
            space,
            [
                {
                    "apiGroups": [""],
                    "resources": ["nodes", "persistentvolumeclaims", "configmaps", "pods/log"],
                    "verbs": ["get", "list", "watch"],
                },
                {
                    "apiGroups": [""],
                    "resources": ["pods", "persistentvolumes", "events", "endpoints"],
                    "verbs": ["get", "list", "watch", "create", "patch", "update", "delete"],
                },
                {
                    "apiGroups": ["storage.k8s.io"],
                    "resources": ["storageclasses"],
                    "verbs": ["get", "list", "watch"],
                },
                {
                    "apiGroups": ["coordination.k8s.io"],
                    "resources": ["leases"],
                    "verbs": ["get", "list", "watch", "create", "patch", "update"],
                },
            ],
        ),
        _config(
            "local-path-config",
            space,
            {
                "config.json": '{"nodePathMap":[{"node":"DEFAULT_PATH_FOR_NON_LISTED_NODES",'
                f'"paths":["{config.state}/volumes"]}}]}}',
                "setup": '#!/bin/sh\nset -eu\nmkdir -m 0777 -p "$VOL_DIR"\n',
                "teardown": '#!/bin/sh\nset -eu\nrm -rf "$VOL_DIR"\n',
                "helperPod.yaml": _HELPER,
            },
        ),
        _deployment(
            name,
            space,
            {
                "containers": [
                    {
                        "name": name,
                        "image": references.LOCAL_PATH,
                        "imagePullPolicy": "IfNotPresent",
                        "command": ["local-path-provisioner"],
                        "args": [
                            *("start", "--config", "/etc/config/config.json"),
                            *("--service-account-name", name),
                        ],
                        "env": [
                            {
                                "name": "POD_NAMESPACE",
                                "valueFrom": {"fieldRef": {"fieldPath": "metadata.namespace"}},
                            },
                            {"name": "CONFIG_MOUNT_PATH", "value": "/etc/config/"},
                        ],
                        "volumeMounts": [{"name": "config", "mountPath": "/etc/config/"}],
                    }
                ],
                "volumes": [{"name": "config", "configMap": {"name": "local-path-config"}}],
            },
        ),
        {
            "apiVersion": "storage.k8s.io/v1",
            "kind": "StorageClass",
            "metadata": {
                "name": "local-path",
                "annotations": {"storageclass.kubernetes.io/is-default-class": "true"},
            },
            "provisioner": "rancher.io/local-path",
            "volumeBindingMode": "WaitForFirstConsumer",
            "reclaimPolicy": "Delete",
        },
    ]


def metrics_server() -> list[dict[str, Any]]:
    """metrics-server, from which an HPA reads each pod's CPU time and memory, as measured by the
    kubelet. Used only by the autoscaling tests. This is its own release manifest, adapted to a
    kubelet certificate that no CA signed.
    """
    name, space, port = "metrics-server", "kube-system", 10250
    labels = {"k8s-app": name}
    reads = ["get", "list", "watch"]
    delegate = {
        "apiVersion": f"{_RBAC}/v1",
        "kind": "ClusterRoleBinding",
        "metadata": {"name": f"{name}:system:auth-delegator"},
        "roleRef": {"apiGroup": _RBAC, "kind": "ClusterRole", "name": "system:auth-delegator"},
        "subjects": [{"kind": "ServiceAccount", "name": name, "namespace": space}],
    }
    reader = {
        **delegate,
        "kind": "RoleBinding",
        "metadata": {"name": f"{name}-auth-reader", "namespace": space},
        "roleRef": {
            "apiGroup": _RBAC,
            "kind": "Role",
            "name": "extension-apiserver-authentication-reader",
        },
    }
    return [
        *_account(
            name,
            space,
            [
                {"apiGroups": [""], "resources": ["nodes/metrics"], "verbs": ["get"]},
                {"apiGroups": [""], "resources": ["pods", "nodes"], "verbs": reads},
            ],
        ),
        delegate,
        reader,
        _deployment(
            name,
            space,
            {
                "containers": [
                    {
                        "name": name,
                        "image": references.METRICS_SERVER,
                        "imagePullPolicy": "IfNotPresent",
                        "args": [
                            "--cert-dir=/tmp",
                            f"--secure-port={port}",
                            "--kubelet-preferred-address-types=InternalIP",
                            "--kubelet-insecure-tls",
                            "--metric-resolution=10s",
                            "--kubelet-request-timeout=5s",
                        ],
                        "volumeMounts": [{"name": "tmp", "mountPath": "/tmp"}],  # noqa: S108 - a volume of its own
                    }
                ],
                "volumes": [{"name": "tmp", "emptyDir": {}}],
            },
        ),
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": name, "namespace": space},
            "spec": {"selector": labels, "ports": [{"port": 443, "targetPort": port}]},
        },
        {
            "apiVersion": "apiregistration.k8s.io/v1",
            "kind": "APIService",
            "metadata": {"name": "v1beta1.metrics.k8s.io"},
            "spec": {
                "group": "metrics.k8s.io",
                "version": "v1beta1",
                "groupPriorityMinimum": 100,
                "versionPriority": 100,
                "insecureSkipTLSVerify": True,
                "service": {"name": name, "namespace": space},
            },
        },
    ]
