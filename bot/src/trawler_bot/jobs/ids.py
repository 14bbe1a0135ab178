"""Names that follow from what Discord gave us, so that doing a thing twice is doing it once.
Pure.
"""

import base64
import hashlib
from typing import Final

NONCE: Final = 25
"""Characters that Discord takes (OpenAPI, MessageCreateRequest.nonce)."""

RECENT: Final = "recent:"
GUILD: Final = "guild-"


def job(interaction_id: int, number: int = 0) -> str:
    """The MediaJob of an interaction, or of its `number`th choice: a repeat is AlreadyExists."""
    return f"d-{interaction_id}" + (f"-{number}" if number else "")


def entry(job_name: str, place: int) -> str:
    """The MediaJob of what a list has at a place: who chooses it twice asks for it once."""
    return f"{job_name}-e{place}"


def again(job_name: str) -> str:
    """The next job that takes over a message: two presses on one button make one job."""
    base, _, number = job_name.rpartition("-r")
    return f"{base}-r{int(number) + 1}" if base and number.isdigit() else f"{job_name}-r1"


def before(job_name: str) -> str:
    """The job whose message this one took over; itself where there was none."""
    base, _, number = job_name.rpartition("-r")
    if not base or not number.isdigit():
        return job_name
    return base if number == "1" else f"{base}-r{int(number) - 1}"


def first(job_name: str) -> str:
    """The job with which a message began."""
    base, _, number = job_name.rpartition("-r")
    return base if base and number.isdigit() else job_name


def is_choice(job_name: str) -> bool:
    """Whether it was one of several that were chosen: its message answers no interaction."""
    return first(job_name).count("-") > 1


def nonce(uid: str, part: str) -> str:
    """For a message of a job that must not be sent twice: a uid is too long to be one itself."""
    digest = hashlib.sha256(f"{uid} {part}".encode()).digest()
    return base64.b32encode(digest).decode().lower()[:NONCE]


def recent(number: int) -> str:
    """A completion that stands for a request of one's own."""
    return f"{RECENT}{number}"


def recent_number(text: str) -> int | None:
    """The number in such a completion; None where it is something else."""
    number = text.removeprefix(RECENT)
    return int(number) if number != text and number.isdecimal() and len(number) < 19 else None


def queue(guild_id: int) -> str:
    """The MediaQueue of a guild."""
    return f"{GUILD}{guild_id}"


def guild_of(queue_name: str) -> int | None:
    """The guild whose MediaQueue has this name; None where it is nobody's."""
    number = queue_name.removeprefix(GUILD)
    found = int(number) if number.isdecimal() and number.isascii() and len(number) < 20 else None
    return found if found is not None and queue(found) == queue_name else None
