"""MediaJob: what somebody wants, and what became of it."""

import functools
from enum import StrEnum
from typing import Annotated, Any, Final

from pydantic import AfterValidator, BeforeValidator, Field

from trawler_crds import API_GROUP
from trawler_crds.addresses import MAX_URL, cel_rules
from trawler_crds.contract import (
    Contract,
    DnsLabel,
    Int64,
    Sha256,
    Snowflake,
    Timestamp,
    rules,
)
from trawler_crds.failures import FailureReason


class MediaKind(StrEnum):
    AUTO = "Auto"  # what the address offers, video before audio before pictures
    VIDEO = "Video"
    AUDIO = "Audio"
    IMAGE = "Image"


class AudioFormat(StrEnum):
    MP3 = "Mp3"
    M4A = "M4a"
    OPUS = "Opus"
    FLAC = "Flac"
    WAV = "Wav"


class DeliverAs(StrEnum):
    PLAYABLE = "Playable"  # what Discord and every phone play
    ORIGINAL = "Original"  # as the site had it


class SubtitleMode(StrEnum):
    FILES = "Files"  # beside the video
    BURNED = "Burned"  # drawn into its pictures: the first of the languages that there is


class EngineName(StrEnum):
    DIRECT = "Direct"  # streams the address itself
    COBALT = "Cobalt"
    YT_DLP = "YtDlp"
    GALLERY_DL = "GalleryDl"


class Reuse(StrEnum):
    ALWAYS = "Always"
    NEVER = "Never"


class Phase(StrEnum):
    PENDING = "Pending"  # seen by nobody yet; also what an absent phase means
    QUEUED = "Queued"  # admitted, waits for a slot
    RUNNING = "Running"  # given to a pod
    SUSPENDED = "Suspended"
    SUCCEEDED = "Succeeded"  # proved and stored
    FAILED = "Failed"
    CANCELLED = "Cancelled"


TERMINAL: Final = frozenset({Phase.SUCCEEDED, Phase.FAILED, Phase.CANCELLED})


class Clip(Contract):
    """A part of the media, in seconds from its beginning, exact to a tenth."""

    start_seconds: Annotated[float, Field(ge=0, le=86400, allow_inf_nan=False)]
    end_seconds: Annotated[
        float,
        Field(
            ge=0, le=86400, allow_inf_nan=False, description="86400: as long as the media lasts."
        ),
    ]


LanguageTag = Annotated[str, Field(max_length=35, pattern=r"^[A-Za-z]{2,8}(-[A-Za-z0-9]{1,8})*$")]
"""A language, as BCP 47 writes it."""


class Media(Contract):
    """Which media is wanted of what the address offers."""

    kind: Annotated[MediaKind, Field(description="What to look for.")] = MediaKind.AUTO
    max_height: Annotated[
        int | None,
        Field(
            ge=72,
            le=4320,
            description="Greatest quality, as people call it: pixels of the shorter side.",
        ),
    ] = None
    audio_format: Annotated[
        AudioFormat | None, Field(description="Convert sound to this; with kind Audio.")
    ] = None
    subtitles: Annotated[
        list[LanguageTag] | None,
        Field(
            max_length=8,
            description="Language tags (de, pt-BR). Those that there are come; if none"
            " is there, it fails.",
        ),
    ] = None
    subtitle_mode: Annotated[
        SubtitleMode,
        Field(
            description="Files: beside the video. Burned: in its pictures, in the first language."
        ),
    ] = SubtitleMode.FILES
    thumbnail: Annotated[
        bool,
        Field(
            description="A picture of it, too: the site's own, else one of the video; of"
            " a long one a sheet."
        ),
    ] = False
    clip: Annotated[
        Clip | None,
        Field(
            description="Only this part.",
            json_schema_extra=rules(
                ("self.endSeconds > self.startSeconds", "a clip must end after it starts")
            ),
        ),
    ] = None

    deliver_as: Annotated[
        DeliverAs,
        Field(
            description="Playable: MP4 with H.264 and AAC, pictures that browsers show;"
            " converted only where needed."
        ),
    ] = DeliverAs.ORIGINAL
    keep_original: Annotated[
        bool, Field(description="Store what was converted as it came, too.")
    ] = False


class Limits(Contract):
    """How much one job may fetch."""

    max_bytes: Annotated[
        Int64, Field(ge=1, le=50_000_000_000, description="Of all files together.")
    ] = 500_000_000
    max_files: Annotated[int, Field(ge=1, le=40)] = 20
    fit_bytes: Annotated[
        Int64 | None,
        Field(
            ge=1,
            le=50_000_000_000,
            description="The size that each file should fit: by choice of version; if"
            " Playable, by coding it anew.",
        ),
    ] = None


@functools.lru_cache(maxsize=256)
def _shared(thing: Any) -> Any:
    return thing


def _shared_media(media: Media) -> Media:
    """Most jobs ask alike: equal wishes are one object in memory. One with a list in it cannot be
    looked up and stays by itself.
    """
    shared: Media = media if media.subtitles is not None else _shared(media)
    return shared


def _shared_limits(limits: Limits) -> Limits:
    shared: Limits = _shared(limits)
    return shared


class DiscordDelivery(Contract):
    """Where in Discord the answer belongs."""

    guild_id: Snowflake | None = None
    channel_id: Snowflake
    interaction_id: Snowflake | None = None
    requester_id: Snowflake
    spoiler: bool = False
    private: bool = False
    locale: Annotated[str | None, Field(max_length=10)] = None
    link: Annotated[
        str | None,
        Field(
            max_length=2048, description="The address as the person wrote it, where url differs."
        ),
    ] = None
    replaces: Annotated[
        str | None,
        Field(
            max_length=253,
            description="The MediaJob whose files the message shows until those of this"
            " one are there.",
        ),
    ] = None
    from_video: Annotated[
        bool, Field(description="The sound of a video was asked for: a way back is offered.")
    ] = False
    previews: Annotated[
        bool, Field(description="Whether a small picture may show what is being fetched.")
    ] = True
    external: Annotated[
        bool, Field(description="The bot is not there itself: only the interaction's token writes.")
    ] = False
    age_restricted: Annotated[
        bool, Field(description="It was asked for where media with an age limit may be shown.")
    ] = False


class Delivery(Contract):
    """How the result reaches somebody; absent for users of kubectl."""

    discord: DiscordDelivery | None = None


MUTABLE: Final = frozenset({"priority", "suspend", "cancel"})


def _fixed(field: str) -> str:
    return f"{field} cannot be changed after creation; create a new MediaJob instead"


class MediaJobSpec(Contract):
    """What one user asked us to fetch."""

    url: Annotated[
        str,
        Field(
            min_length=1,
            max_length=MAX_URL,
            description="http or https address of the media or of a page that shows it.",
            json_schema_extra=rules(*cel_rules()),
        ),
    ]
    queue: Annotated[
        DnsLabel, Field(description="Whose turn it uses; an undeclared queue counts as default.")
    ] = "default"
    pool: Annotated[DnsLabel, Field(description="Which WorkerPool runs it.")] = "default"
    priority: Annotated[
        int, Field(ge=0, le=9, description="Higher runs sooner; rises by one per minute waited.")
    ] = 5
    media: Annotated[Media, AfterValidator(_shared_media)] = Media()
    engines: Annotated[
        list[EngineName],
        Field(
            max_length=4,
            description="Engines to try, in order; empty = automatic.",
            json_schema_extra={"x-kubernetes-list-type": "set"},
        ),
    ] = []
    limits: Annotated[Limits, AfterValidator(_shared_limits)] = Limits()
    attempt_seconds: Annotated[
        int, Field(ge=1, le=86400, description="Time of one attempt, from its acceptance.")
    ] = 900
    max_queue_seconds: Annotated[
        int,
        Field(ge=1, le=604800, description="Time allowed in the queue, at each stay."),
    ] = 3600
    backoff_limit: Annotated[int, Field(ge=0, le=10, description="Failures that are retried.")] = 2
    ttl_seconds_after_finished: Annotated[
        int,
        Field(
            ge=0,
            le=31_536_000,
            description="How long a finished job is kept.",
        ),
    ] = 86400
    suspend: Annotated[
        bool, Field(description="Holds the job; what runs is stopped, and begins anew later.")
    ] = False
    cancel: Annotated[bool, Field(description="Ends the job; cannot be taken back.")] = False
    reuse: Annotated[
        Reuse,
        Field(description="Whether a stored result may answer. Acted on in a later release."),
    ] = Reuse.ALWAYS
    delivery: Delivery | None = None


def fixed_fields() -> dict[str, tuple[str, str]]:
    """Everything is immutable but priority, suspend and cancel. A field that is always there (it is
    required, or has a default) is compared where it stands: the API server asks this again at each
    status write, and looking it up from above costs several times as much.
    """
    return {
        info.alias or name: ("self == oldSelf", _fixed(info.alias or name))
        for name, info in MediaJobSpec.model_fields.items()
        if name not in MUTABLE and name != "delivery"
    }


SPEC_RULES: Final = rules(
    (
        "has(self.delivery) == has(oldSelf.delivery)"
        " && (!has(self.delivery) || self.delivery == oldSelf.delivery)",
        _fixed("delivery"),
    ),
    (
        "!(has(oldSelf.cancel) && oldSelf.cancel) || (has(self.cancel) && self.cancel)",
        "cancel cannot be taken back; create a new MediaJob instead",
    ),
)


class Source(Contract):
    """What the site said about the media. Cleaned, bounded, and never trusted."""

    title: Annotated[str | None, Field(max_length=256)] = None
    author: Annotated[str | None, Field(max_length=128)] = None
    page: Annotated[str | None, Field(max_length=2048)] = None
    extractor: Annotated[str | None, Field(max_length=64)] = None
    age_limit: Annotated[int | None, Field(ge=0, le=99)] = None


class Verified(StrEnum):
    """How it is known that nothing of a file is missing."""

    LENGTH = "Length"
    """The site announced how much it sends, and all of it came."""
    STRUCTURE = "Structure"
    """The file itself says where it ends, and ends there."""
    UNKNOWN = "Unknown"
    """Neither says so."""

    @classmethod
    def _missing_(cls, value: object) -> "Verified | None":
        """What a newer worker may say."""
        return cls.UNKNOWN if isinstance(value, str) else None


class StoredObject(Contract):
    """Something in the store; its key follows from the hash (`keys.object_key`)."""

    sha256: Sha256
    bytes: Annotated[Int64, Field(ge=1)]


MOST_ENTRY_URL, MOST_ENTRY_TITLE = 1024, 120
"""Characters: addresses of single pictures are long."""


class PlaylistEntry(Contract):
    """One of several things that an address lists."""

    url: Annotated[str, Field(min_length=1, max_length=MOST_ENTRY_URL)]
    title: Annotated[str | None, Field(max_length=MOST_ENTRY_TITLE)] = None
    seconds: Annotated[float | None, Field(ge=0, allow_inf_nan=False)] = None


MOST_ENTRIES: Final = 25
"""Of a playlist that are named: as many as a person in Discord can choose from."""


class Playlist(Contract):
    """What an address lists that is no single thing: a playlist, a channel, somebody's posts."""

    title: Annotated[str | None, Field(max_length=256)] = None
    count: Annotated[
        int | None,
        Field(ge=0, le=10_000_000, description="How many it holds, if the site says so."),
    ] = None
    age_limit: Annotated[int | None, Field(ge=0, le=99)] = None
    entries: Annotated[
        list[PlaylistEntry], Field(max_length=MOST_ENTRIES, description="The first of them.")
    ]


class MediaFile(Contract):
    """One proved file; its object key follows from the hash (`keys.object_key`)."""

    name: Annotated[str, Field(min_length=1, max_length=80)]
    bytes: Annotated[Int64, Field(ge=1)]
    sha256: Sha256
    type: Annotated[str, Field(max_length=64)]
    width: Annotated[int | None, Field(ge=0)] = None
    height: Annotated[int | None, Field(ge=0)] = None
    seconds: Annotated[float | None, Field(ge=0)] = None
    language: Annotated[LanguageTag | None, Field(description="Of subtitles.")] = None
    verified: Annotated[
        Verified | None,
        Field(
            description="How it is known that nothing is missing: Length (the site"
            " announced how much it sends, and"
            " all of it came), Structure (the file itself ends where it says), or Unknown."
        ),
    ] = None


class EngineAttempt(Contract):
    """What one engine made of the address, and how long that took."""

    attempt: Annotated[
        int, Field(ge=0, le=1_000_000, description="In which attempt of the job this was.")
    ] = 0
    engine: EngineName
    reason: Annotated[
        FailureReason | None, Field(description="Why it gave nothing; absent where it did.")
    ] = None
    message: Annotated[str | None, Field(max_length=200)] = None
    proof: Annotated[
        bool, Field(description="What it brought failed a check here; the site did nothing wrong.")
    ] = False
    milliseconds: Annotated[int, Field(ge=0, le=2**31 - 1)] = 0


MOST_ENGINE_ATTEMPTS: Final = 12
"""The newest of a job that are kept: three attempts with all engines."""


MOST_LANGUAGES: Final = 40
"""Of subtitles that are offered and named."""


class DeliveryStatus(Contract):
    """The messages that show the result; written by the bot."""

    message_id: Snowflake | None = None
    channel_id: Annotated[
        Snowflake | None, Field(description="Where they are, if not where it was asked for.")
    ] = None
    further_message_ids: Annotated[
        list[Snowflake] | None,
        Field(max_length=39, description="Messages with further files, in their order."),
    ] = None
    call_message_id: Annotated[
        Snowflake | None, Field(description="The reply that called the requester.")
    ] = None
    omitted: Annotated[
        list[Annotated[int, Field(ge=0, le=39)]] | None,
        Field(max_length=40, description="Places in files of those that are not attached."),
    ] = None
    time: Timestamp | None = None


class ConditionStatus(StrEnum):
    TRUE = "True"
    FALSE = "False"
    UNKNOWN = "Unknown"


class Condition(Contract):
    """As `metav1.Condition`."""

    type: Annotated[str, Field(max_length=64)]
    status: ConditionStatus
    reason: Annotated[str, Field(max_length=64)]
    message: Annotated[str, Field(max_length=512)] = ""
    last_transition_time: Timestamp
    observed_generation: Int64 | None = None


MOST_CONDITIONS: Final = 8
"""Ours, and some that others may hang on an object."""

Conditions = Annotated[
    list[Condition],
    Field(
        max_length=MOST_CONDITIONS,
        json_schema_extra={
            "x-kubernetes-list-type": "map",
            "x-kubernetes-list-map-keys": ["type"],
        },
    ),
]

ACCEPTED: Final = "Accepted"
STORED: Final = "Stored"
DELIVERED: Final = "Delivered"
OUR_CONDITIONS: Final = frozenset({ACCEPTED, STORED, DELIVERED})


def with_condition(known: list[Condition] | None, new: Condition) -> list[Condition]:
    """The conditions of a job with one of them added or replaced. Where others filled the list, the
    first of theirs gives way: a status with one too many would be refused, each time.
    """
    others = [each for each in known or () if each.type != new.type]
    while len(others) >= MOST_CONDITIONS:
        theirs = (at for at, each in enumerate(others) if each.type not in OUR_CONDITIONS)
        del others[next(theirs, 0)]
    return [*others, new]


MOST_ATTEMPTS: Final = 1_000_000
"""Far more than a week in the queue could bring about: a larger figure was written by hand, and one
that is counted on from could not be written any more.
"""


class MediaJobStatus(Contract):
    """How far the job is. Written by the operator; `delivery` and Delivered by the bot."""

    phase: Phase = Phase.PENDING
    reason: FailureReason | None = None
    message: Annotated[str | None, Field(max_length=512)] = None
    attempt: Annotated[
        int, Field(ge=0, le=MOST_ATTEMPTS, description="How often dispatched: the fence.")
    ] = 0
    failures: Annotated[
        int, Field(ge=0, le=MOST_ATTEMPTS, description="Counted against backoffLimit.")
    ] = 0
    worker: Annotated[str | None, Field(max_length=63)] = None
    engine: EngineName | None = None
    attempts: Annotated[
        list[EngineAttempt] | None,
        Field(
            max_length=MOST_ENGINE_ATTEMPTS,
            description="What each engine made of the address, the newest last.",
        ),
    ] = None
    host: Annotated[str | None, Field(max_length=260)] = None
    fingerprint: Sha256 | None = None
    follows: Annotated[str | None, Field(max_length=253)] = None
    source: Source | None = None
    offered_height: Annotated[
        int | None,
        Field(
            ge=1,
            le=100_000,
            description="Quality of the smallest version, where less was asked for.",
        ),
    ] = None
    offered_subtitles: Annotated[
        list[LanguageTag] | None,
        Field(
            max_length=MOST_LANGUAGES,
            description="Languages that there are, where others were asked for.",
        ),
    ] = None
    playlist: Annotated[
        Playlist | None, Field(description="What the address lists, with reason Playlist.")
    ] = None
    files: Annotated[list[MediaFile] | None, Field(max_length=40)] = None
    file_count: Annotated[int | None, Field(ge=0)] = None
    sidecar: Annotated[
        StoredObject | None,
        Field(description="What is known of the files, as JSON (docs/sidecar.schema.json)."),
    ] = None
    size: Annotated[str | None, Field(max_length=16)] = None
    delivery: DeliveryStatus | None = None
    queued_time: Timestamp | None = None
    not_before: Annotated[
        Timestamp | None, Field(description="Until then the site asked us to wait.")
    ] = None
    start_time: Timestamp | None = None
    completion_time: Timestamp | None = None
    conditions: Conditions | None = None

    @property
    def objects(self) -> list[MediaFile | StoredObject]:
        """All that it has in the store."""
        return [*(self.files or ()), *([self.sidecar] if self.sidecar else [])]

    @property
    def stored_time(self) -> str:
        """When the files of a job that has ended were stored (RFC 3339, UTC): those of a twin were
        before it ended. Empty where it does not say.
        """
        said = [c.last_transition_time for c in self.conditions or () if c.type == STORED]
        return min([self.completion_time or "", *said])


def _ours(notes: Any) -> Any:
    """Only what Trawler reads: others may hang a quarter of a megabyte on each object."""
    if not isinstance(notes, dict):
        return notes
    return {key: value for key, value in notes.items() if key.startswith(f"{API_GROUP}/")}


Notes = Annotated[dict[str, str], BeforeValidator(_ours)]
"""Labels or annotations of our own API group."""


class ObjectMeta(Contract):
    """The part of Kubernetes' metadata that Trawler reads."""

    name: str = ""
    namespace: str = ""
    uid: str = ""
    resource_version: str = ""
    generation: int = 0
    creation_timestamp: str | None = None
    deletion_timestamp: str | None = None
    labels: Notes = {}
    annotations: Notes = {}


class MediaJob(Contract):
    """What somebody wants: one link, turned into files."""

    metadata: ObjectMeta = ObjectMeta()
    spec: MediaJobSpec
    status: MediaJobStatus = MediaJobStatus()

    @property
    def uid(self) -> str:
        return self.metadata.uid

    @property
    def name(self) -> str:
        return self.metadata.name

    @property
    def unwanted(self) -> bool:
        """Somebody cancelled it, or deleted it: then it may still be held by a finalizer."""
        return self.spec.cancel or self.metadata.deletion_timestamp is not None

    @property
    def held_back(self) -> bool:
        """It is not to begin, though its turn may have come."""
        return self.unwanted or self.spec.suspend

    @property
    def version(self) -> str:
        return self.metadata.resource_version


ROOT_RULES: Final = rules(
    (
        "!has(oldSelf.status) || has(self.status)",
        "the status of a MediaJob is never removed",
    ),
    (
        "!has(oldSelf.status) || !has(oldSelf.status.phase)"
        " || !(oldSelf.status.phase in ['Succeeded', 'Failed', 'Cancelled'])"
        " || (has(self.status) && has(self.status.phase)"
        " && self.status.phase == oldSelf.status.phase)",
        "a finished MediaJob keeps its phase",
    ),
    (
        "!has(oldSelf.status) || !has(oldSelf.status.attempt)"
        " || (has(self.status) && has(self.status.attempt)"
        " && self.status.attempt >= oldSelf.status.attempt)",
        "attempt never falls",
    ),
)
