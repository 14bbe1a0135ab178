"""The Lease: no leader, no effects. Any doubt ends the process, which is the safest fence."""

import asyncio
import time
from datetime import UTC, datetime
from typing import Any, Final

from trawler_common import logs
from trawler_common.errors import Permanent, Transient
from trawler_common.kube import Conflict, NotFound
from trawler_operator.kube.client import ClusterClient

log = logs.get("leader")

DURATION: Final = 15
"""Seconds after which others may take a Lease that was not renewed."""
RENEW_EVERY: Final = 2.0
VALID_FOR: Final = 10.0
"""Seconds for which we trust our own last renewal: well before others may take over."""
LOOK_EVERY: Final = 0.5
"""Seconds between two looks of one who waits: a Lease that was given back is taken at once."""
CALL: Final = 5.0
NAME: Final = "trawler-operator"


class NotLeader(Exception):
    """An effect was about to happen without a valid Lease."""


class Leader:
    """Holds one Lease, by the monotonic clock."""

    def __init__(self, client: ClusterClient, identity: str) -> None:
        self._client = client
        self._identity = identity
        self._lease: dict[str, Any] | None = None
        self._renewed = 0.0
        self.since: float | None = None
        """Monotonic seconds of our election."""
        self.answered = 0.0
        """When the API server last answered us, whatever it said."""
        self.longest_gap = 0.0
        """The longest time between two renewals, in seconds."""

    def valid(self) -> bool:
        """Whether the Lease is surely ours."""
        return self.remaining() > 0

    def remaining(self) -> float:
        """Seconds for which the Lease is surely still ours."""
        if self.since is None:
            return 0.0
        return max(0.0, self._renewed + VALID_FOR - time.monotonic())

    def standing_by(self) -> bool:
        """Whether another leads and we would take over: we can see its Lease."""
        return self.since is None and time.monotonic() - self.answered < VALID_FOR

    def require(self) -> None:
        """Raises NotLeader unless the Lease is surely ours."""
        if not self.valid():
            raise NotLeader

    async def acquire(self) -> None:
        """Wait until the Lease is ours."""
        observed: tuple[str, float] | None = None
        while True:
            try:
                lease = await self._read()
                observed = _observe(lease, observed)
                if self._may_take(lease, observed):
                    await self._write(lease)
                    self.since = time.monotonic()
                    log.info("elected", extra={"identity": self._identity})
                    return
            except (Transient, Permanent) as error:
                log.info("election_waits", extra={"error": str(error)})
            await asyncio.sleep(LOOK_EVERY)

    async def hold(self) -> None:
        """Renew for ever. Raises NotLeader as soon as that is in doubt."""
        while True:
            await asyncio.sleep(RENEW_EVERY)
            try:
                await self._renew()
            except NotFound:  # somebody deleted it: anybody may hold the next one
                raise NotLeader from None
            except (Transient, Permanent) as error:
                log.warning("lease_not_renewed", extra={"error": str(error)})
            self.require()

    async def _renew(self) -> None:
        """Raises NotLeader where it is another's by now."""
        before = self._renewed
        try:
            await self._write(self._lease)
        except Conflict:
            lease = await self._read()
            if lease is None or lease["spec"].get("holderIdentity") != self._identity:
                raise NotLeader from None
            self._lease = lease
        self.longest_gap = max(self.longest_gap, time.monotonic() - before)

    async def release(self) -> None:
        """Let another take over at once."""
        if self.valid() and self._lease is not None:
            self.since, self.answered = None, 0.0
            body = {**self._lease, "spec": {**self._lease["spec"], "holderIdentity": ""}}
            try:
                await self._client.update_lease(body, timeout=CALL)
            except (Transient, Permanent):
                log.info("lease_not_released")

    async def _read(self) -> dict[str, Any] | None:
        try:
            lease = await self._client.get_lease(NAME, timeout=CALL)
        except NotFound:
            lease = None
        self.answered = time.monotonic()
        return lease

    def _may_take(self, lease: dict[str, Any] | None, observed: tuple[str, float] | None) -> bool:
        if lease is None or lease["spec"].get("holderIdentity") in {"", None, self._identity}:
            return True
        return observed is not None and time.monotonic() - observed[1] > DURATION

    async def _write(self, lease: dict[str, Any] | None) -> None:
        begun = time.monotonic()
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        spec = {
            "holderIdentity": self._identity,
            "leaseDurationSeconds": DURATION,
            "renewTime": now,
        }
        if lease is None:
            body = {
                "apiVersion": "coordination.k8s.io/v1",
                "kind": "Lease",
                "metadata": {"name": NAME},
                "spec": {**spec, "acquireTime": now, "leaseTransitions": 0},
            }
            self._lease = await self._client.create_lease(body, timeout=CALL)
        else:
            mine = lease["spec"].get("holderIdentity") == self._identity
            turns = int(lease["spec"].get("leaseTransitions") or 0)
            more = {} if mine else {"acquireTime": now, "leaseTransitions": turns + 1}
            body = {**lease, "spec": {**lease["spec"], **spec, **more}}
            self._lease = await self._client.update_lease(body, timeout=CALL)
        self.answered = time.monotonic()
        self._renewed = begun  # from before the call: the server's clock starts no earlier


def _observe(
    lease: dict[str, Any] | None, observed: tuple[str, float] | None
) -> tuple[str, float] | None:
    """When we first saw this renewal, by our own clock: clocks of others are not believed."""
    if lease is None:
        return None
    version = lease["metadata"]["resourceVersion"]
    if observed is not None and observed[0] == version:
        return observed
    return version, time.monotonic()
