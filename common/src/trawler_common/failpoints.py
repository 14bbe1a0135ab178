"""Places at which a test may end this process as a crash would: at once, without a goodbye.

Compiled in, so that what is tested is what is shipped; off unless the environment variable names
one. The chart never sets it.
"""

import os
import signal
from enum import StrEnum
from functools import cache
from typing import Final

VARIABLE: Final = "TRAWLER_CRASH_AT"


class Failpoint(StrEnum):
    """Between which two steps. First those of the operator, then of a worker, then of the bot."""

    BEFORE_QUEUED = "before-Queued"
    """Before a status write that says so; admission, and every way back into the queue."""
    AFTER_QUEUED = "after-Queued"
    BEFORE_RUNNING = "before-Running"
    """The write-ahead of a dispatch."""
    AFTER_RUNNING = "after-Running"
    AFTER_ORDER = "after-order"
    """A pod took the order; nobody here knows of it yet."""
    AFTER_GRANT = "after-grant"
    """Signed PUTs were made; no pod has them yet."""
    BEFORE_SUCCEEDED = "before-Succeeded"
    """The objects were looked at."""
    AFTER_SUCCEEDED = "after-Succeeded"
    """No pod heard *recorded* yet."""
    BEFORE_FAILED = "before-Failed"
    AFTER_FAILED = "after-Failed"
    BEFORE_CANCELLED = "before-Cancelled"
    AFTER_CANCELLED = "after-Cancelled"
    BEFORE_SUSPENDED = "before-Suspended"
    AFTER_SUSPENDED = "after-Suspended"
    BEFORE_POD = "before-pod"
    AFTER_POD = "after-pod"
    BEFORE_EXPIRY = "before-expiry"
    """A finished job was kept long enough."""
    AFTER_EXPIRY = "after-expiry"
    BEFORE_SWEEP = "before-sweep"
    """Nothing names an object any more."""
    AFTER_SWEEP = "after-sweep"

    WORKER_ORDERED = "worker-ordered"
    """The order was taken, perhaps not yet answered."""
    WORKER_FETCHED = "worker-fetched"
    WORKER_GRANTED = "worker-granted"
    WORKER_STORED = "worker-stored"
    """The bytes are in the store; nobody was told."""
    WORKER_RECORDED = "worker-recorded"
    """The operator has the result; the pod still holds the attempt."""

    BOT_ASKED = "bot-asked"
    """A person's command came; nothing was made yet."""
    BOT_ACCEPTED = "bot-accepted"
    """The MediaJob is made; the person has no answer."""
    BOT_ANSWERED = "bot-answered"
    """The message is there; nothing says which job it shows but its button."""
    BOT_NOTED = "bot-noted"
    BOT_ENDING = "bot-ending"
    """The files are on our disk; the last edit comes next."""
    BOT_SHOWN = "bot-shown"
    """The last edit was made; nobody noted it."""
    BOT_DELIVERED = "bot-delivered"


@cache
def _aim() -> str | None:
    return os.environ.get(VARIABLE)


def hit(point: Failpoint) -> None:
    """Go on, or die here if that is what the environment says."""
    if point == _aim():
        os.kill(os.getpid(), signal.SIGKILL)
        os._exit(137)  # PID 1 of a container survives its own SIGKILL
