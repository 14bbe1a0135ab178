"""Decides who may know of a job: one rule for lists, autocompletion, buttons and links."""

from collections.abc import Callable
from dataclasses import dataclass

import discord

from trawler_bot.jobs.index import JobSummary


@dataclass(frozen=True)
class Viewer:
    """A person, and the place of their interaction."""

    user_id: int
    guild_id: int
    """0 in a direct message."""
    channel_id: int
    """The channel of the interaction, which the person can see."""
    rights: Callable[[int], "Sight"]
    """Their permissions in another channel of that server."""


@dataclass(frozen=True)
class Sight:
    """What a person may do in one channel."""

    sees: bool = False
    manages: bool = False
    """Whether they may manage messages of others."""


NOTHING = Sight()


def may_know(viewer: Viewer, job: JobSummary) -> bool:
    """Whether a person may know that a job exists: it is their own, or it is not private, in their
    server, and in a channel that they can see.
    """
    if job.requester_id == viewer.user_id:
        return True
    if job.private or job.guild_id != viewer.guild_id or not job.guild_id:
        return False
    return job.channel_id == viewer.channel_id or viewer.rights(job.channel_id).sees


def may_manage(viewer: Viewer, job: JobSummary) -> bool:
    """Whether a person may cancel a job: the requester may, and anybody who may manage messages
    there.
    """
    if job.requester_id == viewer.user_id:
        return True
    return may_know(viewer, job) and viewer.rights(job.channel_id).manages


def viewer(interaction: discord.Interaction) -> Viewer:
    """The person of an interaction, with the permissions that Discord sends; those for other
    channels follow from roles.
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
    """Whether a person sees a channel: they may view it and meet the rules of its kind (docs,
    Permissions and Threads). A private thread is visible to its members, whom we do not know, and
    to those who may manage threads; the text of a voice channel is visible to those who may join
    it.
    """
    if not has.view_channel:
        return False
    if isinstance(channel, discord.Thread) and channel.is_private():
        return has.manage_threads
    if isinstance(channel, discord.VoiceChannel | discord.StageChannel):
        return has.connect
    return True
