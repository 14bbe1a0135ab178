"""The bot as a process, for tests."""

import os
import signal
import subprocess
import sys
from pathlib import Path

from cryptography.fernet import Fernet

from emulated import API
from operating import Operator
from servers import free_port, http_ok


class BotProcess:
    """A bot beside an operator: same namespace, bus and store."""

    def __init__(
        self,
        operator: Operator,
        discord: str,
        token: str,
        folder: Path,
        *,
        database: str,
        kubeconfig: Path | None = None,
    ) -> None:
        folder.mkdir(exist_ok=True)
        self._folder = folder
        self.token(token)
        (folder / "database").write_text(database)
        (folder / "key").write_bytes(Fernet.generate_key())
        beside = operator.env(
            "NATS_URL", "S3_ENDPOINT", "S3_CREDENTIALS", "EGRESS_ALLOW", "INSTALL"
        )
        self._port = free_port()
        mine = {
            "TOKEN_FILE": str(folder / "token"),
            "KEY_FILE": str(folder / "key"),
            "POSTGRES_FILE": str(folder / "database"),
            "DISCORD_API_BASE": discord + API,
            "DISCORD_GATEWAY_URL": discord.replace("http", "ws") + "/gateway",
            "DISCORD_CDN_BASE": discord,
            "SCRATCH": str(folder),
            "COOLDOWN_SECONDS": "0",
            "REQUESTS_PER_MINUTE": "1000",
            "HEALTH_PORT": str(self._port),
        }
        self._env = {f"TRAWLER_BOT_{key}": value for key, value in {**beside, **mine}.items()}
        self._env["KUBECONFIG"] = str(kubeconfig or operator.api.kubeconfig)
        self.log = folder / "bot.log"
        self._process: subprocess.Popen[bytes] | None = None

    def token(self, text: str) -> None:
        """Write the file that it reads."""
        (self._folder / "token").write_text(text + "\n")

    def alive(self) -> bool:
        return http_ok(f"http://127.0.0.1:{self._port}/healthz")

    def start(self, **more: str) -> None:
        with self.log.open("ab") as sink:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "trawler_bot"],
                env={**os.environ, **self._env, **more},
                stdout=sink,
                stderr=sink,
            )

    def ready(self) -> bool:
        """Connected to Discord."""
        return http_ok(f"http://127.0.0.1:{self._port}/readyz")

    def died(self) -> bool:
        assert self._process is not None
        return self._process.poll() is not None

    def kill(self, signum: int = signal.SIGKILL) -> int:
        assert self._process is not None
        self._process.send_signal(signum)
        return self._process.wait(20)

    def stop(self) -> None:
        if self._process is not None and self._process.poll() is None:
            self.kill()
