"""The JSON file that lies beside a job's files in the store: what is known of them, for archives
and programs.

Its schema is `docs/sidecar.schema.json`, made from these models. All text in it is a site's own
word: cleaned, bounded, and never trusted.
"""

from typing import Annotated, Final, Literal

from pydantic import Field

from trawler_crds.contract import Contract, Int64, Sha256, Timestamp
from trawler_crds.media_job import EngineName, LanguageTag, Verified

SCHEMA: Final = "trawler.dev/sidecar/v1"
"""The last part rises when a meaning changes; new fields alone do not change it."""
MEDIA_TYPE: Final = "application/json"
MOST_SIDECAR: Final = 512 * 1024
"""Bytes."""
MOST_DESCRIPTION, MOST_CAPTION = 5_000, 1_000
MOST_TAGS, MOST_CHAPTERS = 50, 100
MOST_TITLE = 128
"""Letters of a chapter's title."""


class Chapter(Contract):
    """A part of the media that has a name."""

    title: Annotated[str, Field(max_length=MOST_TITLE)]
    start_seconds: Annotated[float, Field(ge=0, allow_inf_nan=False)]
    end_seconds: Annotated[float | None, Field(ge=0, allow_inf_nan=False)] = None


class About(Contract):
    """What the site says of the media, besides title and author."""

    published: Annotated[
        str | None,
        Field(max_length=40, description="When the site says it was posted: RFC 3339, or a date."),
    ] = None
    description: Annotated[str | None, Field(max_length=MOST_DESCRIPTION)] = None
    licence: Annotated[str | None, Field(max_length=128)] = None
    tags: Annotated[list[Annotated[str, Field(max_length=64)]], Field(max_length=MOST_TAGS)] = []
    chapters: Annotated[list[Chapter], Field(max_length=MOST_CHAPTERS)] = []


class SidecarFile(Contract):
    """One of the files, in their order."""

    name: Annotated[str, Field(max_length=80)]
    sha256: Sha256
    bytes: Annotated[Int64, Field(ge=1)]
    type: Annotated[str, Field(max_length=64)]
    width: int | None = None
    height: int | None = None
    seconds: float | None = None
    language: LanguageTag | None = None
    verified: Verified | None = None
    caption: Annotated[
        str | None, Field(max_length=MOST_CAPTION, description="What a post says of this one.")
    ] = None


class Sidecar(Contract):
    """All of it."""

    form: Annotated[Literal["trawler.dev/sidecar/v1"], Field(alias="schema")] = SCHEMA
    url: Annotated[str, Field(max_length=2048, description="The address as it was asked for.")]
    page: Annotated[
        str | None, Field(max_length=2048, description="The site's own address of it.")
    ] = None
    site: Annotated[str | None, Field(max_length=64, description="As the engine calls it.")] = None
    title: Annotated[str | None, Field(max_length=256)] = None
    author: Annotated[str | None, Field(max_length=128)] = None
    age_limit: Annotated[int | None, Field(ge=0, le=99)] = None
    about: About = About()
    fetched: Annotated[Timestamp, Field(description="When the files were stored.")]
    engine: EngineName | None = None
    versions: Annotated[
        dict[str, Annotated[str, Field(max_length=64)]],
        Field(description="Of the programs that fetched and made the files."),
    ] = {}
    files: Annotated[list[SidecarFile], Field(max_length=40)]
