"""What Discord's refusals mean for a message that is to be written. Pure but for the library's
exceptions.
"""

from typing import Final

import discord

DELETED: Final = {10003: "ChannelGone", 10008: "MessageGone"}
"""Nobody sees the message any more → reason of the condition Delivered."""
AUTOMOD: Final = frozenset({200000, 200001})
NO_PERMISSION: Final = 50013
HINDERED: Final = {
    50001: "NoAccess",
    50007: "CannotMessage",
    50013: "NoPermission",
    50083: "ThreadLocked",
    30046: "TooOldToEdit",
    160005: "ThreadLocked",
    200000: "BlockedByAutoMod",
    200001: "BlockedByAutoMod",
}
"""Refusals that no repetition changes → reason of the condition Delivered."""
PASSING: Final = frozenset({401, 408, 429})
"""Of what Discord refuses, what another time may grant: a token that is being changed, a limit."""
ANEW: Final = frozenset({30046, 50083})
"""Refusals of an edit after which a new message may go: an old message, an archived thread (which a
message opens again, unless it is locked)."""


def is_too_large(error: discord.HTTPException) -> bool:
    """413 in any form: Discord's own, or a page of what stands before it."""
    return error.status == 413 or error.code == 40005


def reason_of(error: discord.HTTPException) -> str | None:
    """The word for what no repetition changes; None where it is of no kind that we know. Raises
    OSError for what may pass.
    """
    word = DELETED.get(error.code) or HINDERED.get(error.code)
    if word is not None:
        return word
    if isinstance(error, discord.DiscordServerError) or error.status in PASSING:
        raise OSError(f"Discord: {error.status}") from error
    return None
