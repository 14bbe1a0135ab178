"""Builds the spec of the job that a button requests in addition to what its message shows. Pure but
for the library's types.
"""

from typing import Any

import discord

from trawler_bot.interactions import request
from trawler_bot.jobs import quality
from trawler_bot.jobs.client import is_shown
from trawler_bot.presentation.rendering import Act
from trawler_crds.media_job import (
    Delivery,
    DiscordDelivery,
    Media,
    MediaJob,
    MediaJobSpec,
    MediaKind,
    Phase,
    Reuse,
)


def shown_by(job: MediaJob) -> str | None:
    """The name of the job whose files the message of this job shows; None if it shows none."""
    if job.status.phase is Phase.SUCCEEDED and is_shown(job):
        return job.name
    where = job.spec.delivery.discord if job.spec.delivery else None
    return where.replaces if where is not None else None


def spec(
    interaction: discord.Interaction, act: Act, job: MediaJob, before: MediaJob | None
) -> MediaJobSpec:
    """The spec of the job that takes over the message of `job`, which shows files of `before`."""
    where = job.spec.delivery.discord if job.spec.delivery else None
    assert where is not None, "only what is shown in Discord is pressed"
    changes: dict[str, Any] = {
        "cancel": False,
        "suspend": False,
        "reuse": Reuse.NEVER if act is Act.RETRY else job.spec.reuse,
        "media": _media(act, job, before, interaction.filesize_limit),
        "delivery": Delivery(discord=_where(interaction, act, job, where)),
    }
    return job.spec.model_copy(update=changes)


def _where(
    interaction: discord.Interaction, act: Act, job: MediaJob, where: DiscordDelivery
) -> DiscordDelivery:
    """The delivery of that job: still to the first requester, in their language, with the facts of
    the place where the button was pressed.
    """
    from_video = where.from_video if act is Act.RETRY else act is Act.AUDIO
    changes: dict[str, Any] = {
        **request.asked_at(interaction),
        "locale": where.locale,
        "replaces": shown_by(job),
        "from_video": from_video,
    }
    if interaction.guild_id is None and where.guild_id is not None:  # it became a direct message
        changes |= {"guild_id": None, "channel_id": str(interaction.channel_id), "private": False}
    return where.model_copy(update=changes)


def _media(act: Act, job: MediaJob, before: MediaJob | None, limit: int) -> Media:
    """The requested media. A smaller version is one that is expected to fit `limit` bytes."""
    base = before or job
    media = base.spec.media
    if act is Act.RETRY:
        return job.spec.media
    if act is Act.AUDIO:
        return media.model_copy(update={"kind": MediaKind.AUDIO})
    if act is Act.VIDEO:
        return media.model_copy(update={"kind": MediaKind.VIDEO, "audio_format": None})
    lower = quality.smaller_to_fit(base.status.files or (), media.max_height, limit)
    return media.model_copy(update={"max_height": lower or media.max_height})
