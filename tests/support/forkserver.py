"""Services of ours as processes that need not import everything anew each time.

One process imports what they need; each start is a fork of it. Code, settings, process and end are
those of `python -m`: only the importing is missing, seconds of it at each of hundreds of starts.
"""

import contextlib
import gc
import importlib
import json
import os
import runpy
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final, Protocol

MODULES: Final = (
    "trawler_operator",
    "trawler_bot",
    "trawler_worker.agent",
    "trawler_worker.fetcher",
)
MESSAGE: Final = 1 << 20


class Process(Protocol):
    """What is asked of a process, as `subprocess.Popen` says it."""

    pid: int

    def poll(self) -> int | None: ...
    def wait(self, timeout: float | None = None) -> int: ...
    def send_signal(self, sig: int) -> None: ...


Starter = Callable[[str, dict[str, str], Path], Process]
"""Starts a module as a program: with this environment, writing to the end of this file. It leads a
process group of its own.
"""


def cold(module: str, env: dict[str, str], log: Path, *, before: tuple[str, ...] = ()) -> Process:
    """A start from nothing, perhaps by another program (`before`)."""
    with log.open("ab") as sink:
        return subprocess.Popen(
            [*before, sys.executable, "-m", module],
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=sink,
            stderr=sink,
            start_new_session=True,
        )


class Forked:
    """A process that was forked, seen from where the tests run."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self._code: int | None = None
        self._over = threading.Event()

    def end(self, code: int) -> None:
        self._code = code
        self._over.set()

    def poll(self) -> int | None:
        return self._code

    def wait(self, timeout: float | None = None) -> int:
        if not self._over.wait(timeout):
            raise subprocess.TimeoutExpired(f"pid {self.pid}", timeout or 0.0)
        assert self._code is not None
        return self._code

    def send_signal(self, sig: int) -> None:
        if self._code is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, sig)


class ForkServer:
    """The process that all others are forks of. It takes them with it when it ends."""

    def __init__(self) -> None:
        self._socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._process = subprocess.Popen(
            [sys.executable, __file__, str(theirs.fileno())], pass_fds=[theirs.fileno()]
        )
        theirs.close()
        self._asking = threading.Lock()
        self._born = threading.Condition()
        self._newest: Forked | None = None
        self._living: dict[int, Forked] = {}
        self._ear = threading.Thread(target=self._hear, daemon=True)
        self._ear.start()

    def start(self, module: str, env: dict[str, str], log: Path) -> Process:
        """As `cold`, which is what becomes of a start with other libraries."""
        if module not in MODULES or "LD_PRELOAD" in env:
            return cold(module, env, log)
        wish = json.dumps({"module": module, "env": env, "log": str(log)}).encode()
        with self._asking, self._born:
            self._newest = None
            self._socket.send(wish)
            self._born.wait_for(lambda: self._newest is not None, timeout=60)
            assert self._newest is not None, "no fork within 60 s"
            return self._newest

    def stop(self) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)
        self._process.wait(20)
        self._ear.join(20)
        self._socket.close()

    def _hear(self) -> None:
        while said := self._socket.recv(MESSAGE):
            message = json.loads(said)
            pid = message["pid"]
            if "code" in message:
                self._living.pop(pid).end(message["code"])
                continue
            with self._born:
                self._newest = self._living[pid] = Forked(pid)
                self._born.notify_all()


@contextlib.contextmanager
def warm() -> Iterator[ForkServer]:
    """Have one for the length of a block."""
    found = ForkServer()
    try:
        yield found
    finally:
        found.stop()


# the other side -----------------------------------------------------------------------------------


def _serve(there: socket.socket) -> dict[str, Any] | None:
    """Fork for each wish. Answers in each fork, with its wish; with None when nobody asks any
    more.
    """
    woken, wake = os.pipe()
    os.set_blocking(woken, False)
    os.set_blocking(wake, False)
    signal.set_wakeup_fd(wake)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    living: set[int] = set()
    while True:
        ready, _, _ = select.select([there.fileno(), woken], [], [])
        if woken in ready:
            os.read(woken, 4096)
            for pid, code in _ended(living):
                _tell(there, pid=pid, code=code)
        if there.fileno() not in ready:
            continue
        said = there.recv(MESSAGE)
        if not said:
            for pid in living:
                os.kill(pid, signal.SIGKILL)
            return None
        pid = os.fork()
        if pid == 0:
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            there.close()
            os.close(woken)
            os.close(wake)
            wish: dict[str, Any] = json.loads(said)
            return wish
        living.add(pid)
        _tell(there, pid=pid)


def _tell(there: socket.socket, **message: int) -> None:
    """Where nobody listens any more, the next look at the socket says so."""
    with contextlib.suppress(BrokenPipeError):
        there.send(json.dumps(message).encode())


def _ended(living: set[int]) -> Iterator[tuple[int, int]]:
    for pid in tuple(living):
        found, status = os.waitpid(pid, os.WNOHANG)
        if found:
            living.discard(pid)
            yield pid, os.waitstatus_to_exitcode(status)


def _become(wish: dict[str, Any]) -> None:
    """What a start by hand would have set, then the module itself."""
    os.setsid()
    sink = os.open(wish["log"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    nothing = os.open(os.devnull, os.O_RDONLY)
    for mine, std in ((nothing, 0), (sink, 1), (sink, 2)):
        os.dup2(mine, std)
    os.close(sink)
    os.close(nothing)
    os.environ.clear()
    os.environ.update(wish["env"])
    time.tzset()
    # what read its environment when it was imported
    importlib.reload(sys.modules["kubernetes.aio.config.kube_config"])
    del sys.modules[f"{wish['module']}.__main__"]
    runpy.run_module(wish["module"], run_name="__main__", alter_sys=True)


def _main() -> None:
    for module in MODULES:
        importlib.import_module(f"{module}.__main__")
    assert threading.active_count() == 1, "a fork would lose a thread"
    gc.collect()
    gc.freeze()
    wish = _serve(socket.socket(fileno=int(sys.argv[1])))
    if wish is not None:
        _become(wish)


if __name__ == "__main__":
    _main()
