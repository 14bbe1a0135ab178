"""What the engines of one fetcher are told before there is any job."""

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict


class CobaltSettings(BaseModel):
    """Where Cobalt is, and what is asked of it where a job says nothing else."""

    model_config = ConfigDict(frozen=True)

    url: str
    key: Path | None = None
    """A file with an API key."""
    picker: Literal["All", "First", "Ask"] = "All"
    """Which of several files are fetched."""
    quality: str = "1080"
    codec: str = "h264"
    audio_format: str = "mp3"


class EngineSettings(BaseModel):
    """The same for all jobs."""

    model_config = ConfigDict(frozen=True)

    proxy: str = ""
    """The egress proxy, for every engine; empty: connections are made and judged here."""
    allow: list[str] = []
    """host:port entries that may lie on a private network."""
    cobalt: CobaltSettings | None = None
    gallery_extractors: str = ""
    """A folder with further extractors of gallery-dl's, in the form that its documentation says."""
