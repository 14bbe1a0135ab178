"""The messages of one job. They are written with the interaction's token while it is valid,
otherwise with the bot's own permissions. Nothing else edits a message.
"""

import time
from collections import OrderedDict
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, Final, cast

import aiohttp
import discord

from trawler_bot.delivery.upload_limits import Route
from trawler_bot.presentation.rendering import Reply
from trawler_bot.storage.database import InteractionToken
from trawler_crds.media_job import DeliveryStatus, DiscordDelivery

ORIGINAL: Final = cast("int", "@original")
"""In place of a message id: the response to the interaction, or the message whose button was
pressed.
"""
EXPIRED: Final = {50027, 10015}
"""Error codes for a token that has expired or that Discord does not know."""

UNSURE: Final = (OSError, aiohttp.ClientError)
"""Network errors that ended a request: it is unknown whether Discord carried it out."""
DELETIONS: Final = 10_000
_QUIET: Final = discord.AllowedMentions.none()


class Unreachable(Exception):
    """Only a token can write the message, for example an ephemeral one, and there is none left."""


class TokenEnded(Exception):
    """The token expired earlier than its age suggested."""


class OwnDeletions:
    """Ids of messages that we delete ourselves, so that their events are not mistaken for a
    moderator's deletions. Bounded.
    """

    def __init__(self) -> None:
        self._ids: OrderedDict[int, None] = OrderedDict()

    def add(self, message_id: int) -> None:
        self._ids[message_id] = None
        if len(self._ids) > DELETIONS:
            self._ids.popitem(last=False)

    def __contains__(self, message_id: int) -> bool:
        return message_id in self._ids


class JobMessage:
    """The first message of a job, which is edited, and its further messages. An edit sends the
    whole content, so each edit can be repeated.
    """

    def __init__(
        self,
        client: discord.Client,
        where: DiscordDelivery,
        noted: DeliveryStatus | None,
        token: InteractionToken | None,
        deletions: OwnDeletions,
        *,
        own: bool = False,
    ) -> None:
        noted = noted or DeliveryStatus()
        self._client = client
        self._deletions = deletions
        self.where = where
        self.message_id = int(noted.message_id) if noted.message_id else None
        self.channel_id = int(noted.channel_id or where.channel_id)
        self.direct = noted.channel_id is not None
        """Whether it became a direct message because nothing else could be written any more."""
        self.further = [int(each) for each in noted.further_message_ids or ()]
        """Messages with further files, in order."""
        self.call = int(noted.call_message_id) if noted.call_message_id else None
        """The reply that notified the requester."""
        self._token = token
        self._own = own
        """Whether Discord does not show who requested it, because the message is no response to an
        interaction.
        """
        self._sees: bool | None = None

    @property
    def guild(self) -> discord.Guild | None:
        """The server of the message; None for direct messages, wherever they were requested."""
        guild_id = None if self.direct else self.where.guild_id
        return self._client.get_guild(int(guild_id)) if guild_id else None

    @property
    def by_token_only(self) -> bool:
        """Whether only a token can write the message: it is ephemeral, or the bot is not in the
        channel.
        """
        return (self.where.private or self.where.external) and not self.direct

    @property
    def channel(self) -> discord.PartialMessageable:
        guild_id = self.guild.id if self.guild else None
        return self._client.get_partial_messageable(self.channel_id, guild_id=guild_id)

    @property
    def guild_id(self) -> int:
        return 0 if self.direct else int(self.where.guild_id or 0)

    @property
    def route(self) -> Route:
        """How the message is written now. Read it before each edit: a token expires in between."""
        alive = self._token is not None and self._token.alive(time.time())
        return Route.TOKEN if alive else Route.CHANNEL

    @property
    def bucket(self) -> str:
        """The rate limit bucket of the message, as `rate_limits` names it."""
        if self.route is Route.TOKEN and self._token is not None:
            return f"webhooks/{self._client.application_id}/{self._token.token}"
        return f"channels/{self.channel_id}"

    @property
    def announced(self) -> int:
        """Maximum bytes of one file, as Discord announces it."""
        if self.route is Route.TOKEN and self._token is not None:
            return self._token.most_bytes
        return self._of_channel()

    @property
    def beside(self) -> tuple[Route, int]:
        """The route of a further message, and the maximum bytes of one file there, as Discord
        announces it.
        """
        if self.by_token_only:
            return self.route, self.announced
        return Route.CHANNEL, self._of_channel()

    def _of_channel(self) -> int:
        guild = self.guild
        return guild.filesize_limit if guild else discord.utils.DEFAULT_FILE_SIZE_LIMIT_BYTES

    def noted(self) -> DeliveryStatus:
        """The value for `status.delivery`."""
        return DeliveryStatus(
            message_id=str(self.message_id) if self.message_id else None,
            channel_id=str(self.channel_id) if self.direct else None,
            further_message_ids=[str(each) for each in self.further] or None,
            call_message_id=str(self.call) if self.call else None,
        )

    # the first message ------------------------------------------------------------------------

    async def edit(self, reply: Reply, files: Sequence[discord.File] | None) -> None:
        """Edit the first message. Without `files` the attached files stay. Raises TokenEnded (a
        retry uses another route, with another limit), Unreachable, discord.HTTPException.
        """
        content = self._content(reply)
        if files is not None:
            content["attachments"] = list(files)
        if self.route is Route.TOKEN and self._token is not None:
            try:
                await self._hook(self._token).edit_message(ORIGINAL, **content)
            except discord.HTTPException as error:
                if error.code in EXPIRED:
                    self._token = None
                    raise TokenEnded from error
                raise
            return
        if self.by_token_only or self.message_id is None:
            raise Unreachable
        await self.channel.get_partial_message(self.message_id).edit(**content)

    async def go_direct(self) -> None:
        """Turn it into a direct message to the requester, which is not sent yet. Raises
        discord.HTTPException.
        """
        person = await self._client.fetch_user(int(self.where.requester_id))
        self.channel_id = (await person.create_dm()).id
        self.direct, self._token = True, None
        self.message_id, self.further, self.call = None, [], None

    async def anew(self, reply: Reply, files: Sequence[discord.File], nonce: str) -> None:
        """Send the reply as a new message, which replaces the first one. The old message is deleted
        if there is one. Raises discord.HTTPException.
        """
        before = self.message_id
        self._own = not self.direct
        content = self._content(reply)
        sent = await self.channel.send(
            content["content"],
            view=content["view"] or discord.utils.MISSING,
            files=list(files),
            nonce=nonce,
            allowed_mentions=_QUIET,
        )
        self.message_id = sent.id
        if before is not None and before != sent.id and not self.by_token_only:
            await self._delete(before)

    # further messages -------------------------------------------------------------------------

    async def put(self, at: int, files: Sequence[discord.File], nonce: str) -> None:
        """Write files to the further message at this position: edit it if it exists, otherwise send
        it, with the visibility of the first message. Raises discord.HTTPException, Unreachable.
        """
        if at < len(self.further):
            try:
                await self._edit_beside(self.further[at], files)
                return
            except discord.NotFound:  # it was deleted, or an earlier interaction sent it
                del self.further[at]
        self.further.insert(at, await self._send(files, nonce))

    async def _edit_beside(self, message_id: int, files: Sequence[discord.File]) -> None:
        content: dict[str, Any] = {"attachments": list(files), "allowed_mentions": _QUIET}
        if not self.by_token_only:
            await self.channel.get_partial_message(message_id).edit(**content)
        elif self.route is not Route.TOKEN or self._token is None:
            raise Unreachable
        else:
            await self._hook(self._token).edit_message(message_id, **content)

    async def _send(self, files: Sequence[discord.File], nonce: str) -> int:
        if not self.by_token_only:
            sent = await self.channel.send(files=files, nonce=nonce, allowed_mentions=_QUIET)
            return sent.id
        if self.route is not Route.TOKEN or self._token is None:
            raise Unreachable
        hook = self._hook(self._token)
        made = await hook.send(
            files=files, ephemeral=self.where.private, wait=True, allowed_mentions=_QUIET
        )
        return made.id

    async def trim(self, kept: int) -> None:
        """Delete all but the first `kept` further messages, and the reply that notified about an
        earlier result. Messages that cannot be deleted stay.
        """
        beyond, self.further = self.further[kept:], self.further[:kept]
        if self.call is not None:
            beyond.append(self.call)
            self.call = None
        for message_id in beyond:
            await self._delete(message_id)

    async def remove_beside(self) -> None:
        """Delete all messages but the first, as far as possible."""
        await self.trim(0)

    async def _delete(self, message_id: int) -> None:
        self._deletions.add(message_id)
        with suppress(discord.HTTPException, *UNSURE):
            if self.by_token_only and self._token is not None and self.route is Route.TOKEN:
                await self._hook(self._token).delete_message(message_id)
            elif not self.by_token_only:
                await self.channel.get_partial_message(message_id).delete()

    async def ring(self, words: str, nonce: str, *, calling: bool = True) -> None:
        """Send a short reply to the message, in place of an earlier reply; it may notify the
        requester. Raises discord.HTTPException.
        """
        assert self.message_id is not None
        message = self.channel.get_partial_message(self.message_id)
        requester = discord.Object(int(self.where.requester_id))
        called = discord.AllowedMentions(
            everyone=False, roles=False, users=[requester], replied_user=False
        )
        sent = await self.channel.send(
            words,
            reference=message.to_reference(fail_if_not_exists=False),
            nonce=nonce,
            allowed_mentions=called if calling else _QUIET,
        )
        before, self.call = self.call, sent.id
        if before is not None and before != sent.id:
            await self._delete(before)

    # finding the message ----------------------------------------------------------------------

    async def look(self) -> int | None:
        """The id of the message, read with the token. None if there is no message or no valid
        token; a token that finds no message is dropped. Raises discord.HTTPException.
        """
        if self._token is None or self.route is not Route.TOKEN:
            return None
        try:
            self.message_id = (await self._hook(self._token).fetch_message(ORIGINAL)).id
        except discord.HTTPException as error:
            if error.code not in EXPIRED and not isinstance(error, discord.NotFound):
                raise
            self._token = None
        return self.message_id

    def hold(self, token: InteractionToken | None) -> None:
        """Set the token that was found for the message."""
        self._token = token

    async def sees(self) -> bool:
        """Whether the bot sees the channel with its own permissions; it does not see channels
        between other people. The answer is cached: Discord counts refused requests. Raises
        discord.HTTPException for transient errors.
        """
        if self._sees is None:
            try:
                await self._client.fetch_channel(self.channel_id)
                self._sees = True
            except (discord.Forbidden, discord.NotFound):
                self._sees = False
            except discord.InvalidData:  # the library does not know this kind of channel: it exists
                self._sees = True
        return self._sees

    def _hook(self, token: InteractionToken) -> discord.Webhook:
        assert self._client.application_id is not None
        found = discord.Webhook.partial(
            self._client.application_id, token.token, client=self._client
        )
        found.type = discord.WebhookType.application  # or the library refuses ephemeral messages
        return found

    def _content(self, reply: Reply) -> dict[str, Any]:
        credit = f"\n{reply.credit}" if self._own and reply.credit else ""
        return {
            "content": reply.content + credit,
            "embeds": [thumbnail(reply)] if reply.thumbnail else [],
            "view": view(reply),
            "allowed_mentions": _QUIET,
        }


def thumbnail(reply: Reply) -> discord.Embed:
    """A thumbnail of the media; Discord's own proxy fetches it."""
    return discord.Embed().set_thumbnail(url=reply.thumbnail)


def view(reply: Reply) -> discord.ui.View | None:
    """Components that only carry their custom_id; `components` handles the presses."""
    if not reply.buttons and reply.menu is None:
        return None
    found = discord.ui.View(timeout=None)
    if reply.menu is not None:
        options = [
            discord.SelectOption(label=each.label, value=str(at), description=each.description)
            for at, each in enumerate(reply.menu.options)
        ]
        found.add_item(
            discord.ui.Select(
                custom_id=reply.menu.custom_id,
                placeholder=reply.menu.placeholder,
                max_values=reply.menu.most,
                options=options,
            )
        )
    for button in reply.buttons:
        found.add_item(discord.ui.Button(label=button.label, custom_id=button.custom_id))
    found.stop()  # the view itself handles no interactions
    return found
