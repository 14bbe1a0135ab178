"""Incoming webhooks: created in a channel, and executed with their token."""

import secrets
from dataclasses import dataclass
from typing import Any

from trawler_sandbox.discord import errors
from trawler_sandbox.discord.drafts import Draft
from trawler_sandbox.discord.hub import Hub
from trawler_sandbox.discord.messages import Messages
from trawler_sandbox.discord.permissions import Permission
from trawler_sandbox.discord.world import Channel, Message, User

MOST = 15
"""Maximum number of webhooks of one channel (docs, JSON Error Codes: 30007)."""
FORBIDDEN = ("clyde", "discord")
"""Words that a name may not contain (docs, Create Webhook)."""


@dataclass
class Webhook:
    channel: Channel
    user: User
    """The author of its messages."""
    token: str


class Webhooks:
    """All webhooks, by id."""

    def __init__(self, hub: Hub, messages: Messages) -> None:
        self._hub = hub
        self._messages = messages
        self._known: dict[int, Webhook] = {}

    def create(self, user: User, channel: Channel, name: str) -> dict[str, Any]:
        """Create a webhook; the user needs Manage Webhooks. Raises DiscordError."""
        self._hub.require(channel, user, Permission.MANAGE_WEBHOOKS)
        if not 1 <= len(name) <= 80 or any(word in name.lower() for word in FORBIDDEN):
            raise errors.invalid_form("name", "USERNAME_INVALID", "This name is not allowed")
        if sum(each.channel is channel for each in self._known.values()) >= MOST:
            raise errors.DiscordError(400, 30007, "Maximum number of webhooks reached (15)")
        writer = User(self._hub.world.new_id(), name, secrets.token_urlsafe(24), bot=True)
        found = self._known[writer.id] = Webhook(channel, writer, secrets.token_urlsafe(40))
        return {
            "id": str(writer.id),
            "type": 1,
            "name": name,
            "avatar": None,
            "channel_id": str(channel.id),
            "guild_id": str(channel.guild_id),
            "application_id": None,
            "token": found.token,
            "url": f"{self._hub.address}/api/webhooks/{writer.id}/{found.token}",
        }

    def find(self, webhook_id: int, token: str) -> Webhook | None:
        """The webhook with this id and token, if it exists."""
        found = self._known.get(webhook_id)
        return found if found is not None and secrets.compare_digest(found.token, token) else None

    def execute(self, webhook: Webhook, draft: Draft) -> Message:
        """Send a message through a webhook. Its token is the only permission needed. Raises
        DiscordError.
        """
        draft.check_size(self._hub.world.guild_of(webhook.channel), 10 * 1024 * 1024)
        return self._messages.make(webhook.user, webhook.channel, draft)
