"""Settings of the bot, from `TRAWLER_BOT_*` (set by the chart)."""

from pathlib import Path

from pydantic_settings import BaseSettings, SettingsConfigDict

from trawler_crds.media_queue import MediaQueueSpec


class Settings(BaseSettings):
    model_config = SettingsConfigDict(env_prefix="TRAWLER_BOT_", frozen=True)

    install: str
    """The namespace: everything of an install lives in one."""

    token_file: Path
    """A file with the bot's token, and nothing else."""

    key_file: Path
    """A file with the key by which interaction tokens are encrypted: 32 bytes in URL-safe base64.
    """

    postgres_file: Path
    """A file with the address of the database: postgresql://user:password@host:5432/name."""

    pod: str = "trawler-bot-0"
    """Its last number says which part of the shards is ours."""

    shards: int = 1
    """Of the whole bot. Fixed, so that the owner of a job follows from its server."""

    replicas: int = 1
    """Pods that share the shards."""

    discord_api_base: str = ""
    """REST, with its version; empty: Discord."""

    discord_gateway_url: str = ""
    """The gateway; empty: Discord."""

    discord_cdn_base: str = ""
    """Avatars; empty: Discord."""

    allowed_guilds: str = ""
    """Ids of servers, comma-separated; empty: all."""

    user_install: bool = False
    """Commands also for who installed the bot for themselves, and in direct messages."""

    nats_url: str
    """Where the bus is."""

    s3_endpoint: str
    """Where the object store is."""

    s3_bucket: str = "trawler"
    s3_region: str = "us-east-1"

    s3_prefix: str = "trawler"
    """What the keys of this install's objects begin with."""

    s3_credentials: Path = Path("/etc/trawler/store")
    """A folder with the files `accessKey` and `secretKey`."""

    egress_allow: str = ""
    """host:port entries, comma-separated, that may lie on a private network."""

    cooldown_seconds: float = 10
    """Between two requests of one person in one server."""

    requests_per_minute: int = 5
    """Of one person in one server."""

    queue: MediaQueueSpec = MediaQueueSpec()
    """Of a server that is new to us."""

    reuse_seconds: float = 3600
    """For which the operator answers from the store."""

    shrink: bool = True
    """Code smaller what is larger than Discord takes, as long as it stays worth watching."""

    links_public_url: str = ""
    """Under which people reach `links_port`; empty: no file is ever public."""

    links_seconds: float = 86_400
    """For which such a link works, at most as long as its MediaJob is kept."""

    links_port: int = 8090

    scratch: Path = Path("/tmp")  # noqa: S108 - the pod's only writable folder
    """Where files lie on their way from the store to Discord."""

    scratch_bytes: int = 3 * 1024**3
    """As many of them at a time."""

    otlp_endpoint: str = ""
    """OTLP over HTTP; empty: no spans are sent."""

    health_port: int = 8080
    log_level: str = "INFO"

    def ordinal(self) -> int:
        """Which of the replicas this is. Raises ValueError for a pod without a number."""
        return int(self.pod.rpartition("-")[2])

    def guilds(self) -> frozenset[int]:
        """Servers in which we answer; empty: all."""
        return frozenset(int(each) for each in self.allowed_guilds.split(",") if each.strip())
