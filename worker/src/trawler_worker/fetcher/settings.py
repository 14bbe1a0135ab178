"""Settings of the fetcher, from `TRAWLER_WORKER_*`."""

from pathlib import Path
from typing import Literal

from pydantic_settings import BaseSettings, SettingsConfigDict


class Settings(BaseSettings):
    model_config = SettingsConfigDict(env_prefix="TRAWLER_WORKER_", frozen=True)

    socket: Path = Path("/run/trawler/fetcher.sock")
    """Where the agent finds us."""

    scratch: Path = Path("/scratch")
    """Files under way; shared with the agent, which reads them."""

    agent_uid: int = -1
    """The only user id that may talk to us; -1 for any (tests)."""

    scratch_bytes: int | None = None
    """Bytes that all jobs together may have there; none: as much as there is."""

    job_memory: int = 512 * 1024 * 1024
    """Bytes that one job's processes may hold together."""

    proxy: str = ""
    """The egress proxy; empty: connections are made and judged here."""

    egress_allow: str = ""
    """host:port entries, comma-separated, that may lie on a private network."""

    cobalt_url: str = ""
    """Where Cobalt is: a container of this pod, or one of its own. Empty: there is none."""

    cobalt_key: Path | None = None
    """A file with the API key of a Cobalt that is not in this pod; the only secret that is ever
    mounted here.
    """

    cobalt_picker: Literal["All", "First", "Ask"] = "All"
    """Which of several files are fetched."""

    cobalt_quality: str = "1080"
    cobalt_codec: str = "h264"
    cobalt_audio_format: str = "mp3"

    gallery_extractors: str = ""
    """A folder with further extractors for gallery-dl, such as somebody's own site needs."""

    log_level: str = "INFO"
