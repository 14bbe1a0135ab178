"""A real PostgreSQL of Debian's on a free port of loopback, for tests."""

import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import psycopg

from servers import free_port, tail, wait_until

PROGRAMS: Final = Path("/usr/lib/postgresql")
USER: Final = "postgres"
"""The server refuses to run as root."""


def program(name: str) -> Path:
    """Of the newest version that is installed."""
    found = sorted(PROGRAMS.glob(f"*/bin/{name}"), key=lambda path: int(path.parts[-3]))
    assert found, "PostgreSQL is not installed; `make prepare` does that"
    return found[-1]


class Postgres:
    """One server; a database per test costs less than a server per test."""

    def __init__(self) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="trawler-postgres-"))
        self._user = USER if os.geteuid() == 0 else None
        if self._user is not None:
            shutil.chown(self._folder, self._user, self._user)
        self._port = free_port()
        self._process: subprocess.Popen[bytes] | None = None
        data = str(self._folder / "data")
        # The server is for loopback and dies with the test: no password, no waiting for disks.
        self._run([str(program("initdb")), "-D", data, "-U", "trawler", "-A", "trust", "-N"])

    def _run(self, argv: list[str]) -> None:
        subprocess.run(argv, check=True, capture_output=True, user=self._user, cwd="/")

    def start(self) -> None:
        argv = [str(program("postgres")), "-D", str(self._folder / "data"), "-p", str(self._port)]
        argv += ["-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories="]
        with (self._folder / "log").open("ab") as sink:
            self._process = subprocess.Popen(
                [*argv, "-c", "fsync=off"], stdout=sink, stderr=sink, user=self._user, cwd="/"
            )
        wait_until(self._answers, what="PostgreSQL", timeout=30)

    def _answers(self) -> bool:
        try:
            psycopg.connect(self.url("postgres"), connect_timeout=2).close()
        except psycopg.OperationalError:
            return False
        return True

    def url(self, database: str) -> str:
        return f"postgresql://trawler@127.0.0.1:{self._port}/{database}"

    def database(self, name: str) -> str:
        """A new one; answers with its address."""
        with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
            connection.execute(f'create database "{name}"'.encode())
        return self.url(name)

    def logs(self) -> dict[str, str]:
        """What it said last."""
        return {"postgres": tail(self._folder / "log")}

    def stop(self) -> None:
        """At once: no client is waited for."""
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(3)
            self._process.wait(20)

    @contextlib.contextmanager
    def frozen(self) -> Iterator[None]:
        """It and its children hold their connections and answer nothing."""
        assert self._process is not None
        parent = self._process.pid
        children = Path(f"/proc/{parent}/task/{parent}/children").read_text().split()
        pids = [parent, *map(int, children)]
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            for pid in pids:
                os.kill(pid, signal.SIGCONT)

    def remove(self) -> None:
        self.stop()
        shutil.rmtree(self._folder, ignore_errors=True)
