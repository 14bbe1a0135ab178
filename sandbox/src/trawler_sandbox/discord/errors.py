"""Errors of Discord's API, with its codes (docs: Opcodes and Status Codes, JSON error codes)."""

from dataclasses import dataclass
from typing import Any


@dataclass
class DiscordError(Exception):
    """An answer with a status other than 2xx."""

    status: int
    code: int
    message: str
    errors: dict[str, Any] | None = None

    def body(self) -> dict[str, Any]:
        found: dict[str, Any] = {"message": self.message, "code": self.code}
        if self.status == 429:
            found |= {"retry_after": 60.0, "global": False}
        return found | ({"errors": self.errors} if self.errors else {})


def unknown(what: str) -> DiscordError:
    """404: the object does not exist, or the client may not know of it."""
    codes = {
        "Channel": 10003,
        "Guild": 10004,
        "Member": 10007,
        "Message": 10008,
        "User": 10013,
        "Webhook": 10015,
        "Interaction": 10062,
        "Application Command": 10063,
    }
    return DiscordError(
        404, codes[what], f"Unknown {what.lower() if what == 'interaction' else what}"
    )


def invalid_form(path: str, code: str, message: str) -> DiscordError:
    """400: a field is invalid. `path` is its path, separated by dots."""
    errors: dict[str, Any] = {"_errors": [{"code": code, "message": message}]}
    for key in reversed(path.split(".")):
        errors = {key: errors}
    return DiscordError(400, 50035, "Invalid Form Body", errors)


UNAUTHORIZED = DiscordError(401, 0, "401: Unauthorized")
MISSING_ACCESS = DiscordError(403, 50001, "Missing Access")
MISSING_PERMISSIONS = DiscordError(403, 50013, "Missing Permissions")
NOT_THE_AUTHOR = DiscordError(403, 50005, "Cannot edit a message authored by another user")
TOKEN_EXPIRED = DiscordError(401, 50027, "Invalid Webhook Token")
ANSWERED_ALREADY = DiscordError(400, 40060, "Interaction has already been acknowledged.")
TOO_LARGE = DiscordError(413, 40005, "Request entity too large")
EMPTY_MESSAGE = DiscordError(400, 50006, "Cannot send an empty message")
OLD_EDITS = DiscordError(
    429, 30046, "Maximum number of edits to messages older than 1 hour reached."
)
TOO_MANY_FOLLOW_UPS = DiscordError(400, 40094, "Interaction follow-up message limit reached")
SLOW_MODE = DiscordError(429, 20016, "This action cannot be performed due to slowmode rate limit")
ARCHIVED = DiscordError(400, 50083, "Tried to perform an operation on an archived thread")
THREAD_EXISTS = DiscordError(400, 160004, "A thread has already been created for this message")
BLOCKED = DiscordError(400, 200000, "Message was blocked by automatic moderation")
CANNOT_DM = DiscordError(403, 50007, "Cannot send messages to this user")
