"""Settings of the agent, from `TRAWLER_WORKER_*` variables that the operator sets in the pod."""

from pathlib import Path

from pydantic_settings import BaseSettings, SettingsConfigDict


class Settings(BaseSettings):
    model_config = SettingsConfigDict(env_prefix="TRAWLER_WORKER_", frozen=True)

    install: str
    """First token of our NATS subjects: the namespace of the installation."""

    pod: str
    """The name of this pod. The operator chose it and never reuses it."""

    pool: str
    """The WorkerPool that this pod belongs to."""

    nats_url: str
    """Address of the NATS server."""

    slots: int = 2
    """Maximum number of concurrent jobs."""

    jobs: int = 0
    """Number of orders after which the pod drains; 0: no limit."""

    grace: float = 3600
    """Seconds between SIGTERM and SIGKILL."""

    socket: Path = Path("/run/trawler/fetcher.sock")
    """The socket that the fetcher listens on."""

    scratch: Path = Path("/scratch")
    """The folder with the jobs' files. The agent only reads it."""

    health_port: int = 8080
    """Port for /healthz, /readyz and /metrics."""

    otlp_endpoint: str = ""
    """OTLP endpoint (HTTP); empty: no spans are exported."""

    log_level: str = "INFO"
