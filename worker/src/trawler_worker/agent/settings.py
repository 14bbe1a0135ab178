"""Settings of the agent, from `TRAWLER_WORKER_*`; the operator sets them in the pod."""

from pathlib import Path

from pydantic_settings import BaseSettings, SettingsConfigDict


class Settings(BaseSettings):
    model_config = SettingsConfigDict(env_prefix="TRAWLER_WORKER_", frozen=True)

    install: str
    """First word of our subjects: the namespace of the install."""

    pod: str
    """Our own name; the operator chose it and will not use it again."""

    pool: str
    """The WorkerPool that this pod belongs to."""

    nats_url: str
    """Where the bus is."""

    slots: int = 2
    """Jobs at once."""

    jobs: int = 0
    """Orders after which we take no more and leave; 0: never."""

    grace: float = 3600
    """Seconds between SIGTERM and SIGKILL."""

    socket: Path = Path("/run/trawler/fetcher.sock")
    """Where the fetcher listens."""

    scratch: Path = Path("/scratch")
    """Files under way; we only read."""

    health_port: int = 8080
    """/healthz, /readyz, /metrics."""

    otlp_endpoint: str = ""
    """OTLP over HTTP; empty: no spans are sent."""

    log_level: str = "INFO"
