"""What is known of one job: heard, and not asked for. Pure."""

import asyncio
from dataclasses import dataclass, field

from trawler_bot.delivery.message import JobMessage
from trawler_crds.media_job import TERMINAL, MediaJob
from trawler_crds.messages import Place, Progress


@dataclass
class TrackedJob:
    """What was heard of a job last."""

    job: MediaJob
    place: Place | None = None
    progress: Progress | None = None
    gone: bool = False
    """The MediaJob was deleted."""
    message: JobMessage | None = None
    """Where it is shown, once that is known."""
    message_gone: bool = False
    """Somebody deleted the message: nobody sees what is written there."""
    changed: asyncio.Event = field(default_factory=asyncio.Event)

    def see(self, job: MediaJob) -> None:
        """Older sights change nothing."""
        if int(job.version or 0) >= int(self.job.version or 0):
            self.job = job
            self.changed.set()

    @property
    def over(self) -> bool:
        return self.gone or self.job.status.phase in TERMINAL
