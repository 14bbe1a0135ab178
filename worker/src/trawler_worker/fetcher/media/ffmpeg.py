"""The program ffmpeg on files of ours: told what each of them is, allowed to open nothing else, and
heard while it works. It is a child of the job process, and goes with it.
"""

import math
import resource
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final

from trawler_crds.failures import FailureReason
from trawler_worker.fetcher.errors import FetchError
from trawler_worker.fetcher.media.sniff import FileType

FORMATS: Final = (
    "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,mp3,ogg,flac,wav,avi,gif,mpegts,aac,flv,"
    "jpeg_pipe,png_pipe,apng,webp_pipe"
)
"""Real media containers only: no playlist and no concat reader, which open other files."""

CLOSED: Final = ("-protocol_whitelist", "file", "-format_whitelist", FORMATS)
"""What every ffmpeg and ffprobe is told before it is given an input, whoever starts it."""

Heard = Callable[[float], None]
"""Told again and again how many seconds of the result there are."""


@dataclass(frozen=True, kw_only=True)
class Input:
    """A file, and what it is."""

    path: Path
    kind: FileType
    options: Sequence[str] = ()
    """Of its demuxer or decoder, such as where to begin."""


def chapters(said: str, path: Path) -> Input:
    """Chapters (in ffmpeg's own metadata format), written to a file that nothing else is read
    as.
    """
    path.write_text(said, encoding="utf-8")
    kind = FileType(type="text/plain", extension="txt", demuxer="ffmetadata")
    return Input(path=path, kind=kind, options=("-format_whitelist", "ffmetadata"))


def run(
    inputs: Sequence[Input], words: Sequence[str], out: Path | None, *, heard: Heard | None = None
) -> None:
    """Make one file of others; `None`: only look at all of it. Raises FetchError: SiteError where
    they cannot be read, TooLarge where what is made may not grow any more.
    """
    argv = ["ffmpeg", "-v", "error", "-nostdin", "-y", "-nostats", "-progress", "pipe:1"]
    for each in inputs:
        argv += [*CLOSED, *each.options, "-f", each.kind.demuxer, "-i", str(each.path)]
    ended = _follow([*argv, *words, "-" if out is None else str(out)], heard)
    if ended == 0 and (out is None or out.exists()):
        return
    grown = out is not None and out.exists() and out.stat().st_size >= _most()
    if out is not None:
        out.unlink(missing_ok=True)
    if grown:
        raise FetchError(FailureReason.TOO_LARGE, "What is made of it is larger than allowed.")
    raise FetchError(FailureReason.SITE_ERROR, "The file that the site sent is broken.")


def _most() -> float:
    """Bytes that a file of this process may have; a writer stops a little before."""
    soft, _ = resource.getrlimit(resource.RLIMIT_FSIZE)
    return math.inf if soft == resource.RLIM_INFINITY else 0.98 * soft


def _follow(argv: Sequence[str], heard: Heard | None) -> int:
    """Run it to its end; the job's own deadline ends both."""
    with subprocess.Popen(
        argv,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        errors="replace",
    ) as process:
        assert process.stdout is not None
        try:
            _hear(process.stdout, heard)
        except BaseException:
            process.kill()
            raise
    return process.returncode


def _hear(lines: IO[str], heard: Heard | None) -> None:
    """`out_time_us=1500000` each half second (ffmpeg, -progress); N/A before the first frame."""
    for line in lines:
        name, _, value = line.strip().partition("=")
        if heard is not None and name == "out_time_us" and value.isdigit():
            heard(int(value) / 1e6)
