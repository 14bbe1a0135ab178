"""Fetches several files of one post, a few at a time: each as Direct would fetch it, all within the
job's limits.
"""

import contextvars
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from contextlib import AbstractContextManager, closing, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from trawler_crds.failures import FailureReason
from trawler_crds.media_job import Limits
from trawler_worker.fetcher.engines.base import Fetched, Report
from trawler_worker.fetcher.engines.direct import Download
from trawler_worker.fetcher.error_mapping import fault_of
from trawler_worker.fetcher.errors import FetchError
from trawler_worker.fetcher.limits import too_large
from trawler_worker.fetcher.network.http import Client
from trawler_worker.protocol import Fetch

AT_ONCE: Final = 4


@dataclass(frozen=True, kw_only=True)
class Item:
    """One file to fetch."""

    url: str
    called: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    fallbacks: Sequence[str] = ()
    """Other addresses of the same file, tried in order if the first one fails."""
    caption: str | None = None
    """The post's caption of this file."""
    within: Callable[[], AbstractContextManager[None]] = nullcontext
    """Creates the context in which the file is fetched."""
    client: Client | None = None
    """The client that fetches this file, if it is not the one of the whole batch."""
    chunks_prove: bool = True
    """Whether a body without a length that ends cleanly counts as complete."""


class _Stopped(Exception):
    """Stops this fetch because another file failed."""


class Batch:
    """The combined progress of all files of one job."""

    def __init__(self, limits: Limits, report: Report, count: int) -> None:
        self._limits = limits
        self._report = report
        self._lock = threading.Lock()
        self._have = [0] * count
        self._total: list[int | None] = [None] * count
        self._working = 0
        self._waiting = 0
        self.stopped = threading.Event()
        self._clients: list[Client] = []

    def works_with(self, client: Client) -> None:
        """Register a client whose connection is interrupted if another file fails."""
        with self._lock:
            self._clients.append(client)
        if self.stopped.is_set():
            raise _Stopped

    def stop(self) -> None:
        """Stop the batch because one file failed: interrupt every pending answer."""
        self.stopped.set()
        with self._lock:
            for client in self._clients:
                client.interrupt()

    def begin(self) -> None:
        with self._lock:
            self._working += 1
            self._say(was=self._working - 1)

    def end(self) -> None:
        with self._lock:
            self._working -= 1
            self._say(was=self._working + 1)

    def asking(self) -> None:
        """Count one more fetch that waits for an answer. The job waits only when all its fetches
        do.
        """
        with self._lock:
            self._waiting += 1
            if self._waiting == self._working:
                self._report.asking()

    def answered(self) -> None:
        with self._lock:
            if self._waiting == self._working:
                self._report.answered()
            self._waiting -= 1

    def _say(self, *, was: int) -> None:
        if not self._waiting:
            return
        if self._waiting == self._working:
            self._report.asking()
        elif self._waiting == was:
            self._report.answered()

    def progress_of(self, at: int) -> Callable[[int, int | None], None]:
        def moved(done: int, total: int | None) -> None:
            if self.stopped.is_set():
                raise _Stopped
            with self._lock:
                self._have[at], self._total[at] = done, total
                have = sum(self._have)
                known = [each for each in self._total if each is not None]
                if max(have, sum(known)) > self._limits.max_bytes:
                    raise too_large(self._limits)
                self._report(have, sum(known) if len(known) == len(self._total) else None)

        return moved


def fetch_all(
    items: Sequence[Item],
    *,
    order: Fetch,
    scratch: Path,
    report: Report,
    client: Client,
    lenient: bool = False,
) -> list[Fetched]:
    """Fetch all items and return their files in order. Raises FetchError for the first item that
    failed, after all other fetches have ended. If `lenient`, skips items that cannot be fetched,
    and raises only if no item is left or a limit is exceeded.
    """
    if len(items) > order.limits.max_files:
        raise FetchError(
            FailureReason.TOO_LARGE,
            f"There are {len(items)} files, more than the {order.limits.max_files} allowed.",
        )
    batch = Batch(order.limits, report, len(items))
    paths = [scratch / f"{order.job}-{number}" for number in range(1, len(items) + 1)]

    def fetch(at: int) -> Fetched | None:
        batch.begin()
        try:
            return _fetch_one(items[at], order, paths[at], batch, batch.progress_of(at), client)
        except FetchError as error:
            if lenient and error.reason is not FailureReason.TOO_LARGE:
                paths[at].unlink(missing_ok=True)
                return None
            batch.stop()
            raise
        except _Stopped:
            raise
        except BaseException:
            batch.stop()
            raise
        finally:
            batch.end()

    found = [fetch(0)] if len(items) == 1 else _in_threads(fetch, len(items))
    there = [file for file in found if file is not None]
    if not there:
        raise FetchError(FailureReason.NOTHING_FOUND)
    return there


def _in_threads(fetch: Callable[[int], Fetched | None], count: int) -> list[Fetched | None]:
    with ThreadPoolExecutor(min(AT_ONCE, count), "fetch") as threads:
        futures = [threads.submit(contextvars.copy_context().run, fetch, at) for at in range(count)]
        wait(futures, return_when=FIRST_EXCEPTION)
        for future in futures:
            future.cancel()
    _raise_first(futures)
    return [future.result() for future in futures]


def _raise_first(futures: Sequence[Future[Fetched | None]]) -> None:
    """Raise the failure that stopped the other fetches, if there is one."""
    failed = [f.exception() for f in futures if not f.cancelled() and f.exception() is not None]
    for error in failed:
        if error is not None and not isinstance(error, _Stopped):
            raise error


def _fetch_one(
    item: Item,
    order: Fetch,
    path: Path,
    batch: Batch,
    progress: Callable[[int, int | None], None],
    client: Client,
) -> Fetched:
    """Fetch from the first address that has the file. Raises FetchError."""
    urls = [item.url, *item.fallbacks]
    for url in urls[:-1]:
        try:
            return _fetch_from(url, item, order, path, batch, progress, client)
        except FetchError as error:
            if error.reason is FailureReason.TOO_LARGE:
                raise
    return _fetch_from(urls[-1], item, order, path, batch, progress, client)


def _fetch_from(
    url: str,
    item: Item,
    order: Fetch,
    path: Path,
    batch: Batch,
    progress: Callable[[int, int | None], None],
    client: Client,
) -> Fetched:
    own = (item.client or client).sibling()
    own.waiter = batch
    batch.works_with(own)
    download = Download(url, order.limits, path, progress, headers=item.headers)
    try:
        with item.within(), closing(own):
            download.run(own)
    except OSError as error:
        if batch.stopped.is_set():
            raise _Stopped from error
        raise fault_of(error) from error
    except FetchError:
        if batch.stopped.is_set():
            raise _Stopped from None
        raise
    return Fetched(
        path=path,
        called=item.called or download.called,
        caption=item.caption,
        measured=download.measured and (item.chunks_prove or download.length is not None),
    )
