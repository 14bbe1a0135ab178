"""Real servers for the integration shelf: nats-server, versitygw, kube-apiserver with etcd.

Each gets a port of its own from the kernel and a folder of its own, and is gone after its test.
"""

import contextlib
import os
import signal
import socket
import ssl
import subprocess
import time
import urllib.error
import urllib.request
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import httpx
import yaml

import apiclient
from trawler_cluster import binaries
from trawler_cluster.native.configs import etcd_command
from trawler_common.grants import Credentials
from trawler_common.store import Store, StoreSettings

_HELD: deque[int] = deque(maxlen=128)
"""The descriptors of the newest ports: more than the tests of one process use at once."""


def free_port() -> int:
    """A port that the kernel gives to nobody else, also while the server that it is for is stopped.

    It is bound here and nobody listens. The server may bind it too, as it asks for SO_REUSEADDR;
    who asks for any port, or connects from any, gets another (socket(7), and tried).
    """
    held = socket.socket()
    held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    held.bind(("127.0.0.1", 0))
    port = int(held.getsockname()[1])
    if len(_HELD) == _HELD.maxlen:
        os.close(_HELD[0])
    _HELD.append(held.detach())
    return port


def listening(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(0.5)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def wait_until(condition: Callable[[], bool], *, what: str, timeout: float = 30) -> None:
    end = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < end, f"{what} did not happen within {timeout} s"
        time.sleep(0.05)


@contextlib.contextmanager
def process(
    argv: Sequence[str | Path], *, log: Path, env: dict[str, str] | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a server for the length of a block."""
    with log.open("ab") as sink:
        running = subprocess.Popen(
            [str(word) for word in argv],
            stdin=subprocess.DEVNULL,
            stdout=sink,
            stderr=sink,
            env={**os.environ, **(env or {})},
        )
    try:
        yield running
    finally:
        if running.poll() is None:
            running.send_signal(signal.SIGTERM)
            try:
                running.wait(10)
            except subprocess.TimeoutExpired:
                running.kill()
                running.wait()


def tail(log: Path, *, characters: int = 20_000) -> str:
    """The end of a log, from a whole line on; empty where there is none."""
    if not log.exists():
        return ""
    with log.open("rb") as file:
        file.seek(0, os.SEEK_END)
        begin = max(0, file.tell() - characters)
        file.seek(begin)
        text = file.read().decode(errors="replace")
    return text.partition("\n")[2] if begin else text


class Server:
    """A server on a port of its own that tests stop, freeze and start again."""

    def __init__(
        self, argv: Sequence[str | Path], *, port: int, log: Path, env: dict[str, str] | None = None
    ) -> None:
        self._argv = [str(word) for word in argv]
        self._env = {**os.environ, **(env or {})}
        self._log = log
        self.port = port
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with self._log.open("ab") as sink:
            self._process = subprocess.Popen(
                self._argv, stdin=subprocess.DEVNULL, stdout=sink, stderr=sink, env=self._env
            )
        wait_until(lambda: listening(self.port), what=f"a listening {Path(self._argv[0]).name}")

    def logs(self) -> dict[str, str]:
        """What it said, for whoever looks at a failed test."""
        return {Path(self._argv[0]).name: tail(self._log, characters=4000)}

    def send(self, signum: int) -> None:
        assert self._process is not None
        self._process.send_signal(signum)

    def stop(self, signum: int = signal.SIGTERM) -> None:
        if self._process is None or self._process.poll() is not None:
            return
        self._process.send_signal(signal.SIGCONT)
        self._process.send_signal(signum)
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    @contextlib.contextmanager
    def frozen(self) -> Iterator[None]:
        """It holds its connections and answers nothing."""
        self.send(signal.SIGSTOP)
        try:
            yield
        finally:
            self.send(signal.SIGCONT)


@contextlib.contextmanager
def running(server: Server) -> Iterator[Server]:
    server.start()
    try:
        yield server
    finally:
        server.stop()


def nats_server(folder: Path, port: int | None = None) -> Server:
    """A bus, as yet not started."""
    port = port or free_port()
    argv: list[str | Path] = [
        binaries.program("nats-server"),
        "--addr",
        "127.0.0.1",
        "--port",
        str(port),
    ]
    return Server(argv, port=port, log=folder / "nats.log")


@contextlib.contextmanager
def nats(folder: Path, port: int | None = None) -> Iterator[str]:
    """A bus; yields its address."""
    with running(nats_server(folder, port)) as server:
        yield f"nats://127.0.0.1:{server.port}"


def store_server(folder: Path, port: int | None = None) -> Server:
    """An S3 store over a folder, as yet not started."""
    port = port or free_port()
    data = folder / "store"
    data.mkdir(exist_ok=True)
    argv: list[str | Path] = [
        binaries.program("versitygw"),
        f"--port=127.0.0.1:{port}",
        "--quiet",
        "--keep-alive",
        "posix",
        str(data),
    ]
    env = {"ROOT_ACCESS_KEY": "access", "ROOT_SECRET_KEY": "secret"}
    return Server(argv, port=port, log=folder / "store.log", env=env)


def settings_of(server: Server) -> StoreSettings:
    """How to reach a store."""
    return StoreSettings(
        endpoint=f"http://127.0.0.1:{server.port}",
        bucket="trawler",
        region="us-east-1",
        prefix="mine",
        credentials=lambda: Credentials(access_key="access", secret_key="secret"),
    )


@contextlib.contextmanager
def store(folder: Path, port: int | None = None) -> Iterator[StoreSettings]:
    """An S3 store over a folder; yields how to reach it."""
    with running(store_server(folder, port)) as server:
        yield settings_of(server)


async def ready_store(settings: StoreSettings) -> Store:
    found = Store(settings)
    await found.ensure_bucket()
    return found


class ApiServer:
    """A kube-apiserver with etcd, and nothing else of a cluster."""

    def __init__(self, kubeconfig: Path, server: Server, etcd: str = "") -> None:
        self.kubeconfig = kubeconfig
        self.etcd = etcd
        """Where its etcd is, for what the API server would take an hour to be told."""
        self.server = server
        known = yaml.safe_load(kubeconfig.read_text())
        self.access = apiclient.Access(
            known["clusters"][0]["cluster"]["server"], known["users"][0]["user"]["token"]
        )
        self._kubectl = binaries.program("kubectl")
        self._http = httpx.Client(
            base_url=self.access.address,
            headers=self.access.headers(),
            verify=unverified(),
            timeout=60,
            trust_env=False,
        )

    def close(self) -> None:
        self._http.close()

    def logs(self) -> dict[str, str]:
        """What it said, for whoever looks at a failed test."""
        return self.server.logs()

    def send(
        self, method: str, path: str, body: Any = None, *, kind: str = "application/json"
    ) -> dict[str, Any]:
        """One request, without kubectl."""
        found: dict[str, Any] = apiclient.send(self._http, method, path, body, kind=kind)
        return found

    def delete_as(self, who: str, path: str) -> httpx.Response:
        """A deletion by another account, whatever comes of it."""
        return self._http.delete(path, headers={"Impersonate-User": who})

    def patch_as(self, who: str, path: str, body: Any) -> httpx.Response:
        """A merge patch by another account, whatever comes of it."""
        headers = {"Impersonate-User": who, "Content-Type": apiclient.MERGE}
        return self._http.patch(path, json=body, headers=headers)

    def kubectl(
        self, *words: str, stdin: str | None = None, check: bool = True
    ) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [str(self._kubectl), "--kubeconfig", str(self.kubeconfig), *words],
            input=stdin,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0 or not check, done.stderr
        return done


def unverified() -> ssl.SSLContext:
    """For an API server of a test, whose certificate nobody signed."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


def install_crds(api: ApiServer, folder: Path) -> None:
    """Our kinds, ready for use."""
    api.kubectl("apply", "-f", str(folder))
    for name in ("mediajobs", "workerpools", "mediaqueues"):
        crd = f"crd/{name}.trawler.dev"
        api.kubectl("wait", "--for=condition=Established", crd, "--timeout=30s")


@contextlib.contextmanager
def api_server(folder: Path) -> Iterator[ApiServer]:
    """Plain tokens, no admission but the CRDs' own rules."""
    etcd_port, port = free_port(), free_port()
    key = folder / "sa.key"
    subprocess.run(["openssl", "genrsa", "-out", str(key), "2048"], check=True, capture_output=True)
    tokens = folder / "tokens.csv"
    tokens.write_text("secret-token,admin,admin,system:masters\n")
    etcd: list[str | Path] = [
        binaries.program("etcd"),
        *etcd_command(folder / "etcd", client=etcd_port, peer=free_port()),
    ]
    argv: list[str | Path] = [
        binaries.program("kube-apiserver"),
        f"--etcd-servers=http://127.0.0.1:{etcd_port}",
        f"--secure-port={port}",
        "--bind-address=127.0.0.1",
        f"--cert-dir={folder}/certs",
        f"--service-account-key-file={key}",
        f"--service-account-signing-key-file={key}",
        "--service-account-issuer=https://test",
        "--service-cluster-ip-range=10.99.0.0/16",
        "--authorization-mode=RBAC",
        f"--token-auth-file={tokens}",
        "--disable-admission-plugins=ServiceAccount",
    ]
    kubeconfig = folder / "kubeconfig"
    with (
        process(etcd, log=folder / "etcd.log"),
        running(Server(argv, port=port, log=folder / "apiserver.log")) as server,
    ):
        kubeconfig.write_text(
            f"""apiVersion: v1
kind: Config
current-context: trawler-dev-api
contexts: [{{name: trawler-dev-api, context: {{cluster: c, user: u}}}}]
clusters:
- name: c
  cluster: {{server: "https://127.0.0.1:{port}", insecure-skip-tls-verify: true}}
users: [{{name: u, user: {{token: secret-token}}}}]
"""
        )
        api = ApiServer(kubeconfig, server, f"http://127.0.0.1:{etcd_port}")
        wait_until(
            lambda: api.kubectl("get", "--raw", "/readyz", check=False).returncode == 0,
            what=f"a ready API server ({folder}/apiserver.log)",
            timeout=60,
        )
        with contextlib.closing(api):
            yield api


def http_ok(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=2) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False
