"""The known state of one job, as received from the watch and the bus. Pure."""

import asyncio
from dataclasses import dataclass, field

from trawler_bot.delivery.message import JobMessage
from trawler_crds.media_job import TERMINAL, MediaJob
from trawler_crds.messages import Place, Progress


@dataclass
class TrackedJob:
    """The last received state of a job."""

    job: MediaJob
    place: Place | None = None
    progress: Progress | None = None
    gone: bool = False
    """The MediaJob was deleted."""
    message: JobMessage | None = None
    """The message that shows the job, once it is known."""
    message_gone: bool = False
    """The message was deleted: nobody sees further edits."""
    changed: asyncio.Event = field(default_factory=asyncio.Event)

    def see(self, job: MediaJob) -> None:
        """Update to this version of the job; an older version is ignored."""
        if int(job.version or 0) >= int(self.job.version or 0):
            self.job = job
            self.changed.set()

    @property
    def over(self) -> bool:
        return self.gone or self.job.status.phase in TERMINAL
