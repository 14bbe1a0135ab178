"""What was asked for lately, as the watch of MediaJobs tells: for lists and completions. Pure but
for its memory.
"""

from collections import OrderedDict
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from trawler_bot.jobs import ids
from trawler_crds.failures import FailureReason
from trawler_crds.media_job import (
    TERMINAL,
    DeliverAs,
    DeliveryStatus,
    DiscordDelivery,
    Media,
    MediaJob,
    Phase,
    Reuse,
)

MOST: Final = 20_000


@dataclass(frozen=True)
class JobSummary:
    """One job, as far as lists, completions and what is asked about messages need it."""

    name: str
    uid: str
    guild_id: int
    channel_id: int
    requester_id: int
    message_id: int | None
    """Of its first message, where that is known."""
    message_channel_id: int
    """Where its messages are."""
    further: tuple[int, ...]
    """Its messages with further files."""
    call: int | None
    """The reply that called the requester."""
    private: bool
    url: str
    link: str
    """The same as the person wrote it."""
    title: str | None
    phase: Phase
    reason: FailureReason | None
    asked: float
    stored: float
    follows: str | None
    """The name of the job that fetches for this one too."""
    reusable: bool
    """Its files would answer a plain request for the same address."""

    @property
    def waits(self) -> bool:
        return self.phase in {Phase.PENDING, Phase.QUEUED}

    @property
    def beside(self) -> tuple[int, ...]:
        """All its messages but the first."""
        return (*self.further, *([self.call] if self.call else []))

    @property
    def over(self) -> bool:
        return self.phase in TERMINAL


PLAIN: Final = Media(deliver_as=DeliverAs.PLAYABLE)
"""What somebody wants who says nothing but a link."""


def summarize(job: MediaJob, where: DiscordDelivery) -> JobSummary:
    """What is worth keeping of a job."""
    status = job.status
    noted = status.delivery or DeliveryStatus()
    return JobSummary(
        name=job.name,
        uid=job.uid,
        guild_id=int(where.guild_id or 0),
        channel_id=int(where.channel_id),
        requester_id=int(where.requester_id),
        message_id=int(noted.message_id) if noted.message_id else None,
        message_channel_id=int(noted.channel_id or where.channel_id),
        further=tuple(int(each) for each in noted.further_message_ids or ()),
        call=int(noted.call_message_id) if noted.call_message_id else None,
        private=where.private,
        url=job.spec.url,
        link=where.link or job.spec.url,
        title=status.source.title if status.source else None,
        phase=status.phase or Phase.PENDING,
        reason=status.reason,
        asked=_unix(job.metadata.creation_timestamp),
        stored=_unix(status.stored_time),
        follows=status.follows,
        reusable=(
            status.phase is Phase.SUCCEEDED
            and job.spec.media == PLAIN
            and job.spec.reuse is Reuse.ALWAYS
        ),
    )


class JobIndex:
    """By uid, the oldest first; bounded."""

    def __init__(self) -> None:
        self._jobs: OrderedDict[str, JobSummary] = OrderedDict()
        self._open: dict[int, dict[str, JobSummary]] = {}
        """Server → what is not over there, by uid: each who asks is judged by it, so it is not
        sought.
        """
        self._of_person: dict[tuple[int, int], dict[str, JobSummary]] = {}
        """(server, person) → what was asked for, by uid."""
        self._by_message: dict[int, dict[str, JobSummary]] = {}
        """First message → jobs that it shows or showed: each further try has one."""
        self._by_chain: dict[str, dict[str, JobSummary]] = {}
        """Job with which a message began → all that went on in it."""
        self._here: dict[str, dict[str, JobSummary]] = {}
        """Address → jobs whose files would answer a plain request for it."""

    def see(self, job: MediaJob, where: DiscordDelivery) -> None:
        """As it is now."""
        before = self._jobs.get(job.uid)
        if before is not None:
            self._file(before, away=True)
        known = self._jobs[job.uid] = summarize(job, where)
        self._file(known)
        if len(self._jobs) > MOST:
            self.forget(next(iter(self._jobs)))

    def forget(self, uid: str) -> None:
        """It was deleted."""
        known = self._jobs.pop(uid, None)
        if known is not None:
            self._file(known, away=True)

    def _file(self, known: JobSummary, *, away: bool = False) -> None:
        """Into every list in which it is sought, or out of them."""
        change = _take_out if away else _put_in
        if not known.over:
            change(self._open, known.guild_id, known)
        change(self._of_person, (known.guild_id, known.requester_id), known)
        change(self._by_chain, ids.first(known.name), known)
        if known.message_id is not None:
            change(self._by_message, known.message_id, known)
        if known.reusable:
            change(self._here, known.url, known)

    def __len__(self) -> int:
        return len(self._jobs)

    def get(self, uid: str) -> JobSummary | None:
        return self._jobs.get(uid)

    def of_guild(self, guild_id: int) -> list[JobSummary]:
        """What waits or runs in a server, the oldest first."""
        return sorted(self._open.get(guild_id, {}).values(), key=lambda job: job.asked)

    def of_person(self, guild_id: int, person: int, most: int) -> list[JobSummary]:
        """What somebody asked for in a server, the newest first."""
        mine = self._of_person.get((guild_id, person), {}).values()
        return sorted(mine, key=lambda job: job.asked, reverse=True)[:most]

    def of_message(self, message_id: int) -> list[JobSummary]:
        """Jobs that a message shows or showed."""
        return list(self._by_message.get(message_id, {}).values())

    def named(self, name: str) -> JobSummary | None:
        return next((job for job in self.of_chain(ids.first(name)) if job.name == name), None)

    def of_chain(self, first: str) -> list[JobSummary]:
        """The job with which a message began, and those that went on in it."""
        return list(self._by_chain.get(first, {}).values())

    def in_channel(self, channel_id: int) -> list[JobSummary]:
        """Jobs whose messages are in a channel."""
        return [job for job in self._jobs.values() if job.message_channel_id == channel_id]

    def followed(self, name: str) -> bool:
        """Whether another job, not over, waits for the files of this one."""
        return any(job.follows == name for jobs in self._open.values() for job in jobs.values())

    def stored(self, url: str) -> list[JobSummary]:
        """Jobs whose files would answer a plain request for an address."""
        return list(self._here.get(url, {}).values())


def _put_in(lists: dict[Any, dict[str, JobSummary]], key: Any, job: JobSummary) -> None:
    lists.setdefault(key, {})[job.uid] = job


def _take_out(lists: dict[Any, dict[str, JobSummary]], key: Any, job: JobSummary) -> None:
    there = lists.get(key, {})
    there.pop(job.uid, None)
    if not there:
        lists.pop(key, None)


def _unix(time: str | None) -> float:
    """Unix seconds; 0 for what is no time, which a status may hold all the same."""
    try:
        return datetime.fromisoformat((time or "").upper().replace("Z", "+00:00")).timestamp()
    except (ValueError, OverflowError):
        return 0.0
