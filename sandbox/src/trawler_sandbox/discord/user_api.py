"""The API that a user's own client calls: commands, autocomplete, buttons and modals."""

from typing import Any

from aiohttp import web

from trawler_sandbox.discord import bodies, commands, errors, serializers
from trawler_sandbox.discord.hub import Hub
from trawler_sandbox.discord.interactions import Interactions, Kind
from trawler_sandbox.discord.messages import Messages
from trawler_sandbox.discord.middleware import PREFIX, Middleware, nothing, reply
from trawler_sandbox.discord.world import Application, Channel, Message, User

Json = dict[str, Any]


class UserApi:
    """The routes for user tokens; bot tokens are refused."""

    def __init__(
        self, hub: Hub, messages: Messages, interactions: Interactions, answers: Middleware
    ) -> None:
        self._hub = hub
        self._messages = messages
        self._interactions = interactions
        self._answers = answers

    def routes(self) -> list[web.RouteDef]:
        """Routes below `/api/v10`, as Discord's client calls them."""
        return [
            web.post(PREFIX + "/interactions", self._interact),
            web.get(PREFIX + "/guilds/{guild}/application-command-index", self._index),
        ]

    def _person(self, request: web.Request) -> User:
        user = self._answers.who(request)
        if user.bot:
            raise errors.UNAUTHORIZED
        return user

    async def _index(self, request: web.Request) -> web.Response:
        """All commands that this user may use in a guild, and their applications."""
        user = self._person(request)
        guild = self._hub.world.guilds.get(int(request.match_info["guild"]))
        if guild is None or user.id not in guild.members:
            raise errors.unknown("Guild")
        there = [
            application
            for application in self._hub.world.applications.values()
            if application.id in guild.members or user.id in application.installed_by
        ]
        found = [c for a in there for s in (guild.id, None) for c in a.commands.get(s, [])]
        about = [
            {"id": str(a.id), "name": a.bot.name, "bot": serializers.user(a.bot)} for a in there
        ]
        return reply({"applications": about, "application_commands": found, "version": "1"})

    async def _interact(self, request: web.Request) -> web.Response:
        user = self._person(request)
        body, _ = await bodies.read(request, self._hub.folder)
        application = self._hub.world.applications.get(int(body["application_id"]))
        if application is None:
            raise errors.unknown("Application Command")
        channel = self._hub.channel(int(body["channel_id"]))
        kind = Kind(body["type"])
        message = self._pressed(user, channel, body) if "message_id" in body else None
        data = self._data(application, channel, kind, body["data"], message, user)
        self._interactions.begin(
            user, application, channel, kind, data, message=message, nonce=body.get("nonce")
        )
        return nothing()

    def _pressed(self, user: User, channel: Channel, body: Json) -> Message:
        message = channel.messages.get(int(body["message_id"]))
        if message is None or not message.visible_to(user.id):
            raise errors.unknown("Message")
        return message

    def _data(
        self,
        application: Application,
        channel: Channel,
        kind: Kind,
        data: Json,
        message: Message | None,
        user: User,
    ) -> Json:
        """The interaction data for the bot. A button must exist on the message, a command must be
        registered. Raises DiscordError.
        """
        if kind in {Kind.COMMAND, Kind.AUTOCOMPLETE}:
            command = commands.find(application, channel.guild_id, data)
            if kind is Kind.COMMAND:
                commands.check_given(command, data)
            found = {**data, "id": command["id"], "name": command["name"], "type": command["type"]}
            if command["type"] == commands.MESSAGE:
                found["resolved"] = self._resolved(channel, int(data["target_id"]), user)
            return found
        if kind is Kind.COMPONENT:
            rows = message.components if message is not None else []
            there = [c for row in rows for c in row.get("components", [])]
            mine = next((c for c in there if c.get("custom_id") == data["custom_id"]), None)
            if mine is None or mine.get("disabled"):
                raise errors.invalid_form(
                    "data.custom_id", "COMPONENT_VALIDATION_FAILED", "Component validation failed"
                )
            return {**data, "component_type": mine["type"]}
        return data

    def _resolved(self, channel: Channel, message_id: int, user: User) -> Json:
        target = self._messages.find(channel, message_id, user)
        shown = serializers.message(target, self._hub.link, viewer=user.id)
        return {"messages": {str(message_id): shown}}
