"""Sends and edits ephemeral replies, which only one person sees."""

import aiohttp
import discord

from trawler_common import logs

log = logs.get("ephemeral")


async def reply_ephemeral(
    interaction: discord.Interaction, words: str, *, view: discord.ui.View | None = None
) -> None:
    """Send an ephemeral reply; do nothing if that is no longer possible."""
    shown = view or discord.utils.MISSING
    quiet = discord.AllowedMentions.none()
    try:
        if interaction.response.is_done():
            await interaction.followup.send(
                words, ephemeral=True, view=shown, allowed_mentions=quiet
            )
        else:
            await interaction.response.send_message(
                words, ephemeral=True, view=shown, allowed_mentions=quiet
            )
    except (discord.HTTPException, aiohttp.ClientError, OSError) as error:
        log.info("reply_lost", extra={"error": repr(error)})


async def edit_reply(
    interaction: discord.Interaction, words: str, *, view: discord.ui.View | None = None
) -> None:
    """Edit the reply that was sent; do nothing if that is no longer possible."""
    try:
        await interaction.edit_original_response(content=words, view=view)
    except (discord.HTTPException, aiohttp.ClientError, OSError) as error:
        log.info("reply_lost", extra={"error": repr(error)})
