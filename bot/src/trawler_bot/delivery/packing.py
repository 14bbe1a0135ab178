"""Packs files into messages within Discord's limits, and decides which files are left out. Pure."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from trawler_crds.media_job import MediaFile

PER_MESSAGE: Final = 10
"""Maximum number of files in one message (OpenAPI, maxItems)."""
STEPS: Final = 3
"""Number of refusals for size that are answered with a lower limit."""


@dataclass(frozen=True)
class Plan:
    """Which files go into which message."""

    messages: list[list[MediaFile]]
    """The first entry is the job's own message, the others are further messages."""
    too_large: list[MediaFile]


def fit(
    files: Iterable[MediaFile],
    limit: int,
    others: int | None = None,
    *,
    together: int | None = None,
) -> Plan:
    """Pack files in order, ten to a message, and leave out files above the limit of one file.
    `others`: the limit for further messages, if it differs. `together`: maximum total bytes of one
    message, once Discord has refused a larger total.
    """
    small: list[MediaFile] = []
    large: list[MediaFile] = []
    for file in files:
        further = len(small) >= PER_MESSAGE and others is not None
        most = min(limit, others) if further and others is not None else limit
        (small if file.bytes <= most else large).append(file)
    return Plan(_groups(small, together), large)


def _groups(files: Iterable[MediaFile], together: int | None) -> list[list[MediaFile]]:
    groups: list[list[MediaFile]] = []
    for file in files:
        last = groups[-1] if groups else []
        heavy = together is not None and sum(each.bytes for each in last) + file.bytes > together
        if not last or len(last) == PER_MESSAGE or heavy:
            groups.append([file])
        else:
            last.append(file)
    return groups


def step_down(limit: int, refused: Sequence[MediaFile]) -> int:
    """The limit to assume after Discord refused files that were within the limit: just below the
    largest of them, and at most three quarters of the old limit.
    """
    largest = max((file.bytes for file in refused), default=limit)
    return min(largest - 1, limit * 3 // 4)
