"""The bot as a process, for tests, and what they look for in a channel."""

import asyncio
import os
import secrets
import signal
from pathlib import Path
from typing import Any

from cryptography.fernet import Fernet

import forkserver
from emulated import API, Person
from operator_process import Operator
from servers import free_port, http_ok, tail
from stack import Stack


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
        start: forkserver.Starter = forkserver.cold,
    ) -> None:
        self._start = start
        folder.mkdir(exist_ok=True)
        self._folder = folder
        self.token(token)
        (folder / "database").write_text(database)
        (folder / "key").write_bytes(Fernet.generate_key())
        beside = operator.env(
            "NATS_URL", "S3_ENDPOINT", "S3_PREFIX", "S3_CREDENTIALS", "EGRESS_ALLOW", "INSTALL"
        )
        self._port = free_port()
        self.links_port = free_port()
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
            "SHRINK": "false",  # most tests are about what is too large
            "HEALTH_PORT": str(self._port),
        }
        self._env = {f"TRAWLER_BOT_{key}": value for key, value in {**beside, **mine}.items()}
        self._env["KUBECONFIG"] = str(kubeconfig or operator.api.kubeconfig)
        self.log = folder / "bot.log"
        self._process: forkserver.Process | None = None

    def token(self, text: str) -> None:
        """Write the file that it reads."""
        (self._folder / "token").write_text(text + "\n")

    def alive(self) -> bool:
        return http_ok(f"http://127.0.0.1:{self._port}/healthz")

    def start(self, *, clock: str | None = None, **more: str) -> None:
        """Start it, with further environment, and perhaps with a clock set wrong (`+70s`)."""
        env = {**os.environ, **self._env, **more}
        if clock is None:
            self._process = self._start("trawler_bot", env, self.log)
        else:
            # `faketime` keeps the bot as its child: both are ended, as a group
            faked = ("faketime", "-f", clock)
            self._process = forkserver.cold("trawler_bot", env, self.log, before=faked)

    def ready(self) -> bool:
        """Connected to Discord."""
        return http_ok(f"http://127.0.0.1:{self._port}/readyz")

    def logs(self) -> dict[str, str]:
        """What it said last."""
        return {"bot": tail(self.log)}

    def died(self) -> bool:
        return self.exit_code is not None

    @property
    def exit_code(self) -> int | None:
        """With which it ended; None while it runs."""
        assert self._process is not None
        return self._process.poll()

    def kill(self, signum: int = signal.SIGKILL) -> int:
        assert self._process is not None
        os.killpg(self._process.pid, signum)
        return self._process.wait(20)

    def stop(self) -> None:
        if self._process is not None and self._process.poll() is None:
            self.kill()


def link(stack: Stack, size: int = 200_000, rate: int = 0) -> str:
    """A video of so many bytes, at so many a second."""
    words = f"bytes={size}" + (f"&rate={rate}" if rate else "")
    return f"{stack.address}/video/{secrets.token_hex(6)}.mp4?{words}"


async def publishing(stack: Stack, bot: BotProcess) -> None:
    """Start it anew, with a public address for files that are too large."""
    port = bot.links_port
    bot.kill()
    bot.start(
        TRAWLER_BOT_LINKS_PUBLIC_URL=f"http://127.0.0.1:{port}", TRAWLER_BOT_LINKS_PORT=str(port)
    )
    await stack.until(bot.ready, what="the bot")


async def ended(person: Person, message_id: str) -> dict[str, Any]:
    """A message that shows how it ended: it offers to try again, or the first of a list."""
    async with asyncio.timeout(60):
        while True:
            seen = [b for n, b in person.heard if n.startswith("MESSAGE_")]
            mine = [b for b in seen if b["id"] == message_id]
            shown = str(mine[-1].get("components")) if mine else ""
            if "trawler:retry:" in shown or "trawler:first:" in shown:
                return mine[-1]
            await asyncio.sleep(0.05)


def button(message: dict[str, Any], label: str) -> str:
    """The custom_id of a button."""
    return next(
        str(each["custom_id"])
        for row in message["components"]
        for each in row["components"]
        if each.get("label") == label
    )


def outcomes(stack: Stack) -> set[tuple[str, str]]:
    """(status, reason) of the condition Delivered, of all jobs."""
    return set(deliveries(stack))


def deliveries(stack: Stack) -> list[tuple[str, str]]:
    """The same, once for each job that has it."""
    found = [c for job in stack.jobs().values() for c in job.status.conditions or ()]
    return [(str(c.status), str(c.reason)) for c in found if c.type == "Delivered"]


async def delivered(stack: Stack, reason: str, status: str = "False") -> None:
    """Wait until a job has this condition."""
    await stack.until(
        lambda: (status, reason) in outcomes(stack), what=f"Delivered={status} {reason}"
    )
