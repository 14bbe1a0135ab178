"""Download the files of a finished MediaJob from the object store to a folder."""

import base64
import hashlib
from datetime import UTC, datetime
from pathlib import Path

import httpx

from trawler_cluster import shell
from trawler_cluster.errors import UserError
from trawler_cluster.kubectl import Kubectl
from trawler_cluster.provider import Provider
from trawler_common.grants import Credentials, Signer
from trawler_crds.keys import object_key
from trawler_crds.media_job import MediaFile, MediaJob, Phase


def fetch(provider: Provider, *, name: str, namespace: str, folder: Path) -> list[Path]:
    """Fetch every file and check its hash. Raises UserError if there is nothing to fetch or a hash
    differs.
    """
    kubectl = Kubectl(provider, namespace)
    found = kubectl.run("get", "mediajob", name, "-o", "json", check=False)
    if found.returncode != 0:
        raise UserError(
            f"there is no MediaJob {name} in namespace {namespace};"
            f" `kubectl -n {namespace} get mediajobs` lists them"
        )
    job = MediaJob.model_validate_json(found.stdout)
    if job.status.phase is not Phase.SUCCEEDED or not job.status.files:
        raise UserError(f"MediaJob {name} has no files: it is {job.status.phase}")
    folder.mkdir(parents=True, exist_ok=True)
    secret = kubectl.json("get", "secret", "trawler-store")["data"]
    with kubectl.forwarded("service/trawler-store", 7070) as port:
        signer = Signer(
            endpoint=f"http://127.0.0.1:{port}",
            bucket="trawler",
            region="us-east-1",
            credentials=lambda: Credentials(
                access_key=base64.b64decode(secret["accessKey"]).decode(),
                secret_key=base64.b64decode(secret["secretKey"]).decode(),
            ),
        )
        prefix = _prefix(kubectl, namespace)
        return [_fetch_one(signer, prefix, file, folder) for file in job.status.files]


def _prefix(kubectl: Kubectl, namespace: str) -> str:
    """The key prefix of this install's objects, as configured for its operator."""
    spec = kubectl.json("get", "deployment", "trawler-operator")["spec"]["template"]["spec"]
    given = {each["name"]: each.get("value") for each in spec["containers"][0]["env"]}
    return given.get("TRAWLER_OPERATOR_S3_PREFIX") or namespace


def _fetch_one(signer: Signer, prefix: str, file: MediaFile, folder: Path) -> Path:
    path = folder / Path(file.name).name
    key = object_key(prefix, file.sha256)
    url = signer.sign("GET", key, headers={}, now=datetime.now(UTC), expires=300)
    made_of = hashlib.sha256()
    with httpx.stream("GET", url, timeout=60, trust_env=False) as answer, path.open("wb") as out:
        if answer.status_code != httpx.codes.OK:
            raise UserError(f"the store has no object for {file.name} ({answer.status_code})")
        for chunk in answer.iter_bytes():
            made_of.update(chunk)
            out.write(chunk)
    if made_of.hexdigest() != file.sha256:
        path.unlink()
        raise UserError(f"the store's bytes of {file.name} are not what was recorded")
    shell.say(f"{path}  {file.bytes} bytes  sha256 {file.sha256}")
    return path
