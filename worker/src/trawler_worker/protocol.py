"""What agent and fetcher say to each other over the socket: one JSON object per line.

The agent believes nothing in here that it can check itself: hashes and lengths are its own.
"""

from enum import StrEnum
from typing import Annotated, Final, Literal

from pydantic import ConfigDict, Field, TypeAdapter

from trawler_crds.contract import Contract
from trawler_crds.failures import FailureReason
from trawler_crds.media_job import (
    MOST_ENGINE_ATTEMPTS,
    MOST_LANGUAGES,
    EngineAttempt,
    EngineName,
    LanguageTag,
    Limits,
    Media,
    Playlist,
    Source,
    Verified,
)
from trawler_crds.messages import Stage
from trawler_crds.sidecar import MOST_CAPTION, About

MAX_LINE: Final = 256 * 1024
"""Bytes of one line; a longer one ends the conversation."""


Count = Annotated[int, Field(ge=0, le=2**63 - 1)]
"""What fits into a number of the kernel's; a job process writes what it likes."""
MAX_FILES: Final = 100


class Fetch(Contract):
    """Agent → fetcher: do this in a process of its own."""

    type: Literal["fetch"] = "fetch"
    job: str
    """Names the work here and the scratch folder: `<uid>-<attempt>`."""
    url: str
    media: Media
    engines: list[EngineName]
    avoid: list[EngineName] = []
    limits: Limits
    seconds: float
    """What is left of the attempt."""


class Stop(Contract):
    """Agent → fetcher: kill it, whatever it does. Answered by Done."""

    type: Literal["stop"] = "stop"
    job: str


class Release(Contract):
    """Agent → fetcher: the files are no longer needed."""

    type: Literal["release"] = "release"
    job: str


class Moved(Contract):
    """Fetcher → agent: how far it is."""

    type: Literal["moved"] = "moved"
    job: str
    stage: Stage
    bytes: Count
    total: Count | None = None


class Told(Contract):
    """Fetcher → agent: what the site says of it, before the bytes come."""

    type: Literal["told"] = "told"
    job: str
    title: Annotated[str | None, Field(max_length=256)] = None
    thumbnail: Annotated[str | None, Field(max_length=2048)] = None
    age_limit: Annotated[int | None, Field(ge=0, le=99)] = None


class Timing(Contract):
    """A piece of work that the job process timed, for the trace."""

    name: Annotated[str, Field(max_length=40)]
    begin_ns: Count
    end_ns: Count


class ValidFile(Contract):
    """One file that passed every check in the fetcher."""

    path: str
    """A name in the job's scratch folder."""
    inode: Count
    changed_ns: Count
    """With `bytes`, which file it is, and that nobody has touched it since it was proved."""
    name: Annotated[str, Field(min_length=1, max_length=80)]
    bytes: Count
    type: Annotated[str, Field(max_length=64)]
    width: Count | None = None
    height: Count | None = None
    seconds: Annotated[float | None, Field(ge=0, allow_inf_nan=False)] = None
    language: LanguageTag | None = None
    """Of subtitles."""
    caption: Annotated[str | None, Field(max_length=MOST_CAPTION)] = None
    """What a post says of this file."""
    verified: Verified


class Fault(Contract):
    """Why there is no file. `message` is a sentence of ours, never the site's."""

    reason: FailureReason
    message: Annotated[str | None, Field(max_length=300)] = None
    detail: Annotated[str | None, Field(max_length=300)] = None
    """For our own logs: an exception's type and place, never its text, which may be the site's."""
    retry_after: Annotated[float | None, Field(ge=0, le=604800)] = None
    """Seconds that the site asked us to wait."""
    offered_height: Annotated[int | None, Field(ge=1, le=100_000)] = None
    """Quality of the smallest version, where less was asked for."""
    offered_subtitles: Annotated[list[LanguageTag] | None, Field(max_length=MOST_LANGUAGES)] = None
    """Languages that there are, where others were asked for."""
    playlist: Playlist | None = None
    """What the address lists, where it is no single thing."""


class Done(Contract):
    """Fetcher → agent: the process and its whole group are gone."""

    type: Literal["done"] = "done"
    job: str
    files: Annotated[list[ValidFile], Field(max_length=MAX_FILES)] = []
    engine: EngineName | None = None
    attempts: Annotated[list[EngineAttempt], Field(max_length=MOST_ENGINE_ATTEMPTS)] = []
    """What each engine that was tried made of it."""
    source: Source | None = None
    about: About | None = None
    fault: Fault | None = None
    timings: Annotated[list[Timing], Field(max_length=64)] = []


class Event(StrEnum):
    """What a job process writes to its pipe."""

    MOVED = "moved"
    TOLD = "told"
    ASKING = "asking"
    ANSWERED = "answered"
    TIMING = "timing"
    TRYING = "trying"
    """An engine begins."""
    TRIED = "tried"
    """It ended, however."""
    OUTCOME = "outcome"


# the setting of the members does not count for a union
_KEYS_ONLY: Final = ConfigDict(cache_strings="keys")
ToFetcher: Final[TypeAdapter[Fetch | Stop | Release]] = TypeAdapter(
    Annotated[Fetch | Stop | Release, Field(discriminator="type")], config=_KEYS_ONLY
)
ToAgent: Final[TypeAdapter[Moved | Told | Done]] = TypeAdapter(
    Annotated[Moved | Told | Done, Field(discriminator="type")], config=_KEYS_ONLY
)


def line(message: Contract) -> bytes:
    """One message as it goes over the socket."""
    return message.model_dump_json(by_alias=True, exclude_none=True).encode() + b"\n"
