"""A small, fast client of a local cluster's API server, for what is asked many times a second."""

import base64
import ssl
import tempfile
from pathlib import Path

import httpx
import yaml


def client(kubeconfig: Path) -> httpx.Client:
    """By the client certificate in a kubeconfig of ours."""
    found = yaml.safe_load(kubeconfig.read_text())
    cluster, user = found["clusters"][0]["cluster"], found["users"][0]["user"]
    context = ssl.create_default_context(
        cadata=base64.b64decode(cluster["certificate-authority-data"]).decode()
    )
    with tempfile.TemporaryDirectory() as folder:
        cert, key = Path(folder) / "cert", Path(folder) / "key"
        cert.write_bytes(base64.b64decode(user["client-certificate-data"]))
        key.write_bytes(base64.b64decode(user["client-key-data"]))
        context.load_cert_chain(cert, key)
    return httpx.Client(base_url=cluster["server"], verify=context, timeout=None, trust_env=False)
