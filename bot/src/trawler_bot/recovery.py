"""The message of a job of which we do not know one: looked for first, then made."""

from typing import Final

import discord

from trawler_bot import names, replies
from trawler_bot.sheet import Sheet
from trawler_bot.texts import language
from trawler_crds.media_job import MediaJob

LOOK_BACK: Final = 100
"""Messages of a channel among which one of ours is looked for."""


class Lost(Exception):
    """There is no message and there can be none."""

    def __init__(self, reason: str, said: str) -> None:
        super().__init__(said)
        self.reason = reason
        """Of the condition Delivered."""


async def recover(client: discord.Client, job: MediaJob, sheet: Sheet) -> None:
    """Give the sheet its message: the interaction's own as its token knows it, else one of ours in the
    channel that names the job, or the one whose message it takes over, in a button, else a new one with a nonce. A private one is only looked
    for: its sheet may stay without. Raises Lost, and discord.HTTPException for what may pass.
    """
    try:
        if await sheet.look() is not None or sheet.where.private:
            return
        sheet.message_id = await _find(client, job, sheet)
        if sheet.message_id is None:
            reply = replies.waiting(job, language(sheet.where.locale))
            await sheet.anew(reply, [], names.nonce(job.uid, "message"))
    except (discord.Forbidden, discord.NotFound) as error:
        raise Lost("NoAccess", f"{error.status} {error.code}") from error
    except discord.HTTPException as error:
        if error.status != 400:
            raise
        raise Lost("Refused", f"{error.status} {error.code}") from error


async def _find(client: discord.Client, job: MediaJob, sheet: Sheet) -> int | None:
    """Our own message in that channel with this job's name in a button."""
    async for message in sheet.channel.history(limit=LOOK_BACK):
        if client.user is None or message.author.id != client.user.id:
            continue
        ids = [
            getattr(each, "custom_id", None)
            for row in message.components
            for each in getattr(row, "children", [])
        ]
        named = {(replies.parse(each) or ("", ""))[1] for each in ids if each}
        if named & {job.name, names.before(job.name)}:
            return message.id
    return None
