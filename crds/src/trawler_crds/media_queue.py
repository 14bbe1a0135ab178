"""MediaQueue: one tenant's share, usually a guild's."""

from typing import Annotated

from pydantic import Field

from trawler_crds.contract import Contract, Int64
from trawler_crds.media_job import Conditions, ObjectMeta


class MediaQueueSpec(Contract):
    """How much of the pools one tenant may use."""

    weight: Annotated[int, Field(ge=1, le=1000, description="Share beside other queues.")] = 1
    max_running: Annotated[
        int | None, Field(ge=0, le=10000, description="Jobs at once; absent = no cap.")
    ] = None
    max_queued: Annotated[int | None, Field(ge=0, le=100000)] = None
    daily_bytes: Annotated[
        Int64 | None, Field(ge=0, le=1_000_000_000_000_000, description="Per day, UTC.")
    ] = None
    paused: bool = False


class MediaQueueStatus(Contract):
    """A checkpoint, recounted from MediaJobs."""

    queued: Annotated[int, Field(ge=0)] = 0
    running: Annotated[int, Field(ge=0)] = 0
    day: Annotated[str | None, Field(max_length=10, pattern=r"^\d{4}-\d{2}-\d{2}$")] = None
    day_bytes: Annotated[Int64, Field(ge=0)] = 0
    conditions: Conditions | None = None


class MediaQueue(Contract):
    """One tenant's share of the workers."""

    metadata: ObjectMeta = ObjectMeta()
    spec: MediaQueueSpec = MediaQueueSpec()
    status: MediaQueueStatus = MediaQueueStatus()

    @property
    def name(self) -> str:
        return self.metadata.name
