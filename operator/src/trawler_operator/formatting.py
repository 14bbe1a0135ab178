"""How things are written in a status: times, sizes, hosts, conditions. Pure."""

import math
from datetime import UTC, datetime
from typing import Any, Final

from trawler_crds import addresses
from trawler_crds.media_job import Condition, ConditionStatus, MediaJob, with_condition

NOT_UNDERSTOOD: Final = "NotUnderstood"
"""Reason of the condition of what this version of the operator cannot read."""
MARKED_BY: Final = {"WorkerPool": "Ready", "MediaQueue": "Accepted"}
"""Kind → the condition that says so."""


def host(job: MediaJob) -> str:
    """Host and port of a job's address, for a column; empty where it has none."""
    try:
        return addresses.parse(job.spec.url).authority[:260]
    except addresses.BadAddress:
        return ""


def site(job: MediaJob) -> str:
    """Whom a job asks, in one spelling however it was written."""
    try:
        at = addresses.parse(job.spec.url)
    except addresses.BadAddress:
        return ""
    usual = {"http": 80, "https": 443}[at.scheme] == at.port
    return at.host.lower().rstrip(".") + ("" if usual else f":{at.port}")


def conditions(job: MediaJob, true: dict[str, tuple[str, str]]) -> list[dict[str, Any]]:
    """The conditions of a job with some of them true, each named with its reason and since when."""
    found = job.status.conditions
    for kind, (reason, since) in true.items():
        mine = Condition(
            type=kind,
            status=ConditionStatus.TRUE,
            reason=reason,
            last_transition_time=since,
            observed_generation=job.metadata.generation,
        )
        found = with_condition(found, mine)
    return [each.wire() for each in found or ()]


def human(size: int) -> str:
    """Bytes for a column: 842 B, 1.2 MB."""
    if size < 1000:
        return f"{size} B"
    power = min(4, int(math.log(size, 1000)))
    return f"{size / 1000**power:.1f} {' kMGT'[power]}B"


def stamp(wall: float) -> str:
    """Unix seconds as RFC 3339."""
    return datetime.fromtimestamp(wall, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def parse(text: str) -> float:
    """RFC 3339 as Unix seconds. Raises ValueError, also for a time without a zone: whoever may
    write a status may write there what they like.
    """
    time = datetime.fromisoformat(text.upper().replace("Z", "+00:00"))
    if time.tzinfo is None:
        raise ValueError(f"a time without a zone: {text}")
    return time.timestamp()
