"""How attempts end, recorded: believed only after a look at the objects, and only once."""

import asyncio
import time
from typing import Final

from pydantic import ValidationError

from trawler_common import logs, telemetry
from trawler_common.kube import ApiUnavailable, Conflict, NotFound, Rejected
from trawler_common.store import Store, StoreUnavailable
from trawler_crds import subjects
from trawler_crds.failures import FailureReason
from trawler_crds.keys import ANNOTATION_TRACEPARENT
from trawler_crds.media_job import MediaJob
from trawler_crds.messages import Outcome, Recorded, Result
from trawler_operator.control.executor import ActionExecutor
from trawler_operator.control.metrics import Metrics
from trawler_operator.control.reconciler import Reconciler
from trawler_operator.kube.client import ClusterClient
from trawler_operator.kube.leader import Leader
from trawler_operator.planning import lifecycle
from trawler_operator.planning.gc_rules import Pins
from trawler_operator.state.cluster_state import ClusterState

log = logs.get("results")

TRIES: Final = 5
"""Status writes against other writers (the bot notes its message id) before the pod repeats."""


REFUSED_PAUSE: Final = 30.0
REMEMBERED: Final = 1000


class ResultHandler:
    """Answers results. No answer means: say it again."""

    def __init__(
        self,
        *,
        state: ClusterState,
        client: ClusterClient,
        store: Store,
        leader: Leader,
        executor: ActionExecutor,
        reconciler: Reconciler,
        pins: Pins,
        metrics: Metrics,
    ) -> None:
        self._state = state
        self._pins = pins
        self._client = client
        self._store = store
        self._leader = leader
        self._executor = executor
        self._reconciler = reconciler
        self._metrics = metrics
        self._refused: dict[str, float] = {}
        """Uid → until when (monotonic seconds) its status is not tried to be written."""

    async def record(self, subject: str, result: Result) -> Recorded | None:
        """Record one result, or say that it is stale; None while that cannot be told."""
        sender = subjects.sender(subject)
        uid = sender.uid or ""
        if time.monotonic() < self._refused.get(uid, 0.0):
            return None
        async with self._reconciler.alone_with(uid):
            for _ in range(TRIES):
                job = self._state.jobs.get(uid)
                if not self._leader.valid():
                    return None
                if job is None or not lifecycle.is_current_attempt(
                    job, pod=sender.pod, attempt=result.attempt
                ):
                    self._metrics.results.labels("stale").inc()
                    return Recorded(stale=True)
                hashes = [each.sha256 for each in result.objects]
                if self._pins.going(hashes):
                    return None  # the pod says it again, and then they are gone
                try:
                    with self._pins.held(hashes):
                        believed = await self._look(job, result)
                        await self._executor.write(
                            lifecycle.apply_result(job, believed, time.time())
                        )
                except Conflict:
                    await self._refresh(job)
                    continue
                except NotFound:
                    self._state.see_job(job, gone=True)
                    continue
                except Rejected as error:
                    # something in the report that the API server will never take
                    log.error("result_refused", extra={"job": uid, "error": str(error)})
                    if result.reason is FailureReason.INTERNAL:
                        self._wait(uid)
                        return None
                    result = Result(
                        attempt=result.attempt,
                        outcome=Outcome.FAILED,
                        reason=FailureReason.INTERNAL,
                    )
                    continue
                except (ApiUnavailable, StoreUnavailable) as error:
                    log.warning("result_waits", extra={"job": uid, "error": str(error)})
                    return None
                self._refused.pop(uid, None)
                self._state.settled(sender.pod, uid, result.attempt)
                if result.attempts:
                    self._state.heard_of_site(job, result.attempts, result.retry_after)
                self._metrics.results.labels(believed.outcome).inc()
                return Recorded()
        return None

    def _wait(self, uid: str) -> None:
        """Not even that it failed can be written: it is tried again, but not at each repetition."""
        self._refused[uid] = time.monotonic() + REFUSED_PAUSE
        if len(self._refused) > REMEMBERED:
            del self._refused[next(iter(self._refused))]

    async def _look(self, job: MediaJob, result: Result) -> Result:
        """The result as far as the store bears it out. Raises StoreUnavailable."""
        if result.outcome is not Outcome.STORED:
            return result
        parent = telemetry.root(job.uid, job.metadata.annotations.get(ANNOTATION_TRACEPARENT))
        with telemetry.span("look at objects", parent=parent, files=len(result.files)):
            there = await asyncio.gather(
                *(self._store.has(each.sha256, each.bytes) for each in result.objects)
            )
            for each, stored in zip(result.objects, there, strict=True):
                if not stored:
                    log.warning("object_missing", extra={"job": job.uid, "sha256": each.sha256})
                    return Result(
                        attempt=result.attempt,
                        outcome=Outcome.FAILED,
                        reason=FailureReason.STORAGE_ERROR,
                    )
        return result

    async def _refresh(self, job: MediaJob) -> None:
        try:
            self._state.see_job(await self._client.get_job(job.name))
        except NotFound:
            self._state.see_job(job, gone=True)
        except ValidationError as error:
            self._state.set_aside(job.uid, str(error))
