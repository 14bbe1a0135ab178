"""What a job process does: try the engines, validate the files, write events to its pipe."""

import json
import os
import shutil
import time
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from trawler_crds.contract import Contract
from trawler_crds.failures import FailureReason
from trawler_crds.media_job import EngineAttempt, EngineName
from trawler_crds.messages import Stage
from trawler_worker.fetcher.engines.base import Engine
from trawler_worker.fetcher.engines.routing import route
from trawler_worker.fetcher.error_mapping import is_full
from trawler_worker.fetcher.errors import FetchError
from trawler_worker.fetcher.handover import most_telling
from trawler_worker.fetcher.validation import validate_all
from trawler_worker.protocol import Done, Event, Fault, Fetch, Timing

MOST_SAID: Final = 200
"""Characters that the status holds about one engine."""
REPORT_EVERY: Final = 0.25
"""Seconds between two reports of progress."""


class Pipe:
    """The only output of a job process. If its parent is gone, SIGPIPE ends it."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._reported = 0.0

    def write(self, event: Event, body: Any) -> None:
        data = json.dumps({"event": event, "body": body}).encode() + b"\n"
        while data:
            data = data[os.write(self._fd, data) :]

    def moved(self, stage: Stage, done: int, total: int | None) -> None:
        self.write(Event.MOVED, {"stage": stage, "bytes": done, "total": total})

    def told(self, title: str | None, thumbnail: str | None, age_limit: int | None) -> None:
        """Report what people see while they wait."""
        self.write(Event.TOLD, {"title": title, "thumbnail": thumbnail, "ageLimit": age_limit})

    def asking(self) -> None:
        """Report that a site was asked and has not answered yet."""
        self.write(Event.ASKING, None)

    def answered(self) -> None:
        """Report that the site answered, or that nobody waits for it any more."""
        self.write(Event.ANSWERED, None)

    def __call__(self, done: int, total: int | None, /) -> None:
        """Report progress of the fetch, at most four times a second."""
        now = time.monotonic()
        if now - self._reported >= REPORT_EVERY:
            self._reported = now
            self.moved(Stage.FETCHING, done, total)

    @contextmanager
    def timed(self, name: str) -> Iterator[None]:
        begin = time.time_ns()
        try:
            yield
        finally:
            timing = Timing(name=name, begin_ns=begin, end_ns=time.time_ns())
            self.write(Event.TIMING, timing.wire())

    @contextmanager
    def tried(self, engine: EngineName) -> Iterator[None]:
        """Record one engine's turn for the status."""
        self.write(Event.TRYING, engine)
        begun = time.monotonic()
        failure: FetchError | None = None
        try:
            yield
        except FetchError as error:
            failure = error
            raise
        except Exception:
            failure = FetchError(FailureReason.INTERNAL)
            raise
        finally:
            tried = EngineAttempt(
                engine=engine,
                reason=failure.reason if failure else None,
                message=_noted(failure) if failure else None,
                proof=failure is not None and failure.proof,
                milliseconds=round((time.monotonic() - begun) * 1000),
            )
            self.write(Event.TRIED, tried.wire())

    def outcome(self, done: Contract) -> None:
        self.write(Event.OUTCOME, done.wire())


def run(order: Fetch, *, scratch: Path, engines: Mapping[EngineName, Engine], pipe: Pipe) -> None:
    """Fetch and validate; write exactly one outcome, whatever happens."""
    try:
        pipe.outcome(_work(order, scratch, engines, pipe))
    except FetchError as error:
        pipe.outcome(Done(job=order.job, fault=error.fault()))
    except MemoryError:
        pipe.outcome(Done(job=order.job, fault=Fault(reason=FailureReason.OUT_OF_MEMORY)))
    except Exception as error:  # noqa: BLE001 - every attempt has an outcome
        reason = FailureReason.TOO_LARGE if is_full(error) else FailureReason.INTERNAL
        fault = Fault(reason=reason, detail=place(error))
        pipe.outcome(Done(job=order.job, fault=fault))


def _noted(failure: FetchError) -> str:
    """Our sentence followed by the engine's own code."""
    note = f" ({failure.note})" if failure.note else ""
    return (failure.message[: MOST_SAID - len(note)] + note)[:MOST_SAID]


def place(error: BaseException) -> str:
    """The type of an exception and where it was raised."""
    frames = traceback.extract_tb(error.__traceback__)[-3:]
    where = " < ".join(f"{Path(f.filename).name}:{f.lineno}" for f in reversed(frames))
    return f"{type(error).__name__} at {where}"[:300]


def _work(order: Fetch, scratch: Path, engines: Mapping[EngineName, Engine], pipe: Pipe) -> Done:
    """The files of the first engine whose files pass validation. Raises FetchError: of several
    failures, the most specific one.
    """
    failures: list[FetchError] = []
    for name in route(order, engines):
        pipe.moved(Stage.FETCHING, 0, None)
        try:
            with pipe.tried(name):
                return _tried(order, scratch, engines[name], pipe)
        except FetchError as error:
            if not error.elsewhere:
                raise
            failures.append(error)
            empty(scratch)  # otherwise the next engine would find these bytes
    raise most_telling(failures)


def _tried(order: Fetch, scratch: Path, engine: Engine, pipe: Pipe) -> Done:
    """Fetch with one engine and validate its files."""
    with pipe.timed(f"fetch {engine.name}"):
        found = engine.fetch(order, scratch, pipe)
    pipe.moved(Stage.PROVING, 0, None)
    try:
        with pipe.timed("prove"):
            files = validate_all(found, order, scratch=scratch, moved=pipe.moved)
    except FetchError as error:
        error.elsewhere = error.elsewhere or engine.second_hand
        error.proof = True
        raise
    return Done(
        job=order.job, files=files, engine=engine.name, source=found.source, about=found.about
    )


def empty(folder: Path) -> None:
    """Remove everything in a folder."""
    for entry in list(folder.iterdir()):
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry)
        else:
            entry.unlink()
