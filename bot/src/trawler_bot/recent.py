"""What was asked for lately, as the watch of MediaJobs tells: for lists and completions. Pure but
for its memory.
"""

from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from trawler_crds.failures import FailureReason
from trawler_crds.media_job import TERMINAL, DiscordDelivery, Media, MediaJob, Phase, Reuse

MOST: Final = 20_000


@dataclass(frozen=True)
class Seen:
    """One job, as far as a list of jobs shows it."""

    name: str
    uid: str
    guild_id: int
    channel_id: int
    requester_id: int
    message_id: int | None
    private: bool
    url: str
    title: str | None
    phase: Phase
    reason: FailureReason | None
    asked: float
    stored: float
    reusable: bool
    """Its files would answer a plain request for the same address."""

    @property
    def waits(self) -> bool:
        return self.phase in {Phase.PENDING, Phase.QUEUED}

    @property
    def over(self) -> bool:
        return self.phase in TERMINAL


def seen(job: MediaJob, where: DiscordDelivery) -> Seen:
    """What is worth keeping of a job."""
    status = job.status
    noted = status.delivery.message_id if status.delivery else None
    return Seen(
        name=job.name,
        uid=job.uid,
        guild_id=int(where.guild_id or 0),
        channel_id=int(where.channel_id),
        requester_id=int(where.requester_id),
        message_id=int(noted) if noted else None,
        private=where.private,
        url=job.spec.url,
        title=status.source.title if status.source else None,
        phase=status.phase or Phase.PENDING,
        reason=status.reason,
        asked=_unix(job.metadata.creation_timestamp),
        stored=_unix(status.stored_time),
        reusable=(
            status.phase is Phase.SUCCEEDED
            and job.spec.media == Media()
            and job.spec.reuse is Reuse.ALWAYS
        ),
    )


class Recent:
    """By uid, the oldest first; bounded."""

    def __init__(self) -> None:
        self._jobs: OrderedDict[str, Seen] = OrderedDict()
        self._open: dict[int, dict[str, Seen]] = {}
        """Server → what is not over there, by uid: each who asks is judged by it, so it is not sought."""
        self._here: OrderedDict[str, float] = OrderedDict()

    def see(self, job: MediaJob, where: DiscordDelivery) -> None:
        """As it is now."""
        known = self._jobs[job.uid] = seen(job, where)
        if known.over:
            self._close(known)
        else:
            self._open.setdefault(known.guild_id, {})[known.uid] = known
        if known.reusable:
            self._here[known.url] = max(known.stored, self._here.get(known.url, 0.0))
        if len(self._jobs) > MOST:
            self.forget(next(iter(self._jobs)))
        if len(self._here) > MOST:
            self._here.popitem(last=False)

    def forget(self, uid: str) -> None:
        """It was deleted."""
        known = self._jobs.pop(uid, None)
        if known is None:
            return
        self._close(known)
        if known.reusable and self._here.get(known.url) == known.stored:
            del self._here[known.url]

    def _close(self, known: Seen) -> None:
        there = self._open.get(known.guild_id, {})
        there.pop(known.uid, None)
        if not there:
            self._open.pop(known.guild_id, None)

    def __iter__(self) -> Iterator[Seen]:
        """The newest first."""
        return reversed(self._jobs.values())

    def of_guild(self, guild_id: int) -> list[Seen]:
        """What waits or runs in a server, the oldest first."""
        return list(self._open.get(guild_id, {}).values())

    def of_person(self, guild_id: int, person: int, most: int) -> list[Seen]:
        """What somebody asked for in a server, the newest first."""
        mine = [job for job in self if (job.guild_id, job.requester_id) == (guild_id, person)]
        return mine[:most]

    def here(self, url: str, *, now: float, within: float) -> bool:
        """Whether the files of an address were stored so recently that they would answer at once."""
        return now - self._here.get(url, 0.0) < within


def _unix(time: str | None) -> float:
    """Unix seconds; 0 for what is no time, which a status may hold all the same."""
    try:
        return datetime.fromisoformat((time or "").upper().replace("Z", "+00:00")).timestamp()
    except (ValueError, OverflowError):
        return 0.0
