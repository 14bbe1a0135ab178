"""Classifies the errors with which Discord refuses to write a message. Pure but for the library's
exceptions.
"""

from typing import Final

import discord

DELETED: Final = {10003: "ChannelGone", 10008: "MessageGone"}
"""Error codes of a message that no longer exists → reason of the condition Delivered."""
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
"""Error codes of refusals that no retry resolves → reason of the condition Delivered."""
PASSING: Final = frozenset({401, 408, 429})
"""HTTP statuses of refusals that may be transient: a token that is being rotated, a rate limit."""
ANEW: Final = frozenset({30046, 50083})
"""Error codes of an edit after which a new message may succeed: an old message, or an archived
thread (which a message reopens, unless it is locked).
"""


def is_too_large(error: discord.HTTPException) -> bool:
    """Whether the error is a 413 in any form: from Discord itself, or a page of a proxy in front of
    it.
    """
    return error.status == 413 or error.code == 40005


def reason_of(error: discord.HTTPException) -> str | None:
    """The reason for a refusal that no retry resolves; None for an unknown kind of refusal. Raises
    OSError for transient errors.
    """
    word = DELETED.get(error.code) or HINDERED.get(error.code)
    if word is not None:
        return word
    if isinstance(error, discord.DiscordServerError) or error.status in PASSING:
        raise OSError(f"Discord: {error.status}") from error
    return None
