"""The Discord in a box, as a person with a client of his own uses it: `POST /interactions`,
messages read, attachments fetched. Nothing here knows the bot.
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
    """One person in the first channel of the first guild."""

    address: str
    client: httpx.Client
    guild: str = ""
    channel: str = ""
    token: str = ""
    _nonces: "itertools.count[int]" = field(default_factory=itertools.count)

    @classmethod
    @contextmanager
    def entered(cls, address: str, *, name: str = "ben") -> Iterator["SandboxClient"]:
        """Once it answers, for the length of a block. Raises CommandFailed after a minute."""
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
        """Raises CommandFailed with what was refused."""
        answer = self.client.request(
            method, self.address + API + path, json=body, headers={"Authorization": self.token}
        )
        if answer.is_error:
            raise CommandFailed(f"{method} {path}: {answer.status_code} {answer.text[:300]}")
        return answer.json() if answer.content else None

    def command(self, name: str) -> dict[str, Any]:
        """A command of any bot here, once one has registered it."""
        found: list[dict[str, Any]] = []

        def registered() -> bool:
            index = self.ask("GET", f"/guilds/{self.guild}/application-command-index")
            found.extend(c for c in index["application_commands"] if c["name"] == name)
            return bool(found)

        shell.wait_until(registered, what=f"a bot with /{name}", timeout=PATIENCE)
        return found[0]

    def control(self, path: str, **body: Any) -> Any:
        """The hidden side of the box: what no person can do."""
        if not body:
            return self.client.get(f"{self.address}/_control/{path}").json()
        return self.client.post(f"{self.address}/_control/{path}", json=body).json()

    def use(self, command: dict[str, Any], **options: Any) -> None:
        """Type a slash command, its options as text."""
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
        """The newest of the channel, the newest first."""
        found: list[dict[str, Any]] = self.ask("GET", f"/channels/{self.channel}/messages?limit=50")
        return found

    def attachment(self, of: dict[str, Any]) -> bytes:
        """The bytes of one; its address is the cluster's, ours is another."""
        answer = self.client.get(self.address + httpx.URL(of["url"]).path)
        answer.raise_for_status()
        return answer.content
