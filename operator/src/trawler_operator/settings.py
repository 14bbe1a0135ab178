"""Settings of the operator, from `TRAWLER_OPERATOR_*` (set by the chart)."""

from pathlib import Path

from pydantic_settings import BaseSettings, SettingsConfigDict


class Settings(BaseSettings):
    model_config = SettingsConfigDict(env_prefix="TRAWLER_OPERATOR_", frozen=True)

    install: str
    """The namespace: everything of an install lives in one."""

    identity: str
    """Who holds the Lease; the pod's name, so that a restarted container takes up its own."""

    deployment: str = "trawler-operator"
    """Our own Deployment: it owns the configured pools, so that uninstalling takes them along."""

    nats_url: str
    """Where the bus is."""

    s3_endpoint: str
    """Where the object store is; workers use the same address."""

    s3_bucket: str = "trawler"
    s3_region: str = "us-east-1"

    s3_prefix: str = "trawler"
    """What the keys of this install's objects begin with; no other install uses it."""

    s3_exclusive: bool = False
    """Whether the whole store is this install's alone."""

    s3_credentials: Path = Path("/etc/trawler/store")
    """A folder with the files `accessKey` and `secretKey`."""

    pools: Path = Path("/etc/trawler/pools.yaml")
    """The WorkerPools of the chart's values."""

    worker_image: str
    worker_pull_policy: str = "IfNotPresent"

    worker_pull_secrets: str = ""
    """Names of secrets with credentials of registries, comma-separated."""

    reuse_seconds: float = 3600
    """How old a stored result may be that answers a new job; 0: only who waits meanwhile."""

    refusals: int = 5
    """In a row, of different jobs, after which a site is left alone for a while; 0: never."""

    sweep_pause: float = 0.25
    """Least seconds between two listings of stored objects, however short the attempts of all pools
    are.
    """

    resync_seconds: float = 300
    """Seconds between two full lists of each kind, beside its watch: they repair what a watch
    missed.
    """

    egress_allow: str = ""
    """host:port entries, comma-separated, that may lie on a private network."""

    egress_proxy: str = ""
    """The egress proxy; empty until it exists."""

    cobalt_image: str = ""
    """Run this image of Cobalt in each worker pod; empty: none."""

    cobalt_resources: str = "{}"
    """Its requests and limits, as JSON."""

    cobalt_url: str = ""
    """Instead: where a Cobalt is."""

    cobalt_key_secret: str = ""
    """The name of a secret with the key `key`: what that Cobalt wants to see."""

    cobalt_options: str = "{}"
    """What it is asked for where a request says nothing else, as JSON: picker, quality, codec,
    audioFormat.
    """

    otlp_endpoint: str = ""
    """OTLP over HTTP; empty: no spans are sent."""

    health_port: int = 8080
    log_level: str = "INFO"
