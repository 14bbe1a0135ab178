"""References of the images that a local cluster itself needs, as in its manifests."""

from typing import Final

PAUSE: Final = "localhost/trawler-pause:1"
COREDNS: Final = "registry.k8s.io/coredns/coredns:v1.15.0"
LOCAL_PATH: Final = "docker.io/rancher/local-path-provisioner:v0.0.30"
METRICS_SERVER: Final = "registry.k8s.io/metrics-server/metrics-server:v0.9.0"
BASE: Final = "docker.io/library/python:3.13-slim-trixie"
