"""The routes of Discord's REST API that a bot uses, and those that the emulator's own client uses
to act as users.
"""

from typing import Any

from aiohttp import web

from trawler_sandbox.discord import bodies, commands, errors, serializers
from trawler_sandbox.discord.drafts import Draft, truth
from trawler_sandbox.discord.gateway import MESSAGE_CONTENT, Gateway
from trawler_sandbox.discord.hub import Hub, Listener
from trawler_sandbox.discord.interactions import Interaction, Interactions
from trawler_sandbox.discord.messages import Messages
from trawler_sandbox.discord.middleware import PREFIX, Middleware, nothing, reply
from trawler_sandbox.discord.permissions import Permission
from trawler_sandbox.discord.webhooks import Webhooks
from trawler_sandbox.discord.world import MIB, Application, Channel, Message, User


class Rest:
    """Each handler reads a request, delegates one operation and returns its result."""

    def __init__(
        self,
        hub: Hub,
        messages: Messages,
        interactions: Interactions,
        gateway: Gateway,
        answers: Middleware,
    ) -> None:
        self._hub = hub
        self._messages = messages
        self._interactions = interactions
        self._gateway = gateway
        self._who = answers.who
        self._webhooks = Webhooks(hub, messages)

    def routes(self) -> list[web.RouteDef]:
        """Routes below `/api/v10`."""
        one = "/channels/{channel}/messages/{message}"
        original = "/webhooks/{webhook}/{webhook_token}/messages/{message}"
        table = {
            ("GET", "/users/@me"): self._me,
            ("GET", "/users/{user}"): self._user,
            ("POST", "/users/@me/channels"): self._dm,
            ("GET", "/applications/@me"): self._application,
            ("GET", "/oauth2/applications/@me"): self._application,
            ("GET", "/gateway/bot"): self._gateway_bot,
            ("GET", "/guilds/{guild}"): self._guild,
            ("GET", "/guilds/{guild}/members/{user}"): self._member,
            ("GET", "/channels/{channel}"): self._channel,
            ("DELETE", "/channels/{channel}"): self._delete_channel,
            ("POST", "/channels/{channel}/typing"): self._typing,
            ("GET", "/channels/{channel}/messages"): self._history,
            ("POST", "/channels/{channel}/messages"): self._send,
            ("GET", one): self._get,
            ("PATCH", one): self._edit,
            ("DELETE", one): self._delete,
            ("PUT", one + "/reactions/{emoji}/@me"): self._react,
            ("DELETE", one + "/reactions/{emoji}/@me"): self._react,
            ("POST", one + "/threads"): self._thread,
            ("GET", "/applications/{application}/commands"): self._commands,
            ("PUT", "/applications/{application}/commands"): self._register,
            ("GET", "/applications/{application}/guilds/{guild}/commands"): self._commands,
            ("PUT", "/applications/{application}/guilds/{guild}/commands"): self._register,
            ("POST", "/interactions/{interaction}/{interaction_token}/callback"): self._callback,
            ("POST", "/channels/{channel}/webhooks"): self._webhook,
            ("POST", "/webhooks/{webhook}/{webhook_token}"): self._follow_up,
            ("GET", original): self._original,
            ("PATCH", original): self._edit_original,
            ("DELETE", original): self._delete_original,
        }
        return [web.route(method, PREFIX + path, does) for (method, path), does in table.items()]

    # users, guilds and applications -----------------------------------------------------------

    def _bot(self, request: web.Request) -> Application:
        application = self._hub.world.applications.get(self._who(request).id)
        if application is None:
            raise errors.UNAUTHORIZED
        return application

    def _place(self, request: web.Request) -> tuple[User, Channel]:
        return self._who(request), self._hub.channel(int(request.match_info["channel"]))

    def _one(self, request: web.Request) -> tuple[User, Message]:
        user, channel = self._place(request)
        return user, self._messages.find(channel, int(request.match_info["message"]), user)

    def _shown(self, message: Message, viewer: User) -> dict[str, Any]:
        application = self._hub.world.applications.get(viewer.id)
        reads = application is None or bool(application.privileged & MESSAGE_CONTENT)
        return self._messages.shown(message, Listener(viewer, reads))

    async def _me(self, request: web.Request) -> web.Response:
        return reply(serializers.me(self._who(request)))

    async def _user(self, request: web.Request) -> web.Response:
        self._who(request)
        found = self._hub.world.users.get(int(request.match_info["user"]))
        if found is None:
            raise errors.unknown("User")
        return reply(serializers.user(found))

    async def _dm(self, request: web.Request) -> web.Response:
        user = self._who(request)
        body, _ = await bodies.read(request, self._hub.folder)
        other = self._hub.world.users.get(int(body["recipient_id"]))
        if other is None:
            raise errors.unknown("User")
        return reply(serializers.channel(self._hub.world.dm(user, other)))

    async def _application(self, request: web.Request) -> web.Response:
        application = self._bot(request)
        return reply(
            serializers.application(application, next(iter(self._hub.world.users.values())))
        )

    async def _gateway_bot(self, request: web.Request) -> web.Response:
        self._bot(request)
        limits = self._hub.limits
        return reply(
            {
                "url": self._gateway.url(),
                "shards": limits.shards,
                "session_start_limit": {
                    "total": limits.identifies,
                    "remaining": max(0, self._gateway.remaining()),
                    "reset_after": 14_400_000,
                    "max_concurrency": limits.max_concurrency,
                },
            }
        )

    async def _guild(self, request: web.Request) -> web.Response:
        user = self._who(request)
        guild = self._hub.world.guilds.get(int(request.match_info["guild"]))
        if guild is None or user.id not in guild.members:
            raise errors.unknown("Guild")
        return reply(serializers.guild(guild))

    async def _member(self, request: web.Request) -> web.Response:
        user = self._who(request)
        guild = self._hub.world.guilds.get(int(request.match_info["guild"]))
        if guild is None or user.id not in guild.members:
            raise errors.unknown("Guild")
        found = guild.members.get(int(request.match_info["user"]))
        if found is None:
            raise errors.unknown("Member")
        return reply(serializers.member(found))

    # channels and messages --------------------------------------------------------------------

    async def _channel(self, request: web.Request) -> web.Response:
        user, channel = self._place(request)
        self._hub.require(channel, user)
        return reply(serializers.channel(channel))

    async def _delete_channel(self, request: web.Request) -> web.Response:
        user, channel = self._place(request)
        managing = Permission.MANAGE_THREADS if channel.is_thread else Permission.MANAGE_CHANNELS
        self._hub.require(channel, user, managing)
        self._messages.remove_channel(channel)
        return reply(serializers.channel(channel))

    async def _typing(self, request: web.Request) -> web.Response:
        user, channel = self._place(request)
        self._hub.require(channel, user, Permission.SEND_MESSAGES)
        return nothing()

    async def _history(self, request: web.Request) -> web.Response:
        user, channel = self._place(request)
        self._hub.require(channel, user, Permission.READ_MESSAGE_HISTORY)
        before = int(request.query.get("before", 1 << 63))
        after = int(request.query.get("after", 0))
        limit = min(100, int(request.query.get("limit", 50)))
        seen = [
            message
            for message in reversed(channel.messages.values())
            if after < message.id < before
            and message.for_user is None  # ephemeral messages are not part of the history
        ]
        found = seen[-limit:] if after else seen[:limit]
        return reply([self._shown(message, user) for message in found])

    async def _send(self, request: web.Request) -> web.Response:
        user, channel = self._place(request)
        body, uploads = await bodies.read(request, self._hub.folder)
        message = self._messages.send(user, channel, Draft.parse(body, uploads))
        return reply(self._shown(message, user))

    async def _get(self, request: web.Request) -> web.Response:
        user, message = self._one(request)
        self._hub.require(message.channel, user, Permission.READ_MESSAGE_HISTORY)
        return reply(self._shown(message, user))

    async def _edit(self, request: web.Request) -> web.Response:
        user, message = self._one(request)
        body, uploads = await bodies.read(request, self._hub.folder)
        if uploads:
            self._hub.require(message.channel, user, Permission.ATTACH_FILES)
        guild = self._hub.world.guild_of(message.channel)
        most = guild.upload_bytes if guild is not None else 10 * MIB
        draft = Draft.parse(body, uploads)
        return reply(self._shown(self._messages.edit(user, message, draft, most=most), user))

    async def _delete(self, request: web.Request) -> web.Response:
        user, message = self._one(request)
        if message.author is not user:
            self._hub.require(message.channel, user, Permission.MANAGE_MESSAGES)
        self._messages.delete(message)
        return nothing()

    async def _react(self, request: web.Request) -> web.Response:
        user, message = self._one(request)
        add = request.method == "PUT"
        if add:
            self._hub.require(message.channel, user, Permission.ADD_REACTIONS)
        self._messages.react(user, message, request.match_info["emoji"], add=add)
        return nothing()

    async def _thread(self, request: web.Request) -> web.Response:
        user, message = self._one(request)
        body, _ = await bodies.read(request, self._hub.folder)
        thread = self._messages.start_thread(user, message, str(body["name"]))
        return reply(serializers.channel(thread), 201)

    # commands ---------------------------------------------------------------------------------

    def _scope(self, request: web.Request) -> tuple[Application, int | None]:
        application = self._hub.world.applications.get(int(request.match_info["application"]))
        user = self._who(request)
        if application is None or (user.bot and user is not application.bot):
            raise errors.MISSING_ACCESS
        guild = request.match_info.get("guild")
        return application, int(guild) if guild is not None else None

    async def _commands(self, request: web.Request) -> web.Response:
        application, guild_id = self._scope(request)
        return reply(application.commands.get(guild_id, []))

    async def _register(self, request: web.Request) -> web.Response:
        application, guild_id = self._scope(request)
        self._bot(request)
        body, _ = await bodies.read(request, self._hub.folder)
        return reply(commands.register(self._hub.world, application, guild_id, body))

    # interactions -----------------------------------------------------------------------------

    async def _callback(self, request: web.Request) -> web.Response:
        body, uploads = await bodies.read(request, self._hub.folder)
        info = request.match_info
        found = self._interactions.answer(
            int(info["interaction"]), info["interaction_token"], body, uploads
        )
        if not truth(request.query.get("with_response", "false")):
            return nothing()
        about: dict[str, Any] = {"id": str(found.id), "type": int(found.kind)}
        answer: dict[str, Any] = {"interaction": about}
        if found.response is not None:
            about["response_message_id"] = str(found.response.id)
            about["response_message_loading"] = found.deferred
            about["response_message_ephemeral"] = found.response.for_user is not None
            if body["type"] in {4, 5, 7}:
                message = self._shown(found.response, found.application.bot)
                # the OpenAPI description has no 5 here: a deferred response is a created message
                answer["resource"] = {"type": 7 if body["type"] == 7 else 4, "message": message}
        return reply(answer)

    def _by_token(self, request: web.Request) -> Interaction:
        info = request.match_info
        return self._interactions.by_token(int(info["webhook"]), info["webhook_token"])

    def _named(self, request: web.Request) -> tuple[Interaction, Message]:
        found = self._by_token(request)
        name = request.match_info["message"]
        if name == "@original":
            return found, self._interactions.original(found)
        return found, self._interactions.followed_up(found, int(name))

    async def _webhook(self, request: web.Request) -> web.Response:
        user, channel = self._place(request)
        body, _ = await bodies.read(request, self._hub.folder)
        return reply(self._webhooks.create(user, channel, str(body.get("name", ""))))

    async def _follow_up(self, request: web.Request) -> web.Response:
        info = request.match_info
        hook = self._webhooks.find(int(info["webhook"]), info["webhook_token"])
        if hook is not None:
            body, uploads = await bodies.read(request, self._hub.folder)
            made = self._webhooks.execute(hook, Draft.parse(body, uploads))
            waits = truth(request.query.get("wait", "false"))
            return reply(self._shown(made, hook.user)) if waits else nothing()
        found = self._by_token(request)
        body, uploads = await bodies.read(request, self._hub.folder)
        message = self._interactions.follow_up(found, Draft.parse(body, uploads))
        if not truth(request.query.get("wait", "false")):
            return nothing()
        return reply(self._shown(message, found.application.bot))

    async def _original(self, request: web.Request) -> web.Response:
        found, message = self._named(request)
        return reply(self._shown(message, found.application.bot))

    async def _edit_original(self, request: web.Request) -> web.Response:
        found, message = self._named(request)
        body, uploads = await bodies.read(request, self._hub.folder)
        edited = self._interactions.edit(found, message, Draft.parse(body, uploads))
        return reply(self._shown(edited, found.application.bot))

    async def _delete_original(self, request: web.Request) -> web.Response:
        _, message = self._named(request)
        self._messages.delete(message)
        return nothing()
