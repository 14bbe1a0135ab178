"""Run other programs with argument lists and timeouts. Errors show the last lines of output."""

import contextlib
import os
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from trawler_cluster.errors import CommandFailed


def run(
    argv: Sequence[str | Path],
    *,
    stdin: str | bytes | None = None,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    timeout: float = 120,
    check: bool = True,
) -> subprocess.CompletedProcess[str]:
    """Run a program until it ends. Raises CommandFailed, with its last lines of output, if it
    fails.
    """
    words = [str(word) for word in argv]
    text = stdin.decode() if isinstance(stdin, bytes) else stdin
    try:
        done = subprocess.run(
            words,
            input=text,
            env={**os.environ, **(env or {})},
            cwd=cwd,
            timeout=timeout,
            capture_output=True,
            text=True,
            check=False,
        )
    except FileNotFoundError as error:
        raise CommandFailed(f"{words[0]} is not installed") from error
    except subprocess.TimeoutExpired as error:
        raise CommandFailed(f"`{' '.join(words[:4])} …` did not end in {timeout:.0f} s") from error
    if check and done.returncode != 0:
        tail = "\n".join((done.stderr or done.stdout).strip().splitlines()[-12:])
        raise CommandFailed(f"`{' '.join(words[:6])}` failed ({done.returncode}):\n{tail}")
    return done


def output(argv: Sequence[str | Path], **more: object) -> str:
    """The output of a program, stripped."""
    return run(argv, **more).stdout.strip()  # type: ignore[arg-type]


def run_with_progress(
    argv: Sequence[str | Path],
    *,
    label: str,
    log: Path,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    timeout: float = 1800,
) -> None:
    """Run a long program. Print a line every ten seconds while it runs, and the duration at the
    end.
    """
    words = [str(word) for word in argv]
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("w") as sink:
        process = subprocess.Popen(
            words, env={**os.environ, **(env or {})}, cwd=cwd, stdout=sink, stderr=sink
        )
        with timed(label) as elapsed:
            try:
                while True:
                    try:
                        code = process.wait(timeout=10)
                        break
                    except subprocess.TimeoutExpired:
                        say(f"{label}: {elapsed():.0f} s so far")
                        if elapsed() > timeout:
                            raise CommandFailed(
                                f"{label} did not end in {timeout:.0f} s; see {log}"
                            ) from None
            finally:
                if process.poll() is None:
                    process.kill()
                    process.wait()
    if code != 0:
        tail = "\n".join(log.read_text(errors="replace").splitlines()[-20:])
        raise CommandFailed(f"{label} failed; see {log}. Its last lines:\n{tail}")


def say(text: str) -> None:
    """Print one line for the user."""
    print(text, flush=True)


@contextlib.contextmanager
def timed(label: str) -> Iterator[Callable[[], float]]:
    """Print a line when a step starts, and its duration when it ends."""
    begun = time.monotonic()
    say(f"{label} …")
    yield lambda: time.monotonic() - begun
    say(f"{label}: done in {time.monotonic() - begun:.1f} s")


def wait_until(
    condition: Callable[[], bool], *, what: str, timeout: float, pause: float = 0.2
) -> None:
    """Wait for a condition. Raises CommandFailed if it does not become true in time."""
    end = time.monotonic() + timeout
    while not condition():
        if time.monotonic() > end:
            raise CommandFailed(f"{what} did not happen within {timeout:.0f} s")
        time.sleep(pause)
