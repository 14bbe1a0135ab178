"""Evaluates permissions in a channel, as Discord sends them with each interaction. Pure but for the
library's types.
"""

from enum import StrEnum

import discord


class Hindrance(StrEnum):
    """Who lacks the permission to post files in a channel."""

    BOT = "bot"
    REQUESTER = "requester"


def hindrance(interaction: discord.Interaction) -> Hindrance | None:
    """Who may not post files in the channel of an interaction; None if both may. Ephemeral replies
    and direct messages need no permission.
    """
    if interaction.guild_id is None:
        return None
    app = interaction.app_permissions
    # outside of the bot's servers the token posts: Discord only reports what it may attach or embed
    enough = app.attach_files if is_external(interaction) else may_post(interaction, app)
    if not (enough or app.administrator):
        return Hindrance.BOT
    return None if may_post(interaction, interaction.permissions) else Hindrance.REQUESTER


def may_post(interaction: discord.Interaction, has: discord.Permissions) -> bool:
    """Whether a member with these permissions may post files there (docs, Permissions)."""
    thread = isinstance(interaction.channel, discord.Thread)
    speaks = has.send_messages_in_threads if thread else has.send_messages
    return has.administrator or (has.view_channel and speaks and has.attach_files)


def may_preview(interaction: discord.Interaction) -> bool:
    """Whether a thumbnail may be shown: both the requester and the bot may embed links."""
    if interaction.guild_id is None:
        return True
    return all(
        has.administrator or has.embed_links
        for has in (interaction.permissions, interaction.app_permissions)
    )


def is_forced_private(interaction: discord.Interaction) -> bool:
    """Whether Discord shows every reply to the requester alone: in servers without the bot where
    the requester may not use external apps (docs, User-Installed Apps).
    """
    if interaction.guild_id is None or not is_external(interaction):
        return False
    has = interaction.permissions
    return not (has.administrator or has.use_external_apps)


def is_external(interaction: discord.Interaction) -> bool:
    """Whether the bot itself is not there, but a person has installed it for themselves: in servers
    without the bot, and in direct messages between other people.
    """
    if interaction.guild_id is None:
        return interaction.context.private_channel is True
    return interaction.is_user_integration() and not interaction.is_guild_integration()


def is_age_restricted(interaction: discord.Interaction) -> bool:
    """Whether media with an age limit may be shown: in age-restricted channels, and in direct
    messages with the bot, where the person made the request themselves.
    """
    channel = interaction.channel
    if interaction.guild_id is None:
        return not is_external(interaction)
    if isinstance(channel, discord.Thread):
        parent = channel.parent
        return parent is not None and parent.is_nsfw()
    is_nsfw = getattr(channel, "is_nsfw", None)
    return bool(is_nsfw is not None and is_nsfw())
