"""Configuration files and command lines of every component. Pure: config in, text out."""

from pathlib import Path
from typing import Any

import yaml

from trawler_cluster import references
from trawler_cluster.binaries import KUBERNETES_VERSION
from trawler_cluster.cluster_config import ClusterConfig


def kubeadm(config: ClusterConfig) -> str:
    """Configure kubeadm for its certificate and kubeconfig phases, the only ones used."""
    return yaml.safe_dump_all(
        [
            {
                "apiVersion": "kubeadm.k8s.io/v1beta4",
                "kind": "InitConfiguration",
                "nodeRegistration": {
                    "name": config.node,
                    "criSocket": f"unix://{config.containerd_socket}",
                },
                "localAPIEndpoint": {"advertiseAddress": config.node_ip, "bindPort": 6443},
            },
            {
                "apiVersion": "kubeadm.k8s.io/v1beta4",
                "kind": "ClusterConfiguration",
                "clusterName": config.name,
                "kubernetesVersion": KUBERNETES_VERSION,
                "certificatesDir": str(config.state / "pki"),
                "controlPlaneEndpoint": f"{config.node_ip}:6443",
                "apiServer": {"certSANs": ["127.0.0.1", "localhost", config.node_ip]},
                "networking": {
                    "podSubnet": config.pod_range,
                    "serviceSubnet": config.service_range,
                },
            },
        ]
    )


def cni(config: ClusterConfig) -> str:
    """The CNI configuration. `ptp` routes every packet between pods, so nftables rules see it."""
    return yaml.safe_dump(
        {
            "cniVersion": "1.0.0",
            "name": f"{config.name}-pods",
            "plugins": [
                {
                    "type": "ptp",
                    "ipMasq": False,
                    "ipam": {
                        "type": "host-local",
                        "dataDir": str(config.state / "cni-addresses"),
                        "ranges": [[{"subnet": config.node_pods}]],
                        "routes": [{"dst": "0.0.0.0/0"}],
                    },
                }
            ],
        },
        default_flow_style=True,
    )


def containerd(config: ClusterConfig, tools: Path) -> str:
    """Configuration of containerd (version 3). It needs neither AppArmor nor CAP_SYS_RESOURCE."""
    return f"""version = 3
root = "{config.state}/containerd"
state = "{config.run}/containerd"
[grpc]
address = "{config.containerd_socket}"
[ttrpc]
address = "{config.containerd_socket}.ttrpc"
[plugins.'io.containerd.cri.v1.images']
snapshotter = "overlayfs"
[plugins.'io.containerd.cri.v1.images'.pinned_images]
sandbox = "{references.PAUSE}"
[plugins.'io.containerd.cri.v1.runtime']
restrict_oom_score_adj = true
disable_apparmor = true
netns_mounts_under_state_dir = true
[plugins.'io.containerd.cri.v1.runtime'.cni]
bin_dirs = ["{tools}"]
conf_dir = "{config.state}/cni"
[plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc]
runtime_type = "io.containerd.runc.v2"
[plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc.options]
SystemdCgroup = false
"""


def kubelet(config: ClusterConfig) -> dict[str, Any]:
    return {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "authentication": {
            "anonymous": {"enabled": False},
            "webhook": {"enabled": True},
            "x509": {"clientCAFile": f"{config.state}/pki/ca.crt"},
        },
        "authorization": {"mode": "Webhook"},
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": config.cgroup,
        "failCgroupV1": False,
        "clusterDNS": [config.dns_ip],
        "clusterDomain": "cluster.local",
        "containerRuntimeEndpoint": f"unix://{config.containerd_socket}",
        "failSwapOn": False,
        "resolvConf": f"{config.state}/conf/resolv.conf",
        "evictionHard": {},
        "imageGCHighThresholdPercent": 100,
        "podPidsLimit": 1024,
        "podLogsDir": f"{config.state}/pod-logs",
        "maxPods": 200,
        "serializeImagePulls": False,
        "registerWithTaints": [],
        "shutdownGracePeriod": "0s",
        "syncFrequency": "10s",
    }


def kube_proxy(config: ClusterConfig) -> dict[str, Any]:
    return {
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
        "kind": "KubeProxyConfiguration",
        "clientConnection": {"kubeconfig": f"{config.state}/conf/admin.conf"},
        "mode": "nftables",
        "clusterCIDR": config.pod_range,
        "hostnameOverride": config.node,
        "conntrack": {"maxPerCore": 0},
    }


def etcd_command(
    data: Path, *, host: str = "127.0.0.1", client: int = 2379, peer: int = 2380
) -> list[str]:
    """Arguments of etcd. No fsync: a throw-away cluster trades power-failure safety for speed."""
    return [
        *("--data-dir", str(data)),
        *("--listen-client-urls", f"http://{host}:{client}"),
        *("--advertise-client-urls", f"http://{host}:{client}"),
        *("--listen-peer-urls", f"http://{host}:{peer}"),
        *("--initial-advertise-peer-urls", f"http://{host}:{peer}"),
        *("--initial-cluster", f"default=http://{host}:{peer}"),
        "--unsafe-no-fsync",
        *("--log-level", "warn"),
    ]


def commands(config: ClusterConfig, tools: Path) -> dict[str, list[str]]:
    """The command lines of every component, in the order in which they start."""
    state, conf, pki = config.state, config.state / "conf", config.state / "pki"
    return {
        "etcd": [str(tools / "etcd"), *etcd_command(state / "etcd")],
        "kube-apiserver": [
            str(tools / "kube-apiserver"),
            "--etcd-servers=http://127.0.0.1:2379",
            "--bind-address=0.0.0.0",
            f"--advertise-address={config.node_ip}",
            "--secure-port=6443",
            f"--client-ca-file={pki}/ca.crt",
            f"--tls-cert-file={pki}/apiserver.crt",
            f"--tls-private-key-file={pki}/apiserver.key",
            f"--service-account-key-file={pki}/sa.pub",
            f"--service-account-signing-key-file={pki}/sa.key",
            "--service-account-issuer=https://kubernetes.default.svc.cluster.local",
            f"--service-cluster-ip-range={config.service_range}",
            "--authorization-mode=Node,RBAC",
            "--enable-admission-plugins=NodeRestriction",
            f"--kubelet-client-certificate={pki}/apiserver-kubelet-client.crt",
            f"--kubelet-client-key={pki}/apiserver-kubelet-client.key",
            f"--requestheader-client-ca-file={pki}/front-proxy-ca.crt",
            f"--proxy-client-cert-file={pki}/front-proxy-client.crt",
            f"--proxy-client-key-file={pki}/front-proxy-client.key",
            "--requestheader-allowed-names=front-proxy-client",
            "--requestheader-extra-headers-prefix=X-Remote-Extra-",
            "--requestheader-group-headers=X-Remote-Group",
            "--requestheader-username-headers=X-Remote-User",
            "--allow-privileged=true",
            "--kubelet-preferred-address-types=InternalIP",
        ],
        "kube-controller-manager": [
            str(tools / "kube-controller-manager"),
            f"--kubeconfig={conf}/controller-manager.conf",
            f"--authentication-kubeconfig={conf}/controller-manager.conf",
            f"--authorization-kubeconfig={conf}/controller-manager.conf",
            f"--root-ca-file={pki}/ca.crt",
            f"--service-account-private-key-file={pki}/sa.key",
            f"--cluster-signing-cert-file={pki}/ca.crt",
            f"--cluster-signing-key-file={pki}/ca.key",
            f"--client-ca-file={pki}/ca.crt",
            f"--requestheader-client-ca-file={pki}/front-proxy-ca.crt",
            "--use-service-account-credentials=true",
            "--controllers=*,bootstrapsigner,tokencleaner",
            "--leader-elect=false",
        ],
        "kube-scheduler": [
            str(tools / "kube-scheduler"),
            f"--kubeconfig={conf}/scheduler.conf",
            f"--authentication-kubeconfig={conf}/scheduler.conf",
            f"--authorization-kubeconfig={conf}/scheduler.conf",
            "--leader-elect=false",
        ],
        "containerd": [str(tools / "containerd"), "-c", f"{conf}/containerd.toml"],
        "kubelet": [
            str(tools / "kubelet"),
            f"--config={conf}/kubelet.yaml",
            f"--kubeconfig={conf}/kubelet.conf",
            f"--hostname-override={config.node}",
            f"--node-ip={config.node_ip}",
            f"--root-dir={state}/kubelet",
        ],
        "kube-proxy": [str(tools / "kube-proxy"), f"--config={conf}/proxy.yaml"],
    }
