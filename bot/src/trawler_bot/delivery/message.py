"""The messages of one job, and by which right they are written: the interaction's token while it
lives, else the bot's own. Nothing else edits a message.
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
"""In place of a message's id: what the interaction answered with, or the message that was pressed.
"""
EXPIRED: Final = {50027, 10015}
"""Codes of a token that is too old, or that Discord does not know."""

UNSURE: Final = (OSError, aiohttp.ClientError)
"""The network ended a request: whether it was done nobody knows."""
DELETIONS: Final = 10_000
_QUIET: Final = discord.AllowedMentions.none()


class Unreachable(Exception):
    """An ephemeral message, and no token any more: nobody can write it."""


class TokenEnded(Exception):
    """Earlier than its age said."""


class OwnDeletions:
    """Messages that we delete ourselves, so that their events are not taken for a moderator's.
    Bounded.
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
    """The first message of a job, which is edited, and those beside it. Edits are whole: each may
    be repeated.
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
        """It became a direct message because nothing else could be written any more."""
        self.further = [int(each) for each in noted.further_message_ids or ()]
        """Messages with further files, in their order."""
        self.call = int(noted.call_message_id) if noted.call_message_id else None
        """The reply that called the requester."""
        self._token = token
        self._own = own
        """Nobody sees in Discord who asked for it."""
        self._sees: bool | None = None

    @property
    def guild(self) -> discord.Guild | None:
        """None for direct messages too, wherever they were asked for."""
        guild_id = None if self.direct else self.where.guild_id
        return self._client.get_guild(int(guild_id)) if guild_id else None

    @property
    def by_token_only(self) -> bool:
        """Whether the bot's own right writes nothing there: the requester alone sees it, or the bot
        is not there.
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
        """Asked anew before each edit: a token ends in between."""
        alive = self._token is not None and self._token.alive(time.time())
        return Route.TOKEN if alive else Route.CHANNEL

    @property
    def bucket(self) -> str:
        """As `rate_limits` names it."""
        if self.route is Route.TOKEN and self._token is not None:
            return f"webhooks/{self._client.application_id}/{self._token.token}"
        return f"channels/{self.channel_id}"

    @property
    def announced(self) -> int:
        """Bytes of one file as Discord says."""
        if self.route is Route.TOKEN and self._token is not None:
            return self._token.most_bytes
        return self._of_channel()

    @property
    def beside(self) -> tuple[Route, int]:
        """By which right a further message goes, and how large a file of it may be as Discord
        says.
        """
        if self.by_token_only:
            return self.route, self.announced
        return Route.CHANNEL, self._of_channel()

    def _of_channel(self) -> int:
        guild = self.guild
        return guild.filesize_limit if guild else discord.utils.DEFAULT_FILE_SIZE_LIMIT_BYTES

    def noted(self) -> DeliveryStatus:
        """All of it, as it is written down."""
        return DeliveryStatus(
            message_id=str(self.message_id) if self.message_id else None,
            channel_id=str(self.channel_id) if self.direct else None,
            further_message_ids=[str(each) for each in self.further] or None,
            call_message_id=str(self.call) if self.call else None,
        )

    # the first one ----------------------------------------------------------------------------

    async def edit(self, reply: Reply, files: Sequence[discord.File] | None) -> None:
        """The first message; its files stay where none are given. Raises TokenEnded (ask again: it
        is by another right then, with another limit), Unreachable, discord.HTTPException.
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
        """From now on it is a direct message to the requester, of which nothing is there yet.
        Raises discord.HTTPException.
        """
        person = await self._client.fetch_user(int(self.where.requester_id))
        self.channel_id = (await person.create_dm()).id
        self.direct, self._token = True, None
        self.message_id, self.further, self.call = None, [], None

    async def anew(self, reply: Reply, files: Sequence[discord.File], nonce: str) -> None:
        """The same as a message of its own, from now on in place of the first one, which goes if
        there is one. Raises discord.HTTPException.
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

    # those beside it --------------------------------------------------------------------------

    async def put(self, at: int, files: Sequence[discord.File], nonce: str) -> None:
        """Further files into the message at this place: an edit where there is one, else it is
        sent, seen by whoever sees the first. Raises discord.HTTPException, Unreachable.
        """
        if at < len(self.further):
            try:
                await self._edit_beside(self.further[at], files)
                return
            except discord.NotFound:  # deleted, or sent by an earlier interaction
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
        """Delete further messages behind so many, and the call that was about an earlier result.
        What cannot be deleted stays.
        """
        beyond, self.further = self.further[kept:], self.further[:kept]
        if self.call is not None:
            beyond.append(self.call)
            self.call = None
        for message_id in beyond:
            await self._delete(message_id)

    async def remove_beside(self) -> None:
        """Everything but the first message, as far as that goes."""
        await self.trim(0)

    async def _delete(self, message_id: int) -> None:
        self._deletions.add(message_id)
        with suppress(discord.HTTPException, *UNSURE):
            if self.by_token_only and self._token is not None and self.route is Route.TOKEN:
                await self._hook(self._token).delete_message(message_id)
            elif not self.by_token_only:
                await self.channel.get_partial_message(message_id).delete()

    async def ring(self, words: str, nonce: str, *, calling: bool = True) -> None:
        """A short answer to the message, in place of an earlier one; it may call the requester.
        Raises discord.HTTPException.
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

    # looking for it ---------------------------------------------------------------------------

    async def look(self) -> int | None:
        """The id of the message as the token knows it; None where there is none, or no token: then
        the token is of no use. Raises discord.HTTPException.
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
        """What was found out of its token."""
        self._token = token

    async def sees(self) -> bool:
        """Whether the bot sees the channel by its own right, which it does not in those of others.
        Asked once: refusals are counted by Discord. Raises discord.HTTPException for what may pass.
        """
        if self._sees is None:
            try:
                await self._client.fetch_channel(self.channel_id)
                self._sees = True
            except (discord.Forbidden, discord.NotFound):
                self._sees = False
            except discord.InvalidData:  # of a kind that the library does not know: it is there
                self._sees = True
        return self._sees

    def _hook(self, token: InteractionToken) -> discord.Webhook:
        assert self._client.application_id is not None
        found = discord.Webhook.partial(
            self._client.application_id, token.token, client=self._client
        )
        found.type = discord.WebhookType.application  # else the library refuses ephemeral messages
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
    """A small picture of what is being fetched; Discord's own proxy gets it."""
    return discord.Embed().set_thumbnail(url=reply.thumbnail)


def view(reply: Reply) -> discord.ui.View | None:
    """Buttons that only carry their custom_id: who presses is answered by `components`."""
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
    found.stop()  # it listens to nothing itself
    return found
