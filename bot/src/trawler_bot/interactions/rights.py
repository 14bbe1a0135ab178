"""Who may do what in a channel, as Discord tells with each interaction. Pure but for the library's
types.
"""

from enum import StrEnum

import discord


class Hindrance(StrEnum):
    """Whose permission is missing for files in a channel."""

    BOT = "bot"
    REQUESTER = "requester"


def hindrance(interaction: discord.Interaction) -> Hindrance | None:
    """Who may not post files where this was asked; None where both may. Nothing stands in the way
    of an answer that one person sees, and of direct messages.
    """
    if interaction.guild_id is None:
        return None
    app = interaction.app_permissions
    # where the bot is not there itself, the token posts: of it Discord tells only what it may show
    enough = app.attach_files if is_external(interaction) else may_post(interaction, app)
    if not (enough or app.administrator):
        return Hindrance.BOT
    return None if may_post(interaction, interaction.permissions) else Hindrance.REQUESTER


def may_post(interaction: discord.Interaction, has: discord.Permissions) -> bool:
    """Whether somebody with these permissions may post files there (docs, Permissions)."""
    thread = isinstance(interaction.channel, discord.Thread)
    speaks = has.send_messages_in_threads if thread else has.send_messages
    return has.administrator or (has.view_channel and speaks and has.attach_files)


def may_preview(interaction: discord.Interaction) -> bool:
    """Whether a small picture may be shown: both the requester and the bot may embed links."""
    if interaction.guild_id is None:
        return True
    return all(
        has.administrator or has.embed_links
        for has in (interaction.permissions, interaction.app_permissions)
    )


def is_forced_private(interaction: discord.Interaction) -> bool:
    """Whether Discord shows every answer to the requester alone: in servers that do not have the
    bot, where the requester may not use external apps (docs, User-Installed Apps).
    """
    if interaction.guild_id is None or not is_external(interaction):
        return False
    has = interaction.permissions
    return not (has.administrator or has.use_external_apps)


def is_external(interaction: discord.Interaction) -> bool:
    """Whether the bot is not there itself, but only because somebody has it for themselves: in
    servers that do not have it, and in the direct messages of others.
    """
    if interaction.guild_id is None:
        return interaction.context.private_channel is True
    return interaction.is_user_integration() and not interaction.is_guild_integration()


def is_age_restricted(interaction: discord.Interaction) -> bool:
    """Whether media with an age limit may be shown: in channels for that, and in direct messages
    with the bot, where one asked for it oneself.
    """
    channel = interaction.channel
    if interaction.guild_id is None:
        return not is_external(interaction)
    if isinstance(channel, discord.Thread):
        parent = channel.parent
        return parent is not None and parent.is_nsfw()
    is_nsfw = getattr(channel, "is_nsfw", None)
    return bool(is_nsfw is not None and is_nsfw())
