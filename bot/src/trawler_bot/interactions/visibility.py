"""Who may know of a job: one rule for lists, completions, presses and links."""

from collections.abc import Callable
from dataclasses import dataclass

import discord

from trawler_bot.jobs.index import JobSummary


@dataclass(frozen=True)
class Viewer:
    """Somebody who asks, somewhere."""

    user_id: int
    guild_id: int
    """0: in a direct message."""
    channel_id: int
    """Where it is asked: what is there they see."""
    rights: Callable[[int], "Sight"]
    """What they may do in another channel of that server."""


@dataclass(frozen=True)
class Sight:
    """What somebody may do in one channel."""

    sees: bool = False
    manages: bool = False
    """Messages of others."""


NOTHING = Sight()


def may_know(viewer: Viewer, job: JobSummary) -> bool:
    """Whether somebody may be told that there is this job: it is their own; or it is not private,
    in their server, and in a channel that they see.
    """
    if job.requester_id == viewer.user_id:
        return True
    if job.private or job.guild_id != viewer.guild_id or not job.guild_id:
        return False
    return job.channel_id == viewer.channel_id or viewer.rights(job.channel_id).sees


def may_manage(viewer: Viewer, job: JobSummary) -> bool:
    """Whether somebody may cancel it: who asked for it, and who may manage messages there."""
    if job.requester_id == viewer.user_id:
        return True
    return may_know(viewer, job) and viewer.rights(job.channel_id).manages


def viewer(interaction: discord.Interaction) -> Viewer:
    """Whoever asks, with the permissions that Discord tells, and for other channels those that
    follow from roles.
    """
    return Viewer(
        user_id=interaction.user.id,
        guild_id=interaction.guild_id or 0,
        channel_id=interaction.channel_id or 0,
        rights=lambda channel_id: _sight(interaction, channel_id),
    )


def _sight(interaction: discord.Interaction, channel_id: int) -> Sight:
    if channel_id == interaction.channel_id:
        has = interaction.permissions
        return Sight(sees=True, manages=has.administrator or has.manage_messages)
    guild, member = interaction.guild, interaction.user
    channel = guild.get_channel_or_thread(channel_id) if guild is not None else None
    if channel is None or not isinstance(member, discord.Member):
        return NOTHING
    has = channel.permissions_for(member)
    return Sight(sees=_sees(channel, has), manages=has.manage_messages)


def _sees(channel: "discord.abc.GuildChannel | discord.Thread", has: discord.Permissions) -> bool:
    """Viewing, and what else one kind of channel or another asks for (docs, Permissions and
    Threads): a private thread is seen by its members, whom we do not know, and by who manages
    threads; what is written in a voice channel by who may join it.
    """
    if not has.view_channel:
        return False
    if isinstance(channel, discord.Thread) and channel.is_private():
        return has.manage_threads
    if isinstance(channel, discord.VoiceChannel | discord.StageChannel):
        return has.connect
    return True
