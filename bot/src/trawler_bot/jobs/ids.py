"""Derives names from the ids that Discord sends, so that a repeated action has no further effect.
Pure.
"""

import base64
import hashlib
from typing import Final

NONCE: Final = 25
"""Maximum characters of a nonce (OpenAPI, MessageCreateRequest.nonce)."""

RECENT: Final = "recent:"
GUILD: Final = "guild-"


def job(interaction_id: int, number: int = 0) -> str:
    """The MediaJob of an interaction, or of its `number`th choice: a repeat fails with
    AlreadyExists.
    """
    return f"d-{interaction_id}" + (f"-{number}" if number else "")


def entry(job_name: str, place: int) -> str:
    """The MediaJob of one entry of a list, by its position: choosing an entry twice creates one
    job.
    """
    return f"{job_name}-e{place}"


def again(job_name: str) -> str:
    """The next job that takes over a message: two presses of one button create one job."""
    base, _, number = job_name.rpartition("-r")
    return f"{base}-r{int(number) + 1}" if base and number.isdigit() else f"{job_name}-r1"


def before(job_name: str) -> str:
    """The job whose message this job took over; the job itself if there was none."""
    base, _, number = job_name.rpartition("-r")
    if not base or not number.isdigit():
        return job_name
    return base if number == "1" else f"{base}-r{int(number) - 1}"


def first(job_name: str) -> str:
    """The job for which a message was first sent."""
    base, _, number = job_name.rpartition("-r")
    return base if base and number.isdigit() else job_name


def is_choice(job_name: str) -> bool:
    """Whether the job was one of several choices: its message is no response to an interaction."""
    return first(job_name).count("-") > 1


def nonce(uid: str, part: str) -> str:
    """The nonce of a job's message that must not be sent twice: a uid itself is too long."""
    digest = hashlib.sha256(f"{uid} {part}".encode()).digest()
    return base64.b32encode(digest).decode().lower()[:NONCE]


def recent(number: int) -> str:
    """An autocomplete value that stands for an earlier request of the same person."""
    return f"{RECENT}{number}"


def recent_number(text: str) -> int | None:
    """The number in such a value; None for any other text."""
    number = text.removeprefix(RECENT)
    return int(number) if number != text and number.isdecimal() and len(number) < 19 else None


def queue(guild_id: int) -> str:
    """The MediaQueue of a guild."""
    return f"{GUILD}{guild_id}"


def guild_of(queue_name: str) -> int | None:
    """The guild to which a MediaQueue belongs, by its name; None if it belongs to no guild."""
    number = queue_name.removeprefix(GUILD)
    found = int(number) if number.isdecimal() and number.isascii() and len(number) < 20 else None
    return found if found is not None and queue(found) == queue_name else None
