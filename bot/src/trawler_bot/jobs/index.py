"""An index of recent jobs, filled by the watch of MediaJobs, for lists and autocompletion. Pure but
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
    """One job, with the fields that lists, autocompletion and message lookups need."""

    name: str
    uid: str
    guild_id: int
    channel_id: int
    requester_id: int
    message_id: int | None
    """The id of its first message, if it is known."""
    message_channel_id: int
    """The channel of its messages."""
    further: tuple[int, ...]
    """Its messages with further files."""
    call: int | None
    """The reply that notified the requester."""
    private: bool
    url: str
    link: str
    """The same link as the person wrote it."""
    title: str | None
    phase: Phase
    reason: FailureReason | None
    asked: float
    stored: float
    follows: str | None
    """The name of the job whose files this job waits for."""
    reusable: bool
    """Whether its files can answer a plain request for the same address."""

    @property
    def waits(self) -> bool:
        return self.phase in {Phase.PENDING, Phase.QUEUED}

    @property
    def beside(self) -> tuple[int, ...]:
        """All its messages except the first."""
        return (*self.further, *([self.call] if self.call else []))

    @property
    def over(self) -> bool:
        return self.phase in TERMINAL


PLAIN: Final = Media(deliver_as=DeliverAs.PLAYABLE)
"""The media of a request that contains only a link."""


def summarize(job: MediaJob, where: DiscordDelivery) -> JobSummary:
    """The index entry of a job."""
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
    """Jobs by uid, oldest first; bounded."""

    def __init__(self) -> None:
        self._jobs: OrderedDict[str, JobSummary] = OrderedDict()
        self._open: dict[int, dict[str, JobSummary]] = {}
        """Server → its unfinished jobs, by uid: every request is checked against them, so they are
        not searched for.
        """
        self._of_person: dict[tuple[int, int], dict[str, JobSummary]] = {}
        """(server, person) → the jobs that this person requested, by uid."""
        self._by_message: dict[int, dict[str, JobSummary]] = {}
        """First message → jobs that it shows or showed: each further try is a job of its own."""
        self._by_chain: dict[str, dict[str, JobSummary]] = {}
        """Job for which a message was first sent → all jobs that the message has shown."""
        self._here: dict[str, dict[str, JobSummary]] = {}
        """Address → jobs whose files can answer a plain request for it."""

    def see(self, job: MediaJob, where: DiscordDelivery) -> None:
        """Add or update a job."""
        before = self._jobs.get(job.uid)
        if before is not None:
            self._file(before, away=True)
        known = self._jobs[job.uid] = summarize(job, where)
        self._file(known)
        if len(self._jobs) > MOST:
            self.forget(next(iter(self._jobs)))

    def forget(self, uid: str) -> None:
        """Remove a deleted job."""
        known = self._jobs.pop(uid, None)
        if known is not None:
            self._file(known, away=True)

    def _file(self, known: JobSummary, *, away: bool = False) -> None:
        """Add a job to every lookup table that it belongs to, or remove it from them."""
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
        """Waiting and running jobs of a server, oldest first."""
        return sorted(self._open.get(guild_id, {}).values(), key=lambda job: job.asked)

    def of_person(self, guild_id: int, person: int, most: int) -> list[JobSummary]:
        """Jobs that a person requested in a server, newest first."""
        mine = self._of_person.get((guild_id, person), {}).values()
        return sorted(mine, key=lambda job: job.asked, reverse=True)[:most]

    def of_message(self, message_id: int) -> list[JobSummary]:
        """Jobs that a message shows or showed."""
        return list(self._by_message.get(message_id, {}).values())

    def named(self, name: str) -> JobSummary | None:
        return next((job for job in self.of_chain(ids.first(name)) if job.name == name), None)

    def of_chain(self, first: str) -> list[JobSummary]:
        """The job for which a message was first sent, and the jobs that took the message over."""
        return list(self._by_chain.get(first, {}).values())

    def in_channel(self, channel_id: int) -> list[JobSummary]:
        """Jobs whose messages are in a channel."""
        return [job for job in self._jobs.values() if job.message_channel_id == channel_id]

    def followed(self, name: str) -> bool:
        """Whether another unfinished job waits for the files of this one."""
        return any(job.follows == name for jobs in self._open.values() for job in jobs.values())

    def stored(self, url: str) -> list[JobSummary]:
        """Jobs whose files can answer a plain request for an address."""
        return list(self._here.get(url, {}).values())


def _put_in(lists: dict[Any, dict[str, JobSummary]], key: Any, job: JobSummary) -> None:
    lists.setdefault(key, {})[job.uid] = job


def _take_out(lists: dict[Any, dict[str, JobSummary]], key: Any, job: JobSummary) -> None:
    there = lists.get(key, {})
    there.pop(job.uid, None)
    if not there:
        lists.pop(key, None)


def _unix(time: str | None) -> float:
    """Unix seconds; 0 for text that is not a time, which a status may contain."""
    try:
        return datetime.fromisoformat((time or "").upper().replace("Z", "+00:00")).timestamp()
    except (ValueError, OverflowError):
        return 0.0
