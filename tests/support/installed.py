"""Trawler installed in a namespace of its own on a local cluster, for tests."""

import contextlib
import json
import secrets
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import httpx

import apiclient
from trawler_cluster import install
from trawler_cluster.kubectl import Kubectl
from trawler_cluster.provider import Provider
from trawler_crds.media_job import TERMINAL, MediaJob

SMALL: Final = tuple(
    f"{part}.requests.cpu=10m"
    for part in (
        "operator.resources",
        "nats.resources",
        "store.resources",
        "sandbox.resources",
        "pools.default.resources.worker",
        "pools.default.resources.fetcher",
    )
)
"""Processor time that is promised: several installs, each with up to three pods in its pool, have
to fit on one node of two processors at once.
"""
SIDECAR: Final = b'{\n  "schema": "trawler.dev/sidecar/'
"""What the files begin with that say what is known of others."""
SMALL_BOT: Final = ("bot.resources.requests.cpu=10m", "postgres.resources.requests.cpu=10m")
"""The same of what a chart from before the bot does not know."""


def _is_sidecar(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(len(SIDECAR)) == SIDECAR


class Installed:
    """One release and the questions that tests ask it."""

    def __init__(self, kubectl: Kubectl) -> None:
        self.kubectl = kubectl
        self.namespace = kubectl.namespace
        self._http = apiclient.client(kubectl.provider.config.kubeconfig)
        self._http.timeout = httpx.Timeout(60)
        self._ours = f"/apis/trawler.dev/v1alpha1/namespaces/{self.namespace}"
        self._core = f"/api/v1/namespaces/{self.namespace}"

    def close(self) -> None:
        self._http.close()

    def _get(self, path: str) -> Any:
        return apiclient.send(self._http, "GET", path)

    # jobs -----------------------------------------------------------------------------------

    def ask(self, url: str, name: str | None = None, **spec: Any) -> str:
        """Create a MediaJob; answers with its name."""
        name = name or f"t-{secrets.token_hex(5)}"
        annotations = spec.pop("annotations", {})
        job = {
            "apiVersion": "trawler.dev/v1alpha1",
            "kind": "MediaJob",
            "metadata": {"name": name, "annotations": annotations},
            "spec": {"url": url, **spec},
        }
        apiclient.send(self._http, "POST", f"{self._ours}/mediajobs", job)
        return name

    def job(self, name: str) -> MediaJob:
        return MediaJob.model_validate(self._get(f"{self._ours}/mediajobs/{name}"))

    def jobs(self) -> list[MediaJob]:
        items = self._get(f"{self._ours}/mediajobs")["items"]
        return [MediaJob.model_validate(item) for item in items]

    def unfinished(self) -> int:
        """How many jobs are not over."""
        return sum(job.status.phase not in TERMINAL for job in self.jobs())

    def edit(self, name: str, **spec: Any) -> None:
        """Change some fields of a job's spec."""
        path = f"{self._ours}/mediajobs/{name}"
        apiclient.send(self._http, "PATCH", path, {"spec": spec}, kind=apiclient.MERGE)

    def until(
        self, name: str, condition: Callable[[MediaJob], bool], *, what: str, timeout: float = 60
    ) -> MediaJob:
        end = time.monotonic() + timeout
        while True:
            job = self.job(name)
            if condition(job):
                return job
            assert time.monotonic() < end, f"{name}: {what} not within {timeout} s: {job.status}"
            time.sleep(0.1)

    def ended(self, name: str, *, timeout: float = 90) -> MediaJob:
        return self.until(
            name, lambda job: job.status.phase in TERMINAL, what="the end", timeout=timeout
        )

    # the site -------------------------------------------------------------------------------

    def _service(self, name: str, port: int, path: str) -> Any:
        """What a service of the install answers, by way of the API server, which says 503 for a
        moment where a pod behind the service was replaced.
        """
        address = f"{self._core}/services/{name}:{port}/proxy{path}"
        end = time.monotonic() + 10
        while (answer := self._http.get(address)).status_code == httpx.codes.SERVICE_UNAVAILABLE:
            assert time.monotonic() < end, answer.text
            time.sleep(0.2)
        assert answer.is_success, answer.text
        return answer.json()

    def requests_for(self, seed: str) -> list[dict[str, Any]]:
        """What the site was asked for, with this seed in the address."""
        found: list[dict[str, Any]] = self._service("site", 8080, f"/_/log?containing={seed}")
        return found

    def mood(self, *, bad: bool) -> None:
        """Have /moody/ refuse everything, or no more."""
        self._service("site", 8080, f"/_/mood?bad={int(bad)}")

    def downloads(self, seed: str) -> int:
        """Full downloads of the file, by GETs that began at its first byte."""
        return sum(
            entry["complete"] and entry["begin"] == 0 and entry["method"] == "GET"
            for entry in self.requests_for(seed)
        )

    def begun(self, seed: str) -> int:
        """GETs of the file that sent at least a byte."""
        return sum(
            entry["method"] == "GET" and entry["sent"] > 0 for entry in self.requests_for(seed)
        )

    def wait_for_share(self, seed: str, share: float, *, timeout: float = 60) -> float:
        """Wait until the newest download of this seed sent at least `share` of its bytes."""
        end = time.monotonic() + timeout
        while True:
            entries = [e for e in self.requests_for(seed) if e["method"] == "GET" and e["size"]]
            sent = entries[-1]["sent"] / entries[-1]["size"] if entries else 0.0
            if sent >= share:
                return sent
            assert time.monotonic() < end, f"{seed}: only {sent:.0%} after {timeout} s"
            time.sleep(0.05)

    def record(self, seed: str, size: int, ending: str = "mp4") -> dict[str, Any]:
        """Bytes and sha256 as the site stands for them."""
        path = f"/_/record?path=/video/{seed}.{ending}&bytes={size}"
        found: dict[str, Any] = self._service("site", 8080, path)
        return found

    # the operator -----------------------------------------------------------------------------

    def leader(self) -> str:
        """The pod whose operator leads."""
        leases = f"/apis/coordination.k8s.io/v1/namespaces/{self.namespace}/leases"
        spec = self._get(f"{leases}/trawler-operator")["spec"]
        return str(spec.get("holderIdentity") or "")

    def scaling(self) -> dict[str, Any]:
        found: dict[str, Any] = self._service("trawler-operator", 8080, "/scaling")
        return found

    # pods and what is in them ---------------------------------------------------------------

    def pods(self, component: str) -> list[dict[str, Any]]:
        selector = f"labelSelector=app.kubernetes.io/component%3D{component}"
        found: list[dict[str, Any]] = self._get(f"{self._core}/pods?{selector}")["items"]
        return found

    def workers(self) -> list[dict[str, Any]]:
        """Worker pods that are ready and not leaving."""
        return [
            pod
            for pod in self.pods("worker")
            if "deletionTimestamp" not in pod["metadata"]
            and any(
                c["type"] == "Ready" and c["status"] == "True"
                for c in pod["status"].get("conditions", [])
            )
        ]

    def wait_for_workers(self, count: int, *, timeout: float = 60) -> list[dict[str, Any]]:
        end = time.monotonic() + timeout
        while (
            len(found := self.workers()) != count
            or self.pool()["status"].get("readyReplicas") != count
        ):
            assert time.monotonic() < end, f"{len(found)} workers instead of {count}"
            time.sleep(0.2)
        return found

    def pool(self, name: str = "default") -> dict[str, Any]:
        found: dict[str, Any] = self._get(f"{self._ours}/workerpools/{name}")
        found.setdefault("status", {})
        return found

    def inside(self, pod: str, container: str, *argv: str) -> str:
        return self.kubectl.run("exec", pod, "-c", container, "--", *argv).stdout

    def scratch(self) -> list[str]:
        """What lies in the scratch of every worker pod."""
        return [
            line
            for pod in self.workers()
            for line in self.inside(
                pod["metadata"]["name"], "fetcher", "ls", "-A", "/scratch"
            ).split()
        ]

    def job_processes(self) -> list[str]:
        """Command lines of processes in fetchers beyond its own two."""
        found = []
        script = (
            "import os\n"
            "for p in os.listdir('/proc'):\n"
            "  if p.isdigit() and os.path.realpath(f'/proc/{p}/cwd').startswith('/scratch/'):\n"
            "    print(p)\n"
        )
        for pod in self.workers():
            text = self.inside(pod["metadata"]["name"], "fetcher", "/app/bin/python", "-c", script)
            found += text.split()
        return found

    # the store --------------------------------------------------------------------------------

    def objects(self) -> set[str]:
        """The hash of every file in the store, read from its volume; without what is said of
        files.
        """
        pod = self.pods("store")[0]["spec"]["volumes"]
        claim = next(v["persistentVolumeClaim"]["claimName"] for v in pod if v["name"] == "data")
        volume = self.kubectl.json("get", "pvc", claim)["spec"]["volumeName"]
        found = self.kubectl.json("get", "pv", volume)["spec"]
        path = (found.get("hostPath") or found.get("local"))["path"]
        folders = (Path(path) / "trawler").glob("*/sha256")
        return {
            file.name
            for media in folders
            for file in media.rglob("*")
            if file.is_file() and not _is_sidecar(file)
        }

    def nothing_left(self, *, timeout: float = 20) -> None:
        """No file, no process: asserted within `timeout` seconds."""
        end = time.monotonic() + timeout
        while (left := (self.scratch(), self.job_processes())) != ([], []):
            assert time.monotonic() < end, f"left behind: {left}"
            time.sleep(0.3)

    def logs(self) -> dict[str, str]:
        """All a person would look at after a failure: what there is, what happened to it, and what
        every container said last, also the one before it where it was restarted.
        """
        found = [
            self._shown("get", "pods,wp,mj,mq", "-o", "wide"),
            self._shown("get", "events", "--sort-by=.lastTimestamp"),
        ]
        listed = self.kubectl.run("get", "pods", "-o", "json", check=False)
        for pod in json.loads(listed.stdout)["items"] if listed.returncode == 0 else ():
            name, status = pod["metadata"]["name"], pod["status"]
            found.append(self._shown("logs", name, "--all-containers", "--prefix", "--tail=60"))
            for each in status.get("containerStatuses", []):
                if each["restartCount"]:
                    before = ("logs", name, "-c", each["name"], "--previous", "--tail=60")
                    found.append(self._shown(*before))
        return dict(found)

    def report(self) -> str:
        """The same, as one text."""
        return "\n".join(f"$ {title}\n{text}" for title, text in self.logs().items())

    def _shown(self, *words: str) -> tuple[str, str]:
        done = self.kubectl.run(*words, check=False)
        return f"kubectl {' '.join(words)}", done.stdout + done.stderr


@contextlib.contextmanager
def installed(
    provider: Provider,
    *,
    namespace: str,
    crds: bool,
    values: tuple[str, ...] = (),
    chart: Path | None = None,
    leave: bool = False,
) -> Iterator[Installed]:
    """Install for the length of a block; objects go before their namespace. `leave` them where
    their whole cluster is removed next.
    """
    more = () if crds else ("crds.install=false",)
    release = install.Release(namespace=namespace, values=(*more, *values), chart=chart)
    kubectl = install.install(provider, release)
    found = Installed(kubectl)
    try:
        found.wait_for_workers(1, timeout=90)
        yield found
    except Exception:  # also where the test did not get it from a fixture, or it never worked
        print(found.report())
        raise
    finally:
        found.close()
        if not leave:
            _remove(kubectl)


def _remove(kubectl: Kubectl) -> None:
    # in one request: kubectl's own `--all` deletes twenty thousand of them one by one
    jobs = f"/apis/trawler.dev/v1alpha1/namespaces/{kubectl.namespace}/mediajobs"
    kubectl.run("delete", "--raw", jobs, check=False, timeout=600)
    kubectl.helm("uninstall", "trawler", "--wait", "--timeout", "90s", check=False)
    namespace = kubectl.namespace
    kubectl.run("delete", "namespace", namespace, "--timeout=120s", check=False, timeout=150)


def get(url: str) -> httpx.Response:
    return httpx.get(url, timeout=10, trust_env=False)
