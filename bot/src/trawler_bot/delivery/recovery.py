"""The message of a job of which we do not know one: looked for first, then made."""

from typing import Final

import discord

from trawler_bot.delivery.message import JobMessage
from trawler_bot.jobs import ids
from trawler_bot.presentation import rendering
from trawler_bot.presentation.i18n import language
from trawler_crds.media_job import MediaJob

LOOK_BACK: Final = 100
"""Messages of a channel among which one of ours is looked for."""


class Lost(Exception):
    """There is no message and there can be none."""

    def __init__(self, reason: str, said: str) -> None:
        super().__init__(said)
        self.reason = reason
        """Of the condition Delivered."""


async def recover(client: discord.Client, job: MediaJob, shown: JobMessage) -> None:
    """Give the job its message: the interaction's own as its token knows it, else one of ours in
    the channel that names the job, or the one whose message it takes over, in a button, else a new
    one with a nonce. A private one is only looked for: it may stay without. Raises Lost, and
    discord.HTTPException for what may pass.
    """
    try:
        if await shown.look() is not None or shown.by_token_only:
            return
        shown.message_id = await _find(client, job, shown)
        if shown.message_id is None:
            reply = rendering.waiting(job, language(shown.where.locale))
            await shown.anew(reply, [], ids.nonce(job.uid, "message"))
    except (discord.Forbidden, discord.NotFound) as error:
        raise Lost("NoAccess", f"{error.status} {error.code}") from error
    except discord.HTTPException as error:
        if error.status != 400:
            raise
        raise Lost("Refused", f"{error.status} {error.code}") from error


async def _find(client: discord.Client, job: MediaJob, shown: JobMessage) -> int | None:
    """Our own message in that channel with this job's name in a button."""
    async for message in shown.channel.history(limit=LOOK_BACK):
        if client.user is None or message.author.id != client.user.id:
            continue
        pressed = [
            getattr(each, "custom_id", None)
            for row in message.components
            for each in getattr(row, "children", [])
        ]
        named = {(rendering.parse(each) or ("", ""))[1] for each in pressed if each}
        if named & {job.name, ids.before(job.name)}:
            return message.id
    return None
