"""Who may store what: grants for the attempt that runs, and for no other."""

from typing import Final

from trawler_common import logs
from trawler_common.failpoints import Failpoint, hit
from trawler_common.store import Store
from trawler_crds import subjects
from trawler_crds.messages import UploadGrants, UploadRequest
from trawler_crds.sidecar import MOST_SIDECAR
from trawler_operator.control.ownership import Ownership
from trawler_operator.kube.leader import Leader
from trawler_operator.planning import lifecycle
from trawler_operator.planning.gc_rules import Pins
from trawler_operator.state.cluster_state import ClusterState

log = logs.get("uploads")

LONGEST: Final = 7 * 86_400
"""Seconds; what signature version 4 allows."""
SLACK: Final = 900
"""Seconds a grant outlives the attempt, for clocks that differ: as much as S3 allows a clock to be
ahead (RequestTimeTooSkewed). A grant is for these bytes and no others, so its age harms nobody.
"""


class UploadHandler:
    """Answers upload requests."""

    def __init__(
        self, state: ClusterState, pins: Pins, store: Store, leader: Leader, ownership: Ownership
    ) -> None:
        self._state = state
        self._pins = pins
        self._store = store
        self._leader = leader
        self._ownership = ownership

    async def grant(self, subject: str, request: UploadRequest) -> UploadGrants | None:
        """Signed PUTs, or a refusal the pod need not repeat."""
        sender = subjects.sender(subject)
        job = self._state.jobs.get(sender.uid or "")
        if not self._leader.valid():
            return None
        sizes = [file.bytes for file in request.files]
        sidecar = [request.sidecar] if request.sidecar is not None else []
        if (
            job is None
            or not lifecycle.is_current_attempt(job, pod=sender.pod, attempt=request.attempt)
            or not lifecycle.within_limits(job, sizes)
            or any(file.bytes > MOST_SIDECAR for file in sidecar)
        ):
            log.warning("upload_refused", extra={"job": sender.uid, "pod": sender.pod})
            return UploadGrants(refused=True)
        files = [*request.files, *sidecar]
        hashes = [file.sha256 for file in files]
        if self._pins.going(hashes) or not self._ownership.ours:
            return None  # it asks again when that is settled
        self._pins.grant(job.uid, request.attempt, hashes)
        seconds = min(LONGEST, lifecycle.attempt_seconds(job, self._state) + SLACK)
        grants = [self._store.grant(file, seconds=seconds) for file in files]
        hit(Failpoint.AFTER_GRANT)
        return UploadGrants(grants=grants)
