"""Settings of the bot, from `TRAWLER_BOT_*` (set by the chart)."""

from pathlib import Path

from pydantic_settings import BaseSettings, SettingsConfigDict


class Settings(BaseSettings):
    model_config = SettingsConfigDict(env_prefix="TRAWLER_BOT_", frozen=True)

    install: str
    """The namespace: everything of an install lives in one."""

    token_file: Path
    """A file with the bot's token, and nothing else."""

    discord_api_base: str = ""
    """REST, with its version; empty: Discord."""

    discord_gateway_url: str = ""
    """The gateway; empty: Discord."""

    discord_cdn_base: str = ""
    """Avatars; empty: Discord."""

    nats_url: str
    """Where the bus is."""

    s3_endpoint: str
    """Where the object store is."""

    s3_bucket: str = "trawler"
    s3_region: str = "us-east-1"

    s3_credentials: Path = Path("/etc/trawler/store")
    """A folder with the files `accessKey` and `secretKey`."""

    egress_allow: str = ""
    """host:port entries, comma-separated, that may lie on a private network."""

    cooldown_seconds: float = 10
    """Between two requests of one person in one server."""

    requests_per_minute: int = 5
    """Of one person in one server."""

    scratch: Path = Path("/tmp")  # noqa: S108 - the pod's only writable folder
    """Where files lie on their way from the store to Discord."""

    otlp_endpoint: str = ""
    """OTLP over HTTP; empty: no spans are sent."""

    health_port: int = 8080
    log_level: str = "INFO"
