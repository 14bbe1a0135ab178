"""What is said on the bus. Everything here may be lost, late or repeated at any time."""

from enum import StrEnum
from typing import Annotated, Any

from pydantic import Field

from trawler_crds.contract import Contract, Int64, Sha256
from trawler_crds.failures import FailureReason
from trawler_crds.media_job import (
    MOST_ENGINE_ATTEMPTS,
    MOST_LANGUAGES,
    EngineAttempt,
    EngineName,
    LanguageTag,
    Limits,
    Media,
    MediaFile,
    Playlist,
    Source,
    StoredObject,
)


class Message(Contract):
    """Readers ignore fields they do not know; `version` rises when a meaning changes."""

    version: int = 1


class Stage(StrEnum):
    """How far a pod is with a job."""

    STARTING = "Starting"  # accepted, no process yet
    FETCHING = "Fetching"
    CONVERTING = "Converting"  # into what plays and fits; counted in milliseconds of it
    PROVING = "Proving"
    STORING = "Storing"
    REPORTING = "Reporting"  # the result is repeated until recorded


class Held(Contract):
    """One job in a pod's hands."""

    uid: str
    attempt: int
    stage: Stage
    age_seconds: float


class Presence(Message):
    """A pod is here. Presence is the lease on everything it holds."""

    pool: str
    sequence: int
    free: Annotated[int, Field(ge=0)]
    taken: Annotated[int, Field(ge=0)]
    draining: bool = False
    held: list[Held] = []


class Seen(Message):
    """The operator heard it."""


class Order(Message):
    """Do this, now, as this attempt."""

    uid: str
    name: str
    attempt: int
    url: str
    media: Media = Media()
    engines: list[EngineName] = []
    limits: Limits = Limits()
    avoid: list[EngineName] = []
    """Engines that this site refuses at the moment: asked only where no other one is there."""
    attempt_seconds: int


class OrderReply(Message):
    """Accepted (the attempt's clock runs now) or refused (nothing was begun)."""

    accepted: bool
    why: Annotated[str | None, Field(max_length=200)] = None
    free: int = 0
    sequence: int = 0


class ControlAction(StrEnum):
    CANCEL = "Cancel"
    DRAIN = "Drain"


class Control(Message):
    """Cancel one attempt, or take no more orders."""

    action: ControlAction
    uid: str | None = None
    attempt: int | None = None


class ControlReply(Message):
    """The pod heard it; its presence shows when it is done."""


class Progress(Message):
    """For people to watch; at most one a second per job."""

    uid: str
    attempt: int
    stage: Stage
    bytes: int = 0
    """Of what comes from the site; while it is converted, milliseconds of the media that are done.
    """
    total: int | None = None
    rate: float | None = None
    title: Annotated[str | None, Field(max_length=256)] = None
    """As soon as the site told it; cleaned, never trusted."""
    thumbnail: Annotated[str | None, Field(max_length=2048)] = None
    """An https address of a small picture, as the site gives it."""
    age_limit: Annotated[int | None, Field(ge=0, le=99)] = None
    """Years below which the site does not show it."""


class Place(Contract):
    """Where one waiting job stands in its queue."""

    uid: str
    place: Annotated[int, Field(ge=1)]
    seconds: Annotated[int | None, Field(ge=0)] = None
    """Until it is given to a pod, as far as that can be told."""


class Positions(Message):
    """For people who wait. Of a long queue only the first places are named."""

    queue: str
    waiting: Annotated[int, Field(ge=0)]
    places: Annotated[list[Place], Field(max_length=1000)] = []


class UploadFile(Contract):
    """A file that is proved and hashed."""

    sha256: Sha256
    bytes: Annotated[Int64, Field(ge=1)]
    type: Annotated[str, Field(max_length=64)]


class UploadRequest(Message):
    """May I store these."""

    attempt: int
    files: Annotated[list[UploadFile], Field(max_length=40)] = []
    sidecar: UploadFile | None = None
    """What is known of the files; counted by itself, so that no limit of a person's refuses it."""


class UploadGrant(Contract):
    """A signed PUT. It holds for these very bytes, and only where no object is yet."""

    sha256: Sha256
    url: str
    headers: dict[str, str]


class UploadGrants(Message):
    """One grant per file; none when the attempt is not (or no longer) this pod's."""

    grants: list[UploadGrant] = []
    refused: bool = False


class Outcome(StrEnum):
    STORED = "Stored"
    FAILED = "Failed"
    HANDED_BACK = "HandedBack"  # the pod is leaving; costs no failure


class Result(Message):
    """How an attempt ended. Repeated until recorded."""

    attempt: int
    outcome: Outcome
    reason: FailureReason | None = None
    message: Annotated[str | None, Field(max_length=512)] = None
    retry_after: Annotated[float | None, Field(ge=0, le=604800)] = None
    """Seconds that the site asked us to wait."""
    offered_height: Annotated[int | None, Field(ge=1, le=100_000)] = None
    """Quality of the smallest version, where less was asked for."""
    offered_subtitles: Annotated[list[LanguageTag] | None, Field(max_length=MOST_LANGUAGES)] = None
    """Languages that there are, where others were asked for."""
    playlist: Playlist | None = None
    """What the address lists, where it is no single thing."""
    engine: EngineName | None = None
    attempts: Annotated[list[EngineAttempt], Field(max_length=MOST_ENGINE_ATTEMPTS)] = []
    """What each engine that was tried made of it, in their order."""
    source: Source | None = None
    files: Annotated[list[MediaFile], Field(max_length=40)] = []
    sidecar: StoredObject | None = None
    """What is known of the files."""

    @property
    def objects(self) -> list[MediaFile | StoredObject]:
        """All that it says is in the store."""
        return [*self.files, *([self.sidecar] if self.sidecar else [])]

    def offered(self) -> dict[str, Any]:
        """What there is instead of what was asked for, as fields of a MediaJob's status."""
        names = {"offered_height", "offered_subtitles", "playlist"}
        return self.model_dump(mode="json", by_alias=True, exclude_none=True, include=names)


class Recorded(Message):
    """The pod may forget the attempt, whether it counted or was stale."""

    stale: bool = False
