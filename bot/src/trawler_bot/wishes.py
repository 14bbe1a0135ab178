"""What somebody wants, and what the interaction that says so tells: who, where, by which right. No I/O."""

from dataclasses import dataclass, field
from typing import Final

import discord

from trawler_bot import names
from trawler_bot.records import Pass, Request
from trawler_crds.media_job import Delivery, DiscordDelivery, Media, MediaJobSpec

TOKEN_SECONDS: Final = 840.0
"""For which we use an interaction's token: Discord's fifteen minutes, less one."""


@dataclass(frozen=True)
class Wish:
    """What one person wants."""

    url: str
    media: Media = field(default_factory=Media)
    spoiler: bool = False
    private: bool = False


def spec(interaction: discord.Interaction, wish: Wish) -> MediaJobSpec:
    """Of its MediaJob. Public words are in the server's language, private ones in the person's."""
    spoken = interaction.locale if wish.private else interaction.guild_locale or interaction.locale
    return MediaJobSpec(
        url=wish.url,
        queue=names.queue(interaction.guild_id) if interaction.guild_id else "default",
        media=wish.media,
        delivery=Delivery(
            discord=DiscordDelivery(
                guild_id=str(interaction.guild_id) if interaction.guild_id else None,
                channel_id=str(interaction.channel_id),
                interaction_id=str(interaction.id),
                requester_id=str(interaction.user.id),
                spoiler=wish.spoiler,
                private=wish.private,
                locale=str(spoken),
            )
        ),
    )


def request(interaction: discord.Interaction, name: str, url: str) -> Request:
    """What is remembered of it."""
    return Request(
        job=name,
        guild_id=interaction.guild_id or 0,
        channel_id=interaction.channel_id or 0,
        requester_id=interaction.user.id,
        url=url,
    )


def held(interaction: discord.Interaction) -> Pass:
    """By what right its message is written."""
    expires = interaction.created_at.timestamp() + TOKEN_SECONDS
    return Pass(interaction.token, interaction.filesize_limit, expires)


def may_answer(interaction: discord.Interaction) -> bool:
    """Whether we may say in this channel what is to be said, and with files."""
    mine = interaction.app_permissions
    in_thread = isinstance(interaction.channel, discord.Thread)
    speaks = mine.send_messages_in_threads if in_thread else mine.send_messages
    return mine.administrator or (mine.view_channel and speaks and mine.attach_files)


def found_without_token(interaction: discord.Interaction, wish: Wish) -> bool:
    """Whether the message is found after a restart though its interaction's token was not written
    down (`recovery`): then nobody waits for the database before the answer.
    """
    mine = interaction.is_guild_integration() and interaction.app_permissions.read_message_history
    return mine and not wish.private
