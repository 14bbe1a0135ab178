"""Runs one order, from acceptance until the operator has recorded the result."""

import asyncio
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from trawler_common import logs, telemetry
from trawler_common.bus import Bus, RequestTimeout
from trawler_common.failpoints import Failpoint, hit
from trawler_crds import subjects
from trawler_crds.failures import FailureReason
from trawler_crds.media_job import StoredObject
from trawler_crds.messages import Outcome, Progress, Recorded, Result, Stage
from trawler_worker.agent import sidecar
from trawler_worker.agent.fetching import Fetcher, FetcherLost
from trawler_worker.agent.job_table import ActiveJob, JobTable
from trawler_worker.agent.upload import Revoked, Uploader, UploadFailed, hash_file
from trawler_worker.protocol import Done, Fault, Fetch, Moved, Told

log = logs.get("job")

PROGRESS_EVERY: Final = 1.0
REPEAT_FIRST: Final = 0.2
REPEAT_LONGEST: Final = 3.0


class Runner:
    """Runs orders, each in its own task."""

    def __init__(
        self,
        *,
        bus: Bus,
        job_table: JobTable,
        fetcher: Fetcher,
        uploader: Uploader,
        scratch: Path,
        install: str,
        pod: str,
        tasks: asyncio.TaskGroup,
    ) -> None:
        self._tasks = tasks
        self._bus = bus
        self._job_table = job_table
        self._fetcher = fetcher
        self._uploader = uploader
        self._scratch = scratch
        self._install = install
        self._pod = pod

    async def run(self, work: ActiveJob) -> None:
        """Fetch, store, and report until the result is recorded. Leaves nothing of the job."""
        logs.job_uid.set(work.order.uid)
        log.info("order_accepted", extra={"attempt": work.order.attempt})
        try:
            try:
                hit(Failpoint.WORKER_ORDERED)
                result = await self._carry_out(work)
            except asyncio.CancelledError:
                if not work.handed_back:
                    return  # cancelled: the operator does not wait for a result
                result = Result(attempt=work.order.attempt, outcome=Outcome.HANDED_BACK)
            except (Revoked, FetcherLost):
                return
            except Exception:
                log.exception("attempt_failed")
                result = _failed(work.order.attempt, Fault(reason=FailureReason.INTERNAL))
            log.info("attempt_ended", extra={"outcome": result.outcome, "reason": result.reason})
            self._job_table.move(work, Stage.REPORTING)
            await self._report(work, result)
            hit(Failpoint.WORKER_RECORDED)
        finally:
            # Without its fetcher, this pod ends. Until then the attempt still counts as held, so
            # that the failure is charged to the lost pod and not to an order that was never
            # accepted.
            if not self._fetcher.lost.is_set():
                await self._fetcher.release(work.name)
                self._job_table.end(work)

    async def _carry_out(self, work: ActiveJob) -> Result:
        order = work.order
        done: Done | None = None
        with telemetry.span("attempt", attempt=order.attempt, job=order.name) as span:
            parent = telemetry.context_from(telemetry.headers())
            try:
                done = await self._fetch(work)
                for timing in done.timings:
                    telemetry.record(
                        timing.name, parent=parent, begin_ns=timing.begin_ns, end_ns=timing.end_ns
                    )
                if done.fault is not None:
                    if done.fault.detail:
                        log.error("job_process_failed", extra={"detail": done.fault.detail})
                    return _failed(order.attempt, done.fault, done)
                return await self._store(work, done)
            except UploadFailed as error:
                return _failed(order.attempt, error.fault, done)
            except asyncio.CancelledError:
                span.set_attribute("cancelled", True)
                raise

    async def _fetch(self, work: ActiveJob) -> Done:
        order = work.order
        self._job_table.move(work, Stage.FETCHING)
        fetch = Fetch(
            job=work.name,
            url=order.url,
            media=order.media,
            engines=order.engines,
            avoid=order.avoid,
            limits=order.limits,
            seconds=max(0.1, work.left()),
        )
        return await self._fetcher.fetch(fetch, self._show(work))

    async def _store(self, work: ActiveJob, done: Done) -> Result:
        self._job_table.move(work, Stage.STORING)
        folder = f"{self._scratch}/{work.name}"  # no `Path`: see `supervisor`
        with telemetry.span("hash"):
            files = [await hash_file(proved, folder) for proved in done.files]
        hit(Failpoint.WORKER_FETCHED)
        known = sidecar.of(work.order, done, [hashed.file for hashed in files], time.time())
        stored = await self._uploader.store(work, files, known)
        hit(Failpoint.WORKER_STORED)
        return Result(
            attempt=work.order.attempt,
            outcome=Outcome.STORED,
            engine=done.engine,
            attempts=done.attempts,
            source=done.source,
            files=[hashed.file for hashed in files],
            sidecar=StoredObject(sha256=known.file.sha256, bytes=known.file.bytes)
            if stored
            else None,
        )

    async def _report(self, work: ActiveJob, result: Result) -> None:
        """Send the result until the operator confirms that it is recorded. An outage of the
        operator or the bus only costs time.
        """
        subject = subjects.results(self._install, self._pod, work.order.uid)
        pause = REPEAT_FIRST
        while True:
            try:
                await self._bus.request(subject, result, Recorded, timeout=10)
                return
            except RequestTimeout:
                await asyncio.sleep(pause)
                pause = min(REPEAT_LONGEST, pause * 2)

    def _show(self, work: ActiveJob) -> Callable[[Moved | Told], None]:
        """Build a callback that publishes progress: first bytes at once, then once a second."""
        loop = asyncio.get_running_loop()
        subject = subjects.progress(self._install, self._pod, work.order.uid)
        last = (0.0, 0)
        told: Told | None = None

        def moved(report: Moved | Told) -> None:
            nonlocal last, told
            if isinstance(report, Told):
                told = report
                return
            self._job_table.move(work, _held_as(report.stage))
            now = loop.time()
            begins = bool(report.bytes) and not last[1]
            if now - last[0] < PROGRESS_EVERY and not begins:
                return
            since = now - last[0]
            known = last[0] and since >= PROGRESS_EVERY  # too short an interval gives no rate
            rate = (report.bytes - last[1]) / since if known else None
            last = (now, report.bytes)
            message = Progress(
                uid=work.order.uid,
                attempt=work.order.attempt,
                stage=report.stage,
                bytes=report.bytes,
                total=report.total,
                rate=rate,
                title=told.title if told else None,
                thumbnail=told.thumbnail if told else None,
                age_limit=told.age_limit if told else None,
            )
            self._tasks.create_task(self._bus.publish(subject, message), name="progress")

        return moved


def _held_as(stage: Stage) -> Stage:
    """The stage to put in the presence. An operator of the previous release does not know the
    Converting stage, and would reject the whole presence.
    """
    return Stage.PROVING if stage is Stage.CONVERTING else stage


def _failed(attempt: int, fault: Fault, done: Done | None = None) -> Result:
    return Result(
        attempt=attempt,
        outcome=Outcome.FAILED,
        reason=fault.reason or FailureReason.INTERNAL,
        message=fault.message,
        retry_after=fault.retry_after,
        offered_height=fault.offered_height,
        offered_subtitles=fault.offered_subtitles,
        playlist=fault.playlist,
        engine=done.engine if done else None,
        attempts=done.attempts if done else [],
    )
