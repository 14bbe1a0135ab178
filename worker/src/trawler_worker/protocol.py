"""The protocol between agent and fetcher over the socket: one JSON object per line.

The agent trusts nothing in it that it can check itself: it computes hashes and lengths on its own.
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
"""Maximum bytes of one line. A longer line closes the connection."""


Count = Annotated[int, Field(ge=0, le=2**63 - 1)]
"""A number that fits the kernel's types. A job process can write any number."""
MAX_FILES: Final = 100


class Fetch(Contract):
    """Agent → fetcher: run this job in its own process."""

    type: Literal["fetch"] = "fetch"
    job: str
    """`<uid>-<attempt>`: names the job here and the scratch folder."""
    url: str
    media: Media
    engines: list[EngineName]
    avoid: list[EngineName] = []
    limits: Limits
    seconds: float
    """Seconds left of the attempt."""


class Stop(Contract):
    """Agent → fetcher: kill the job, whatever it does. The fetcher replies with Done."""

    type: Literal["stop"] = "stop"
    job: str


class Release(Contract):
    """Agent → fetcher: the files are no longer needed."""

    type: Literal["release"] = "release"
    job: str


class Moved(Contract):
    """Fetcher → agent: progress of the job."""

    type: Literal["moved"] = "moved"
    job: str
    stage: Stage
    bytes: Count
    total: Count | None = None


class Told(Contract):
    """Fetcher → agent: what the site reports about the media, before the download."""

    type: Literal["told"] = "told"
    job: str
    title: Annotated[str | None, Field(max_length=256)] = None
    thumbnail: Annotated[str | None, Field(max_length=2048)] = None
    age_limit: Annotated[int | None, Field(ge=0, le=99)] = None


class Timing(Contract):
    """The time of one step of the job process, for the trace."""

    name: Annotated[str, Field(max_length=40)]
    begin_ns: Count
    end_ns: Count


class ValidFile(Contract):
    """One file that passed every check in the fetcher."""

    path: str
    """A name in the job's scratch folder."""
    inode: Count
    changed_ns: Count
    """With `inode` and `bytes`, identifies the file and shows that it is unchanged since
    validation.
    """
    name: Annotated[str, Field(min_length=1, max_length=80)]
    bytes: Count
    type: Annotated[str, Field(max_length=64)]
    width: Count | None = None
    height: Count | None = None
    seconds: Annotated[float | None, Field(ge=0, allow_inf_nan=False)] = None
    language: LanguageTag | None = None
    """Language of a subtitle file."""
    caption: Annotated[str | None, Field(max_length=MOST_CAPTION)] = None
    """The caption that a post gives this file."""
    verified: Verified


class Fault(Contract):
    """Why there is no file. `message` is one of our sentences, never the site's text."""

    reason: FailureReason
    message: Annotated[str | None, Field(max_length=300)] = None
    detail: Annotated[str | None, Field(max_length=300)] = None
    """For our own logs: the type and place of an exception, never its text, which may come from the
    site.
    """
    retry_after: Annotated[float | None, Field(ge=0, le=604800)] = None
    """Seconds that the site asked us to wait."""
    offered_height: Annotated[int | None, Field(ge=1, le=100_000)] = None
    """Quality of the smallest version, if a smaller one was requested."""
    offered_subtitles: Annotated[list[LanguageTag] | None, Field(max_length=MOST_LANGUAGES)] = None
    """The available languages, if others were requested."""
    playlist: Playlist | None = None
    """The entries behind the URL, if it is a list."""


class Done(Contract):
    """Fetcher → agent: the job's process and its whole process group have ended."""

    type: Literal["done"] = "done"
    job: str
    files: Annotated[list[ValidFile], Field(max_length=MAX_FILES)] = []
    engine: EngineName | None = None
    attempts: Annotated[list[EngineAttempt], Field(max_length=MOST_ENGINE_ATTEMPTS)] = []
    """The result of each engine that was tried."""
    source: Source | None = None
    about: About | None = None
    fault: Fault | None = None
    timings: Annotated[list[Timing], Field(max_length=64)] = []


class Event(StrEnum):
    """An event that a job process writes to its pipe."""

    MOVED = "moved"
    TOLD = "told"
    ASKING = "asking"
    ANSWERED = "answered"
    TIMING = "timing"
    TRYING = "trying"
    """An engine starts."""
    TRIED = "tried"
    """The engine ended, with or without a result."""
    OUTCOME = "outcome"


# members of a union do not inherit this setting from their models
_KEYS_ONLY: Final = ConfigDict(cache_strings="keys")
ToFetcher: Final[TypeAdapter[Fetch | Stop | Release]] = TypeAdapter(
    Annotated[Fetch | Stop | Release, Field(discriminator="type")], config=_KEYS_ONLY
)
ToAgent: Final[TypeAdapter[Moved | Told | Done]] = TypeAdapter(
    Annotated[Moved | Told | Done, Field(discriminator="type")], config=_KEYS_ONLY
)


def line(message: Contract) -> bytes:
    """Encode one message for the socket."""
    return message.model_dump_json(by_alias=True, exclude_none=True).encode() + b"\n"
