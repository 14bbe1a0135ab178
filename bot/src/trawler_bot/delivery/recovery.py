"""Recovers the message of a job if its id is unknown: searches for it, and sends a new one if there
is none.
"""

from typing import Final

import discord

from trawler_bot.delivery.message import JobMessage
from trawler_bot.jobs import ids
from trawler_bot.presentation import rendering
from trawler_bot.presentation.i18n import language
from trawler_crds.media_job import MediaJob

LOOK_BACK: Final = 100
"""Number of messages in a channel that are searched for one of ours."""


class Lost(Exception):
    """The job has no message and cannot get one."""

    def __init__(self, reason: str, said: str) -> None:
        super().__init__(said)
        self.reason = reason
        """The reason for the condition Delivered."""


async def recover(client: discord.Client, job: MediaJob, shown: JobMessage) -> None:
    """Find or send the message of a job. The order: the response to its interaction, if the token
    finds it; a message of ours in the channel with a button that names the job, or the job whose
    message it takes over; a new message, with a nonce. A message that only a token can write is
    only searched for: the job may stay without one. Raises Lost, and discord.HTTPException for
    transient errors.
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
    """The id of our message in that channel that has a button with this job's name, or the name of
    the job before it.
    """
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
