"""Interactions of users with a bot: started, answered in time or not, and followed up by token."""

import secrets
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

from trawler_sandbox.discord import commands, errors, permissions, serializers
from trawler_sandbox.discord.drafts import Draft, Upload
from trawler_sandbox.discord.hub import Event, Hub
from trawler_sandbox.discord.messages import Messages
from trawler_sandbox.discord.permissions import Permission
from trawler_sandbox.discord.world import MIB, Application, Channel, Guild, Message, User

Json = dict[str, Any]
LOADING = 1 << 7
FOLLOW_UPS = 5
"""Maximum follow-ups of an app that is only user-installed (docs: User-Installed Apps)."""
EXTERNAL = int(Permission.EMBED_LINKS | Permission.ATTACH_FILES | Permission.MENTION_EVERYONE)
"""`app_permissions` of such an app, and of any app in DMs (docs, Interaction: app_permissions)."""


class Kind(IntEnum):
    COMMAND = 2
    COMPONENT = 3
    AUTOCOMPLETE = 4
    MODAL = 5


class Callback(IntEnum):
    MESSAGE = 4
    DEFERRED_MESSAGE = 5
    DEFERRED_UPDATE = 6
    UPDATE = 7
    CHOICES = 8
    MODAL = 9


@dataclass
class Interaction:
    """One command, component, autocomplete or modal interaction."""

    id: int
    token: str
    application: Application
    kind: Kind
    user: User
    channel: Channel
    guild: Guild | None
    data: Json
    created: float
    most_bytes: int
    message: Message | None = None
    """The message that holds the component."""
    nonce: str | None = None
    response: Message | None = None
    answered_at: float | None = None
    deferred: bool = False
    ephemeral: bool = False
    follow_ups: int = 0


class Interactions:
    """All interactions, by token."""

    def __init__(self, hub: Hub, messages: Messages) -> None:
        self._hub = hub
        self._messages = messages
        self._by_token: dict[str, Interaction] = {}
        self._forms: dict[tuple[int, str], Interaction] = {}
        """(user id, custom_id) → the interaction that opened the modal."""

    # requests of users ------------------------------------------------------------------------

    def begin(
        self,
        user: User,
        application: Application,
        channel: Channel,
        kind: Kind,
        data: Json,
        *,
        message: Message | None = None,
        nonce: str | None = None,
    ) -> Interaction:
        """Start an interaction and notify the bot. Raises DiscordError if the user may not use its
        commands here.
        """
        if kind in {Kind.COMMAND, Kind.AUTOCOMPLETE}:
            self._hub.require(channel, user, Permission.USE_APPLICATION_COMMANDS)
        else:
            self._hub.require(channel, user)
        if kind is Kind.MODAL and (user.id, data.get("custom_id", "")) not in self._forms:
            raise errors.unknown("Interaction")
        guild = self._hub.world.guild_of(channel)
        found = Interaction(
            self._hub.world.new_id(),
            secrets.token_urlsafe(40),
            application,
            kind,
            user,
            channel,
            guild,
            data,
            self._hub.now(),
            max(guild.upload_bytes if guild else 10 * MIB, user.nitro_bytes),
            message=message,
            nonce=nonce,
        )
        self._by_token[found.token] = found
        self._hub.tell(
            Event(
                "INTERACTION_CREATE",
                lambda _: self._told(found),
                guild=guild,
                channel=channel,
                users={application.id},
            )
        )
        self._hub.later(self._hub.limits.answer_seconds, lambda: self._fail(found))
        return found

    def _fail(self, found: Interaction) -> None:
        if found.answered_at is None:
            self._say(found, "INTERACTION_FAILURE")

    def _say(self, found: Interaction, name: str, **more: Any) -> None:
        body = {"id": str(found.id), "nonce": found.nonce, **more}
        self._hub.tell(Event(name, lambda _: body, users={found.user.id}))

    def _told(self, of: Interaction) -> Json:
        guild, channel, bot = of.guild, of.channel, of.application.bot
        body: Json = {
            "id": str(of.id),
            "application_id": str(of.application.id),
            "type": int(of.kind),
            "token": of.token,
            "version": 1,
            "data": of.data,
            "channel_id": str(channel.id),
            "channel": serializers.channel(channel),
            "entitlements": [],
            "authorizing_integration_owners": self._owners(of),
            "context": 0 if guild else 1,
            "attachment_size_limit": of.most_bytes,
            "app_permissions": str(EXTERNAL),
            "locale": of.user.locale,
        }
        if guild is None:
            body["user"] = serializers.user(of.user)
        else:
            member = guild.members[of.user.id]
            mine = permissions.of(guild, channel, member)
            body |= {
                "guild_id": str(guild.id),
                "guild": {"id": str(guild.id), "locale": guild.locale, "features": []},
                "guild_locale": guild.locale,
                "member": {**serializers.member(member), "permissions": str(mine)},
            }
            there = guild.members.get(bot.id)
            may = permissions.of(guild, channel, there) if there else mine & EXTERNAL
            body["app_permissions"] = str(may)
        if of.message is not None:
            body["message"] = serializers.message(of.message, self._hub.link, viewer=bot.id)
        return body

    def _owners(self, of: Interaction) -> dict[str, str]:
        """The installations through which the app is available (docs: Authorizing Integration
        Owners Object).
        """
        found = {}
        if of.guild is None or of.application.id in of.guild.members:
            found["0"] = str(of.guild.id if of.guild else 0)
        if of.user.id in of.application.installed_by:
            found["1"] = str(of.user.id)
        return found

    def _is_external(self, of: Interaction) -> bool:
        """Whether the app is available only because this user installed it, and not the guild."""
        return of.guild is not None and of.application.id not in of.guild.members

    def _is_hidden(self, of: Interaction) -> bool:
        """Whether only this user sees the app's responses, whatever flags it sets (docs:
        User-Installed Apps).
        """
        if of.guild is None or not self._is_external(of):
            return False
        has = permissions.of(of.guild, of.channel, of.guild.members[of.user.id])
        return not has & Permission.USE_EXTERNAL_APPS

    # responses of the bot ---------------------------------------------------------------------

    def answer(
        self, interaction_id: int, token: str, body: Json, uploads: list[Upload]
    ) -> Interaction:
        """Apply the first response. Raises DiscordError if it is late or not the first."""
        found = self._by_token.get(token)
        if found is None or found.id != interaction_id:
            raise errors.unknown("Interaction")
        if found.answered_at is not None:
            raise errors.ANSWERED_ALREADY
        now = self._hub.now()
        if now - found.created > self._hub.limits.answer_seconds:
            raise errors.unknown("Interaction")
        self._apply(found, Callback(body["type"]), body.get("data") or {}, uploads)
        found.answered_at = now
        self._hub.counters.timings.append((found.kind.name.lower(), now - found.created))
        if found.kind is not Kind.AUTOCOMPLETE:
            self._say(found, "INTERACTION_SUCCESS")
        return found

    def _apply(self, found: Interaction, kind: Callback, data: Json, uploads: list[Upload]) -> None:
        match kind:
            case Callback.MESSAGE:
                found.response = self._respond(found, Draft.parse(data, uploads))
            case Callback.DEFERRED_MESSAGE:
                found.deferred, found.ephemeral = True, bool((data.get("flags") or 0) & (1 << 6))
                waits = Draft(given=frozenset(), content="\u2026", flags=LOADING)
                found.response = self._make(found, waits, ephemeral=found.ephemeral)
            case Callback.DEFERRED_UPDATE:
                found.response = found.message
            case Callback.UPDATE:
                if found.message is None:
                    raise errors.invalid_form("type", "INVALID", "There is no message to update")
                draft = Draft.parse(data, uploads)
                found.response = self._messages.edit(
                    found.application.bot, found.message, draft, most=found.most_bytes
                )
            case Callback.CHOICES:
                choices = data.get("choices") or []
                commands.check_choices(choices)
                self._say(found, "APPLICATION_COMMAND_AUTOCOMPLETE_RESPONSE", choices=choices)
            case Callback.MODAL:
                self._forms[found.user.id, data["custom_id"]] = found
                self._say(found, "INTERACTION_MODAL_CREATE", **data)

    def _respond(self, found: Interaction, draft: Draft) -> Message:
        draft.check_size(found.guild, found.most_bytes)
        return self._make(found, draft, ephemeral=draft.ephemeral)

    def _make(self, found: Interaction, draft: Draft, *, ephemeral: bool) -> Message:
        return self._messages.make(
            found.application.bot,
            found.channel,
            draft,
            metadata=self._metadata(found),
            application_id=found.application.id,
            for_user=found.user.id if ephemeral or self._is_hidden(found) else None,
        )

    def _metadata(self, found: Interaction) -> Json:
        metadata: Json = {
            "id": str(found.id),
            "type": int(found.kind),
            "user": serializers.user(found.user),
            "authorizing_integration_owners": self._owners(found),
        }
        if found.kind is Kind.COMPONENT and found.message is not None:
            metadata["interacted_message_id"] = str(found.message.id)
        elif found.kind is Kind.MODAL:
            shown_by = self._forms[found.user.id, found.data["custom_id"]]
            metadata["triggering_interaction_metadata"] = self._metadata(shown_by)
        elif "name" in found.data:
            parts = [each["name"] for each in found.data.get("options") or [] if each["type"] == 1]
            metadata["name"] = " ".join([found.data["name"], *parts])
        return metadata

    # follow-ups by token ----------------------------------------------------------------------

    def by_token(self, application_id: int, token: str) -> Interaction:
        """The interaction of a token. Raises DiscordError if the token is unknown or expired."""
        found = self._by_token.get(token)
        if found is None or found.application.id != application_id:
            raise errors.unknown("Webhook")
        if self._hub.now() - found.created > self._hub.limits.token_seconds:
            raise errors.TOKEN_EXPIRED
        return found

    def original(self, found: Interaction) -> Message:
        """The message of the first response. Raises DiscordError if it no longer exists."""
        message = found.response
        if message is None or message.id not in message.channel.messages:
            raise errors.unknown("Message")
        return message

    def followed_up(self, found: Interaction, message_id: int) -> Message:
        """A message of this interaction, by id. Raises DiscordError if there is none."""
        message = found.channel.messages.get(message_id)
        mine = message is not None and message.metadata is not None
        if message is None or not mine or (message.metadata or {})["id"] != str(found.id):
            raise errors.unknown("Message")
        return message

    def follow_up(self, found: Interaction, draft: Draft) -> Message:
        """Send a follow-up message. The first one after a deferral fills the deferred response."""
        if found.answered_at is None:
            raise errors.unknown("Webhook")
        if found.deferred and found.response is not None:
            return self.edit(found, found.response, draft)
        found.follow_ups += 1
        if self._is_external(found) and found.follow_ups > FOLLOW_UPS:
            raise errors.TOO_MANY_FOLLOW_UPS
        return self._respond(found, draft)

    def edit(self, found: Interaction, message: Message, draft: Draft) -> Message:
        """Edit a message with the token. The first edit of a deferred response fills it."""
        if message is found.response and found.deferred:
            found.deferred = False
            message.flags &= ~LOADING
            draft.given |= {"content"}
        return self._messages.edit(found.application.bot, message, draft, most=found.most_bytes)
