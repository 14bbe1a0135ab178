"""The one message of a job, and by which right it is written: the interaction's token while it
lives, else the bot's own. Nothing else edits a message.
"""

import time
from collections.abc import Sequence
from typing import Any, Final, cast

import aiohttp
import discord

from trawler_bot.limits import Route
from trawler_bot.records import Pass
from trawler_bot.replies import Reply
from trawler_crds.media_job import DiscordDelivery

ORIGINAL: Final = cast("int", "@original")
"""In place of a message's id: what the interaction answered with, or the message that was pressed."""
EXPIRED: Final = {50027, 10015}
"""Codes of a token that is too old, or that Discord does not know."""

UNSURE: Final = (OSError, aiohttp.ClientError)
"""The network ended a request: whether it was done nobody knows."""


class Unreachable(Exception):
    """An ephemeral message, and no token any more: nobody can write it."""


class TokenEnded(Exception):
    """Earlier than its age said."""


class Sheet:
    """Edits are whole: each may be repeated."""

    def __init__(
        self,
        client: discord.Client,
        where: DiscordDelivery,
        message_id: int | None,
        held: Pass | None,
    ) -> None:
        self._client = client
        self.where = where
        self.message_id = message_id
        self._pass = held
        self._sees: bool | None = None
        self.guild = client.get_guild(int(where.guild_id)) if where.guild_id else None

    @property
    def channel(self) -> discord.PartialMessageable:
        guild_id = self.guild.id if self.guild else None
        return self._client.get_partial_messageable(int(self.where.channel_id), guild_id=guild_id)

    @property
    def guild_id(self) -> int:
        return int(self.where.guild_id or 0)

    @property
    def route(self) -> Route:
        """Asked anew before each edit: a token ends in between."""
        alive = self._pass is not None and self._pass.alive(time.time())
        return Route.TOKEN if alive else Route.CHANNEL

    @property
    def bucket(self) -> str:
        """As `rates` names it."""
        if self.route is Route.TOKEN and self._pass is not None:
            return f"webhooks/{self._client.application_id}/{self._pass.token}"
        return f"channels/{self.where.channel_id}"

    @property
    def announced(self) -> int:
        """Bytes of one file as Discord says."""
        if self.route is Route.TOKEN and self._pass is not None:
            return self._pass.most_bytes
        if self.guild is not None:
            return self.guild.filesize_limit
        return discord.utils.DEFAULT_FILE_SIZE_LIMIT_BYTES

    @property
    def further(self) -> tuple[Route, int]:
        """By which right a further message goes, and how large a file of it may be as Discord says."""
        if self.where.private:
            return self.route, self.announced
        if self.guild is not None:
            return Route.CHANNEL, self.guild.filesize_limit
        return Route.CHANNEL, discord.utils.DEFAULT_FILE_SIZE_LIMIT_BYTES

    async def edit(self, reply: Reply, files: Sequence[discord.File]) -> None:
        """The whole message. Raises TokenEnded (ask again: it is by another right then, with another
        limit), Unreachable, discord.HTTPException.
        """
        if self.route is Route.TOKEN and self._pass is not None:
            try:
                await self._hook(self._pass).edit_message(ORIGINAL, **_content(reply, files))
            except discord.HTTPException as error:
                if error.code in EXPIRED:
                    self._pass = None
                    raise TokenEnded from error
                raise
            return
        if self.where.private or self.message_id is None:
            raise Unreachable
        message = self.channel.get_partial_message(self.message_id)
        await message.edit(**_content(reply, files))

    async def anew(
        self, reply: Reply, files: Sequence[discord.File], nonce: str, *, directly: bool = False
    ) -> None:
        """The same as a message of its own, from now on in place of the first one; `directly`: to the
        requester alone. Raises discord.HTTPException.
        """
        to: discord.abc.Messageable = self.channel
        if directly:
            person = await self._client.fetch_user(int(self.where.requester_id))
            to = await person.create_dm()
        content = _content(reply, ())
        sent = await to.send(
            content["content"],
            view=content["view"] or discord.utils.MISSING,
            files=list(files),
            nonce=nonce,
            allowed_mentions=content["allowed_mentions"],
        )
        self.message_id = sent.id

    async def send(self, files: Sequence[discord.File], nonce: str) -> None:
        """A further message beside it, seen by whoever sees the first. Raises discord.HTTPException,
        Unreachable.
        """
        quiet = discord.AllowedMentions.none()
        if not self.where.private:
            await self.channel.send(files=files, nonce=nonce, allowed_mentions=quiet)
        elif self.route is Route.TOKEN and self._pass is not None:
            await self._hook(self._pass).send(
                files=files, ephemeral=True, wait=True, allowed_mentions=quiet
            )
        else:
            raise Unreachable

    async def ring(self, words: str, nonce: str) -> None:
        """A short answer to the message that calls the requester. Raises discord.HTTPException."""
        assert self.message_id is not None
        message = self.channel.get_partial_message(self.message_id)
        requester = discord.Object(int(self.where.requester_id))
        await self.channel.send(
            f"<@{requester.id}> {words}",
            reference=message.to_reference(fail_if_not_exists=False),
            nonce=nonce,
            allowed_mentions=discord.AllowedMentions(
                everyone=False, roles=False, users=[requester], replied_user=False
            ),
        )

    async def look(self) -> int | None:
        """The id of the message as the token knows it; None where there is none, or no token: then
        the token is of no use. Raises discord.HTTPException.
        """
        if self._pass is None or self.route is not Route.TOKEN:
            return None
        try:
            self.message_id = (await self._hook(self._pass).fetch_message(ORIGINAL)).id
        except discord.HTTPException as error:
            if error.code not in EXPIRED and not isinstance(error, discord.NotFound):
                raise
            self._pass = None
        return self.message_id

    def hold(self, held: Pass | None) -> None:
        """What was found out of its pass."""
        self._pass = held

    async def sees(self) -> bool:
        """Whether the bot sees the channel by its own right, which it does not in those of others. Asked once:
        refusals are counted by Discord. Raises discord.HTTPException for what may pass.
        """
        if self._sees is None:
            try:
                await self._client.fetch_channel(int(self.where.channel_id))
                self._sees = True
            except (discord.Forbidden, discord.NotFound):
                self._sees = False
            except discord.InvalidData:  # of a kind that the library does not know: it is there
                self._sees = True
        return self._sees

    def _hook(self, held: Pass) -> discord.Webhook:
        assert self._client.application_id is not None
        return discord.Webhook.partial(self._client.application_id, held.token, client=self._client)


def _content(reply: Reply, files: Sequence[discord.File]) -> dict[str, Any]:
    return {
        "content": reply.content,
        "embeds": [thumbnail(reply)] if reply.thumbnail else [],
        "view": view(reply),
        "attachments": list(files),
        "allowed_mentions": discord.AllowedMentions.none(),
    }


def thumbnail(reply: Reply) -> discord.Embed:
    """A small picture of what is being fetched; Discord's own proxy gets it."""
    return discord.Embed().set_thumbnail(url=reply.thumbnail)


def view(reply: Reply) -> discord.ui.View | None:
    """Buttons that only carry their custom_id: who presses is answered by `presses`."""
    if not reply.buttons:
        return None
    found = discord.ui.View(timeout=None)
    for button in reply.buttons:
        found.add_item(discord.ui.Button(label=button.label, custom_id=button.custom_id))
    found.stop()  # it listens to nothing itself
    return found
