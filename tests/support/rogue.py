"""A fork server whose engine misbehaves as the address says: `http://rogue/setsid`. Everything else
is the real one.
"""

import contextlib
import os
import signal
import socket
import sys
import time
from pathlib import Path

from trawler_crds.media_job import EngineName
from trawler_worker.fetcher.engines.base import Fetched, Found, Report
from trawler_worker.fetcher.engines.settings import EngineSettings
from trawler_worker.fetcher.supervision.zygote import Zygote
from trawler_worker.protocol import Fetch

CLIP = Path(__file__).parents[2] / "worker/src/trawler_worker/fetcher/supervision/warm.mp4"


class Rogue:
    """Does what its path says, then brings a clip."""

    name = EngineName.DIRECT
    second_hand = False

    def fetch(self, order: Fetch, scratch: Path, report: Report) -> Found:
        path = scratch / f"{order.job}-1"
        path.write_bytes(CLIP.read_bytes())
        found = Fetched(path=path, measured=True)
        what = order.url.rpartition("/")[2]
        getattr(self, what.replace("-", "_"))(path, report)
        return Found(files=[found])

    def nothing(self, path: Path, report: Report) -> None: ...

    def setsid(self, path: Path, report: Report) -> None:
        """A child in a session of its own that outlives its parent."""
        if os.fork() == 0:
            os.setsid()
            _for_ever()

    def double_fork(self, path: Path, report: Report) -> None:
        if os.fork() == 0:
            if os.fork() == 0:
                os.setsid()
                _for_ever()
            os._exit(0)
        os.wait()

    def deaf(self, path: Path, report: Report) -> None:
        """It wants to be nobody's child, hears no signal, and its grandchild comes to the fork
        server.
        """
        import ctypes

        ctypes.CDLL(None).prctl(36, 0, 0, 0, 0)
        self.double_fork(path, report)

    def chain(self, path: Path, report: Report) -> None:
        """Each has one child, the last of them too late to be its."""
        reading, writing = os.pipe()
        if os.fork() == 0:
            for _ in range(5):
                if os.fork() != 0:
                    _for_ever()
                os.setsid()
            os.write(writing, b".")
            _for_ever()
        os.read(reading, 1)

    def deserter(self, path: Path, report: Report) -> None:
        """Its grandchild comes to the fork server while it goes on."""
        import ctypes

        ctypes.CDLL(None).prctl(36, 0, 0, 0, 0)
        if os.fork() == 0:
            if (found := os.fork()) == 0:
                _for_ever()
            path.with_name("grandchild").write_text(f"{found} ")
            os._exit(0)
        os.wait()
        time.sleep(60)

    def sharing(self, path: Path, report: Report) -> None:
        """Memory that it shares, with nobody."""
        import mmap

        shared = mmap.mmap(-1, 100_000_000)
        for at in range(0, len(shared), mmap.PAGESIZE):
            shared[at] = 1
        time.sleep(60)

    def headless(self, path: Path, report: Report) -> None:
        """Its first thread ends, and another one holds the memory."""
        import ctypes
        import platform
        import threading

        held = []

        def hold() -> None:
            held.append(bytearray(b"x") * 100_000_000)
            time.sleep(60)

        threading.Thread(target=hold, daemon=True).start()
        while not held:
            time.sleep(0.01)
        ctypes.CDLL(None).syscall(60 if platform.machine() == "x86_64" else 93, 0)

    def thousand(self, path: Path, report: Report) -> None:
        for number in range(1000):
            if os.fork() == 0:
                if number % 3 == 0:
                    os.setsid()
                _for_ever()

    def hopping(self, path: Path, report: Report) -> None:
        """Four that are somebody else every few milliseconds: a child goes on, its parent ends."""
        for _ in range(4):
            if os.fork() == 0:
                end = time.monotonic() + 30
                while time.monotonic() < end:
                    os.setsid()
                    time.sleep(0.005)
                    if os.fork() != 0:
                        os._exit(0)
                os._exit(0)
        time.sleep(60)

    def family(self, path: Path, report: Report) -> None:
        """Six orphans that do no harm."""
        for _ in range(6):
            self.double_fork(path, report)
        time.sleep(60)

    def fifo(self, path: Path, report: Report) -> None:
        path.unlink()
        os.mkfifo(path)

    def link(self, path: Path, report: Report) -> None:
        path.unlink()
        path.symlink_to("/etc/passwd")

    def second_name(self, path: Path, report: Report) -> None:
        os.link(path, path.with_name("second"))

    def sparse(self, path: Path, report: Report) -> None:
        for number in range(100):
            with path.with_name(f"sparse{number}").open("wb") as file:
                file.truncate(300_000_000)
        time.sleep(60)

    def roomy(self, path: Path, report: Report) -> None:
        """Less than a job may have, and more than there is room for beside others."""
        with path.with_name("roomy").open("wb") as file:
            file.truncate(300_000_000)
        time.sleep(60)

    def huge(self, path: Path, report: Report) -> None:
        with path.open("wb") as file:
            file.truncate(100_000_000_000)

    def many_files(self, path: Path, report: Report) -> None:
        for number in range(60_000):
            path.with_name(f"file{number}").touch()
        time.sleep(60)

    def locked_away(self, path: Path, report: Report) -> None:
        """Folders that not even their owner may open."""
        inside = path.with_name("locked") / "deep"
        inside.mkdir(parents=True)
        (inside / "file").write_bytes(b"x")
        inside.chmod(0)
        inside.parent.chmod(0)

    def locked_out(self, path: Path, report: Report) -> None:
        """Not even its own folder may be opened."""
        self.locked_away(path, report)
        path.parent.chmod(0o500)

    def beside(self, path: Path, report: Report) -> None:
        """Files outside of its own folder."""
        (path.parent.parent / "mine").write_bytes(b"x")
        (path.parent.parent / "link").symlink_to("/etc")

    def deep(self, path: Path, report: Report) -> None:
        """Folders inside of folders: no path to the innermost is one that the kernel takes."""
        here = os.getcwd()
        os.chdir(path.parent)
        for _ in range(4_000):
            os.mkdir("f" * 200)
            os.chdir("f" * 200)
        os.chdir(here)

    def changed_later(self, path: Path, report: Report) -> None:
        """Somebody who goes on writing after the proof, and is killed with the rest."""
        if os.fork() == 0:
            os.setsid()
            with contextlib.suppress(OSError):
                file = os.open(path, os.O_RDWR)
                while True:
                    os.pwrite(file, b"\xff", 40)
                    time.sleep(0.0002)
            _for_ever()
        time.sleep(0.1)

    def talking(self, path: Path, report: Report) -> None:
        """More progress than anybody reads."""
        from trawler_crds.messages import Stage

        while True:
            report.moved(Stage.FETCHING, 1, None)  # type: ignore[attr-defined]


def _for_ever() -> None:
    for signum in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
        signal.signal(signum, signal.SIG_IGN)
    time.sleep(3600)
    os._exit(0)


def main() -> None:
    control = socket.socket(fileno=int(sys.argv[1]))
    zygote = Zygote(control, EngineSettings())
    zygote._engines = {EngineName.DIRECT: Rogue()}
    zygote.serve()


if __name__ == "__main__":
    main()
