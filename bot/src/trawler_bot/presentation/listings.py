"""Renders lists of jobs as one person sees them. Pure."""

from collections.abc import Iterable
from typing import Final

from trawler_bot.jobs.index import JobSummary
from trawler_bot.presentation import rendering
from trawler_bot.presentation.i18n import Key, Language, failed, say, span
from trawler_crds.failures import FailureReason
from trawler_crds.media_job import Phase
from trawler_crds.messages import Place

MOST: Final = 15
"""Maximum lines of one list."""
ROOM: Final = 1900
"""Maximum characters of a list, below a message's 2,000."""
PHASES: Final = {
    Phase.PENDING: Key.LIST_WAITING,
    Phase.QUEUED: Key.LIST_WAITING,
    Phase.RUNNING: Key.LIST_RUNNING,
    Phase.SUSPENDED: Key.LIST_SUSPENDED,
    Phase.SUCCEEDED: Key.LIST_DONE,
    Phase.CANCELLED: Key.CANCELLED,
}


def label(job: JobSummary) -> str:
    """One job as a line of plain text."""
    return job.title or job.link.partition("://")[2]


def queue(jobs: Iterable[tuple[JobSummary, Place | None]], to: Language) -> str:
    """Waiting and running jobs of a server, in the order of their requests."""
    lines = []
    for job, place in jobs:
        state = say(to, PHASES[job.phase])
        if job.waits and job.reason is FailureReason.THROTTLED:
            state = say(to, Key.LIST_REFUSED)
        elif place is not None and job.phase is not Phase.RUNNING:
            state = say(to, Key.LIST_PLACE, place=place.place)
        lines.append(f"{state} · {_shown(job)} · <@{job.requester_id}>")
    return _page(lines, to, Key.QUEUE_HEAD, Key.QUEUE_EMPTY)


def mine(jobs: Iterable[JobSummary], to: Language, *, now: float) -> str:
    """The last requests of a person, each with its outcome and the link to its message."""
    lines = []
    for job in jobs:
        state = say(to, PHASES[job.phase]) if job.phase in PHASES else failed(to, _reason(job))
        ago = say(to, Key.AGO, time=span(now - job.asked))
        lines.append(f"{state} · {_shown(job)} · {ago}{_address(job)}")
    return _page(lines, to, Key.MINE_HEAD, Key.MINE_EMPTY)


def _reason(job: JobSummary) -> FailureReason:
    return job.reason or FailureReason.INTERNAL


def _address(job: JobSummary) -> str:
    """The link to the message of a job, if it has one that lasts."""
    if job.message_id is None or job.private or not job.guild_id:
        return ""
    return f" · https://discord.com/channels/{job.guild_id}/{job.channel_id}/{job.message_id}"


def _shown(job: JobSummary) -> str:
    return rendering.harmless(label(job), 80)


def _page(lines: list[str], to: Language, head: Key, empty: Key) -> str:
    if not lines:
        return say(to, empty)
    found = [say(to, head, count=len(lines))]
    for line in lines[:MOST]:
        if sum(map(len, found)) + len(found) + len(line) > ROOM:
            break
        found.append(line)
    left = len(lines) - (len(found) - 1)
    return "\n".join([*found, say(to, Key.LIST_MORE, count=left)] if left else found)
