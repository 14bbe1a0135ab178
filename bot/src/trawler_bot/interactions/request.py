"""Describes a request: what a person wants, and what its interaction tells about person, place and
permissions. No I/O.
"""

from dataclasses import dataclass, field
from typing import Any

import discord

from trawler_bot.interactions import rights
from trawler_bot.interactions.urls import Link
from trawler_bot.jobs import ids
from trawler_bot.storage.database import TOKEN_SECONDS, InteractionToken, Request
from trawler_crds.media_job import DeliverAs, Delivery, DiscordDelivery, Limits, Media, MediaJobSpec


@dataclass(frozen=True)
class DownloadRequest:
    """What one person requests."""

    text: str
    """The link as it was typed or found."""
    media: Media = field(default_factory=Media)
    spoiler: bool = False
    private: bool = False


def spec(
    interaction: discord.Interaction, link: Link, wanted: DownloadRequest, *, fit: int | None
) -> MediaJobSpec:
    """The spec of the MediaJob for a request: media that play in Discord, if possible of at most
    `fit` bytes. All texts are in the requester's language, because the reply is for them.
    """
    return MediaJobSpec(
        url=link.url,
        queue=ids.queue(interaction.guild_id) if interaction.guild_id else "default",
        media=wanted.media.model_copy(update={"deliver_as": DeliverAs.PLAYABLE}),
        limits=Limits(fit_bytes=fit),
        delivery=Delivery(
            discord=DiscordDelivery(
                guild_id=str(interaction.guild_id) if interaction.guild_id else None,
                channel_id=str(interaction.channel_id),
                interaction_id=str(interaction.id),
                requester_id=str(interaction.user.id),
                spoiler=wanted.spoiler,
                private=wanted.private or rights.is_forced_private(interaction),
                link=link.written if link.written != link.url else None,
                **asked_at(interaction),
            )
        ),
    )


def asked_at(interaction: discord.Interaction) -> dict[str, Any]:
    """The fields of a delivery that depend on who makes a request where; each press determines them
    anew.
    """
    return {
        "locale": str(interaction.locale),
        "previews": rights.may_preview(interaction),
        "external": rights.is_external(interaction),
        "age_restricted": rights.is_age_restricted(interaction),
    }


def request(interaction: discord.Interaction, name: str, link: str) -> Request:
    """What to store about a request."""
    return Request(
        job=name,
        guild_id=interaction.guild_id or 0,
        channel_id=interaction.channel_id or 0,
        requester_id=interaction.user.id,
        url=link,
    )


def token(interaction: discord.Interaction) -> InteractionToken:
    """The token that allows the bot to write the interaction's message."""
    expires = interaction.created_at.timestamp() + TOKEN_SECONDS
    return InteractionToken(interaction.token, interaction.filesize_limit, expires)


def found_without_token(interaction: discord.Interaction, wanted: DownloadRequest) -> bool:
    """Whether the message can be found after a restart without a stored token (`recovery`): then
    the answer does not wait for the database.
    """
    mine = interaction.is_guild_integration() and interaction.app_permissions.read_message_history
    return mine and not wanted.private
