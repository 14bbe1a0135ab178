"""The fork server: one thread, yt-dlp loaded and warmed, a fork per job.

It alone kills. Each job's first process is a subreaper: whatever it starts stays below it, in
whatever group or session. When it is gone, what is left comes to the fork server, where nothing
else is: so every child that is no job is killed, with all below it.
"""

import contextlib
import ctypes
import gc
import http.server
import json
import os
import resource
import selectors
import signal
import socket
import sys
import tempfile
import time
import traceback
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from trawler_common.egress import AllowList
from trawler_crds.media_job import EngineName
from trawler_worker.fetcher import job as job_process
from trawler_worker.fetcher.engines.base import Engine
from trawler_worker.fetcher.engines.cobalt import Cobalt
from trawler_worker.fetcher.engines.direct import Direct
from trawler_worker.fetcher.engines.gallerydl import GalleryDl
from trawler_worker.fetcher.engines.settings import EngineSettings
from trawler_worker.fetcher.engines.ytdlp import YtDlp
from trawler_worker.fetcher.network.guard import Guard
from trawler_worker.fetcher.supervision import processes
from trawler_worker.protocol import Fetch

_PR_SET_CHILD_SUBREAPER: Final = 36
_PR_SET_PDEATHSIG: Final = 1
_CLIP: Final = Path(__file__).with_name("warm.mp4")
MAX_REQUEST: Final = 64 * 1024
KILL_WITHIN: Final = 10.0
"""Seconds for which all else waits while a job's processes are killed that multiply meanwhile."""
STRANGERS_WITHIN: Final = 0.1
"""And while those are killed that came here from a job which goes on."""


@dataclass
class Child:
    """A job process that was forked and not yet reaped."""

    job: str
    pid: int


def _prctl(option: int, value: int) -> None:
    ctypes.CDLL(None, use_errno=True).prctl(option, value, 0, 0, 0)


class Zygote:
    """Serves one control socket until it closes."""

    def __init__(self, control: socket.socket, settings: EngineSettings) -> None:
        self._control = control
        self._allow = AllowList.parse(settings.allow)
        ytdlp = YtDlp(settings.proxy)
        self._ytdlp = ytdlp
        self._engines: dict[EngineName, Engine] = {
            EngineName.DIRECT: Direct(settings.proxy),
            EngineName.YT_DLP: ytdlp,
            EngineName.GALLERY_DL: GalleryDl(settings),
        }
        if settings.cobalt is not None:
            self._engines[EngineName.COBALT] = Cobalt(settings.cobalt, settings.proxy)
        self._children: dict[str, Child] = {}

    def serve(self) -> None:
        """Warm up, say "ready", then fork and kill as told."""
        warm(self._ytdlp)
        _prctl(_PR_SET_CHILD_SUBREAPER, 1)
        wakeup, alarm = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.set_wakeup_fd(alarm, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.signal(signal.SIGTERM, signal.SIG_IGN)  # it ends when the control socket does
        gc.collect()
        gc.freeze()  # what is warm is never scanned again, so forks share its pages
        self._send({"ready": True})
        selector = selectors.DefaultSelector()
        selector.register(self._control, selectors.EVENT_READ)
        selector.register(wakeup, selectors.EVENT_READ)
        while True:
            for key, _ in selector.select():
                if key.fd == wakeup:
                    with contextlib.suppress(BlockingIOError):
                        os.read(wakeup, 4096)
                elif not self._hear():
                    self._leave()
                    return
            self._reap()

    def _send(self, message: dict[str, Any]) -> None:
        self._control.send(json.dumps(message).encode())

    def _hear(self) -> bool:
        data, fds, _, _ = socket.recv_fds(self._control, MAX_REQUEST, 1)
        if not data:
            return False
        request = json.loads(data)
        if "kill" in request:
            child = self._children.get(request["kill"])
            if child is not None:
                self._kill(child.pid)
        elif "strangers" in request:
            self._kill(within=STRANGERS_WITHIN)
            self._send({"strangers": True})
        else:
            self._fork(request, fds[0])
        return True

    def _fork(self, request: dict[str, Any], pipe: int) -> None:
        order = Fetch.model_validate(request["order"])
        try:
            pid = os.fork()
        except OSError:  # no process or no memory is left for another one
            os.close(pipe)
            self._send({"ended": order.job, "signal": 0, "peak_kib": 0})
            return
        if pid == 0:
            try:
                self._become_job(order, Path(request["scratch"]), pipe, int(request["file_bytes"]))
            except BaseException:  # noqa: BLE001 - nothing may return into the server's loop
                traceback.print_exc()
            finally:
                os._exit(0)
        os.close(pipe)
        self._children[order.job] = Child(job=order.job, pid=pid)
        self._send({"forked": order.job, "pid": pid})

    def _become_job(self, order: Fetch, scratch: Path, pipe: int, file_bytes: int) -> None:
        _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        _prctl(_PR_SET_CHILD_SUBREAPER, 1)
        os.setpgid(0, 0)
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # a write beyond the limit gives EFBIG
        self._control.close()
        nothing = os.open(os.devnull, os.O_RDWR)
        for fd in (0, 1, 2):
            os.dup2(nothing, fd)
        limit_resources(file_bytes)
        os.umask(0o027)
        os.chdir(scratch)
        os.environ.update(HOME=str(scratch), TMPDIR=str(scratch), XDG_CACHE_HOME=str(scratch))
        tempfile.tempdir = str(scratch)
        Guard(self._allow).install()
        speak = job_process.Pipe(pipe)
        job_process.run(order, scratch=scratch, engines=self._engines, pipe=speak)

    def _reap(self) -> None:
        by_pid = {child.pid: child for child in self._children.values()}
        while True:
            try:
                # look without reaping: as long as it is a zombie its number is not given away
                found = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            except ChildProcessError:
                return
            if found is None:
                return
            child = by_pid.get(found.si_pid)
            if child is not None:
                self._kill(child.pid)  # whatever it started and left
            _, status, usage = os.wait4(found.si_pid, 0)
            if child is not None:
                del self._children[child.job]
                self._send(
                    {
                        "ended": child.job,
                        "signal": os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0,
                        "peak_kib": usage.ru_maxrss,
                    }
                )

    def _leave(self) -> None:
        self._kill(*(child.pid for child in self._children.values()))

    def _kill(self, *jobs: int, within: float = KILL_WITHIN) -> None:
        """These jobs' first processes, then whatever comes to us from below them, again and again:
        when there is nothing of it left, nothing is left at all. None of these numbers is given
        away before we reap it.
        """
        end = time.monotonic() + within
        for pid in jobs:
            os.kill(pid, signal.SIGKILL)
        while not all(map(_is_dead, jobs)) and time.monotonic() < end:
            time.sleep(0.001)
        while (strangers := self._strangers()) and time.monotonic() < end:
            for pid in strangers:
                os.kill(pid, signal.SIGKILL)
            for pid in strangers:
                os.waitpid(pid, os.WNOHANG)
            if self._only_dead(strangers):
                break

    def _only_dead(self, killed: set[int]) -> bool:
        """Whether all that is left is dead: who is traced by another cannot be reaped. Whoever had
        children has given them to us before it is seen to be dead, so nobody may have come by then.
        """
        left = self._strangers()
        return left <= killed and not any(map(_lives, left)) and self._strangers() <= left

    def _strangers(self) -> set[int]:
        """Children that are no job's first process: somebody lost its parent."""
        return processes.children_of(os.getpid()) - {child.pid for child in self._children.values()}


def _is_dead(pid: int) -> bool:
    return os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None


def _lives(pid: int) -> bool:
    found = processes.look(pid)
    return found is not None and not found.zombie


def limit_resources(file_bytes: int) -> None:
    """Per process. Never RLIMIT_AS: deno reserves far more than it uses and aborts (measured)."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (file_bytes, file_bytes))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_NOFILE, (512, 512))


class _WarmSite(http.server.BaseHTTPRequestHandler):
    """A page and a clip. HTTP/1.0 closes each connection: an open one would be every child's."""

    def do_GET(self) -> None:
        page = self.path == "/page"
        body = b"<html><title>w</title><video src=/c.mp4></video>" if page else _CLIP.read_bytes()
        self.send_response(200)
        self.send_header("Content-Type", "text/html" if page else "video/mp4")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_HEAD = do_GET  # noqa: N815 - the name http.server looks for

    def log_message(self, *_: object) -> None: ...


def warm(engine: YtDlp) -> None:
    """Fetch a clip from a process of our own, so that every table is built before the first
    fork.
    """
    server = http.server.HTTPServer(("127.0.0.1", 0), _WarmSite)
    site = os.fork()
    if site == 0:
        try:
            server.serve_forever()
        finally:
            os._exit(0)
    server.socket.close()
    try:
        with tempfile.TemporaryDirectory(prefix="warm-") as scratch:
            address = f"http://127.0.0.1:{server.server_address[1]}"
            engine.warm(f"{address}/page", Path(scratch))
            engine.warm(f"{address}/c.mp4", Path(scratch))
    finally:
        os.kill(site, signal.SIGKILL)
        os.waitpid(site, 0)


def main() -> None:
    """`python -m trawler_worker.fetcher.supervision.zygote FD SETTINGS` (started by `supervisor`;
    settings as JSON).
    """
    control = socket.socket(fileno=int(sys.argv[1]))
    Zygote(control, EngineSettings.model_validate_json(sys.argv[2])).serve()


if __name__ == "__main__":
    main()
