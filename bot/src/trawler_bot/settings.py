"""Settings of the bot, from `TRAWLER_BOT_*` (set by the chart)."""

from pathlib import Path

from pydantic_settings import BaseSettings, SettingsConfigDict

from trawler_crds.media_queue import MediaQueueSpec


class Settings(BaseSettings):
    model_config = SettingsConfigDict(env_prefix="TRAWLER_BOT_", frozen=True)

    install: str
    """The namespace: everything that belongs to an install is in one."""

    token_file: Path
    """A file that contains only the bot's token."""

    key_file: Path
    """A file with the key that encrypts interaction tokens: 32 bytes in URL-safe base64."""

    postgres_file: Path
    """A file with the address of the database: postgresql://user:password@host:5432/name."""

    pod: str = "trawler-bot-0"
    """The name of the pod; the number at its end selects its share of the shards."""

    shards: int = 1
    """Number of shards of the whole bot. It is fixed, so that the owner of a job follows from its
    server.
    """

    replicas: int = 1
    """Number of pods that share the shards."""

    discord_api_base: str = ""
    """Address of the REST API, with its version; empty: Discord."""

    discord_gateway_url: str = ""
    """Address of the gateway; empty: Discord."""

    discord_cdn_base: str = ""
    """Address of the CDN, which serves avatars; empty: Discord."""

    allowed_guilds: str = ""
    """Ids of servers, comma-separated; empty: all."""

    user_install: bool = False
    """Also offer commands to people who installed the bot for themselves, and in direct messages.
    """

    nats_url: str
    """Address of the bus."""

    s3_endpoint: str
    """Address of the object store."""

    s3_bucket: str = "trawler"
    s3_region: str = "us-east-1"

    s3_prefix: str = "trawler"
    """Prefix of the keys of this install's objects."""

    s3_credentials: Path = Path("/etc/trawler/store")
    """A directory with the files `accessKey` and `secretKey`."""

    egress_allow: str = ""
    """host:port entries, comma-separated, that may be on a private network."""

    cooldown_seconds: float = 10
    """Minimum seconds between two requests of one person in one server."""

    requests_per_minute: int = 5
    """Maximum requests per minute of one person in one server."""

    queue: MediaQueueSpec = MediaQueueSpec()
    """The spec of the MediaQueue of a new server."""

    reuse_seconds: float = 3600
    """Seconds for which the operator answers from the store."""

    shrink: bool = True
    """Encode files smaller that are larger than Discord allows, as long as the result stays worth
    watching.
    """

    links_public_url: str = ""
    """Public address of `links_port`; empty: no file is ever public."""

    links_seconds: float = 86_400
    """Seconds for which such a link works, at most as long as its MediaJob is kept."""

    links_port: int = 8090

    scratch: Path = Path("/tmp")  # noqa: S108 - the pod's only writable folder
    """Directory for files on their way from the store to Discord."""

    scratch_bytes: int = 3 * 1024**3
    """Maximum bytes of such files at a time."""

    otlp_endpoint: str = ""
    """OTLP over HTTP; empty: no spans are sent."""

    health_port: int = 8080
    log_level: str = "INFO"

    def ordinal(self) -> int:
        """The index of this replica. Raises ValueError for a pod without a number."""
        return int(self.pod.rpartition("-")[2])

    def guilds(self) -> frozenset[int]:
        """Servers in which the bot answers; empty: all."""
        return frozenset(int(each) for each in self.allowed_guilds.split(",") if each.strip())
