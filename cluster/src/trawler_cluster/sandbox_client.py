"""A client of the Discord emulator that acts as a user: it posts to `/interactions`, reads messages
and downloads attachments. Nothing here depends on the bot.
"""

import itertools
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final

import httpx

from trawler_cluster import shell
from trawler_cluster.errors import CommandFailed

API: Final = "/api/v10"
SLASH: Final = 2
PATIENCE: Final = 60.0


@dataclass
class SandboxClient:
    """A user in the first channel of the first guild."""

    address: str
    client: httpx.Client
    guild: str = ""
    channel: str = ""
    token: str = ""
    _nonces: "itertools.count[int]" = field(default_factory=itertools.count)

    @classmethod
    @contextmanager
    def entered(cls, address: str, *, name: str = "ben") -> Iterator["SandboxClient"]:
        """Wait until the emulator answers, then act as a user within a block. Raises CommandFailed
        after a minute.
        """
        with httpx.Client(timeout=20, trust_env=False) as client:
            found = cls(address, client)
            found._enter(name)
            yield found

    def _enter(self, name: str) -> None:
        known: list[dict[str, Any]] = []

        def answers() -> bool:
            try:
                answer = self.client.get(f"{self.address}/_control/people")
            except httpx.TransportError:
                return False
            if answer.status_code == httpx.codes.OK:
                known.append(answer.json())
            return bool(known)

        shell.wait_until(answers, what=f"the Discord in a box at {self.address}", timeout=PATIENCE)
        guild = known[0]["guilds"][0]
        self.guild, self.channel = guild["id"], guild["channels"][0]["id"]
        self.token = next(p["token"] for p in known[0]["people"] if p["name"] == name)

    def ask(self, method: str, path: str, body: Any = None) -> Any:
        """Send a request to the REST API. Raises CommandFailed with the answer if refused."""
        answer = self.client.request(
            method, self.address + API + path, json=body, headers={"Authorization": self.token}
        )
        if answer.is_error:
            raise CommandFailed(f"{method} {path}: {answer.status_code} {answer.text[:300]}")
        return answer.json() if answer.content else None

    def command(self, name: str) -> dict[str, Any]:
        """Wait until a bot has registered a command, and return it. Raises CommandFailed after a
        minute.
        """
        found: list[dict[str, Any]] = []

        def registered() -> bool:
            index = self.ask("GET", f"/guilds/{self.guild}/application-command-index")
            found.extend(c for c in index["application_commands"] if c["name"] == name)
            return bool(found)

        shell.wait_until(registered, what=f"a bot with /{name}", timeout=PATIENCE)
        return found[0]

    def control(self, path: str, **body: Any) -> Any:
        """Call the emulator's control API, which can do what no user can."""
        if not body:
            return self.client.get(f"{self.address}/_control/{path}").json()
        return self.client.post(f"{self.address}/_control/{path}", json=body).json()

    def use(self, command: dict[str, Any], **options: Any) -> None:
        """Send a slash command; all its options are strings."""
        given = [{"type": 3, "name": name, "value": value} for name, value in options.items()]
        body = {
            "type": SLASH,
            "application_id": command["application_id"],
            "guild_id": self.guild,
            "channel_id": self.channel,
            "session_id": "demo",
            "nonce": f"demo-{next(self._nonces)}",
            "data": {"id": command["id"], "name": command["name"], "type": 1, "options": given},
        }
        self.ask("POST", "/interactions", body)

    def messages(self) -> list[dict[str, Any]]:
        """The channel's latest messages, newest first."""
        found: list[dict[str, Any]] = self.ask("GET", f"/channels/{self.channel}/messages?limit=50")
        return found

    def attachment(self, of: dict[str, Any]) -> bytes:
        """Download an attachment. Only the path of its URL is used: the host is valid only in the
        cluster.
        """
        answer = self.client.get(self.address + httpx.URL(of["url"]).path)
        answer.raise_for_status()
        return answer.content
