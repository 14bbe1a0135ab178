"""Baselines that Trawler is measured against. Runs inside a pod of the worker image: same lock
file, same Python, same bytecode, same side of the network.

    python - plain URL...       run one `yt-dlp URL` process after another; seconds of each
    python - xargs URL...       run two processes at a time
    python - fork URL...        run a bare fork server, warmed once: one fork per URL, two at a time
"""

import json
import os
import subprocess
import sys
import tempfile
import time

YT_DLP = "/app/bin/yt-dlp"
OPTIONS = ["-q", "--no-progress", "--no-update", "--no-cache-dir"]


def plain(urls: list[str]) -> list[float]:
    found = []
    for url in urls:
        with tempfile.TemporaryDirectory(dir="/scratch") as folder:
            begun = time.monotonic()
            subprocess.run([YT_DLP, *OPTIONS, url], cwd=folder, check=True)
            found.append(time.monotonic() - begun)
    return found


def xargs(urls: list[str]) -> list[float]:
    with tempfile.TemporaryDirectory(dir="/scratch") as folder:
        begun = time.monotonic()
        subprocess.run(
            ["xargs", "-P2", "-n1", YT_DLP, *OPTIONS, "-o", "%(id)s-%(epoch)s-%(title)s.%(ext)s"],
            input="\n".join(urls),
            text=True,
            cwd=folder,
            check=True,
        )
        return [time.monotonic() - begun]


def fork(urls: list[str]) -> list[float]:
    import yt_dlp

    from trawler_worker.fetcher.supervision import zygote

    class _Warm:
        def __init__(self, ydl: yt_dlp.YoutubeDL, folder: str) -> None:
            self._ydl, self._folder = ydl, folder

        def warm(self, url: str, _: object) -> None:
            self._ydl.extract_info(url)

    with tempfile.TemporaryDirectory(dir="/scratch") as folder:
        options = {"quiet": True, "noprogress": True, "no_warnings": True, "cachedir": False}
        ydl = yt_dlp.YoutubeDL({**options, "outtmpl": folder + "/w-%(epoch)s.%(ext)s"})
        # warmed as our own is; the site leaves no connection open that the forks would share
        zygote.warm(_Warm(ydl, folder))  # type: ignore[arg-type]
        begun = time.monotonic()
        running: set[int] = set()
        for number, url in enumerate(urls):
            while len(running) >= 2:
                pid, status = os.wait()
                assert status == 0
                running.discard(pid)
            pid = os.fork()
            if pid == 0:
                try:
                    ydl.params["outtmpl"]["default"] = f"{folder}/{number}.%(ext)s"
                    ydl.extract_info(url)
                    os._exit(0)
                finally:
                    os._exit(1)
            running.add(pid)
        while running:
            pid, status = os.wait()
            assert status == 0
            running.discard(pid)
        seconds = time.monotonic() - begun
        assert len(os.listdir(folder)) >= len(urls)
        return [seconds]


if __name__ == "__main__":
    print(json.dumps({"plain": plain, "xargs": xargs, "fork": fork}[sys.argv[1]](sys.argv[2:])))
