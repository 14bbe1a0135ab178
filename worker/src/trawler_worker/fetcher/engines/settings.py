"""Settings of the engines of one fetcher, which do not depend on a job."""

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict


class CobaltSettings(BaseModel):
    """Where Cobalt runs, and the defaults for requests whose job specifies nothing else."""

    model_config = ConfigDict(frozen=True)

    url: str
    key: Path | None = None
    """Path of a file that contains an API key."""
    picker: Literal["All", "First", "Ask"] = "All"
    """Which files are fetched if there are several."""
    quality: str = "1080"
    codec: str = "h264"
    audio_format: str = "mp3"


class EngineSettings(BaseModel):
    """Settings that apply to all jobs."""

    model_config = ConfigDict(frozen=True)

    proxy: str = ""
    """The egress proxy for every engine. If empty, connections are made and checked here."""
    allow: list[str] = []
    """host:port entries that may lie on a private network."""
    cobalt: CobaltSettings | None = None
    gallery_extractors: str = ""
    """A folder with additional extractors for gallery-dl, in the format that its documentation
    specifies.
    """
