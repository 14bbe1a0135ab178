"""Which files go into which message, and which go into none. Pure."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from trawler_crds.media_job import MediaFile

PER_MESSAGE: Final = 10
"""Files that one message takes (OpenAPI, maxItems)."""
STEPS: Final = 3
"""How often a refusal for size is answered with less."""


@dataclass(frozen=True)
class Plan:
    """What becomes of a job's files."""

    messages: list[list[MediaFile]]
    """The first is the job's own message; the others are further ones."""
    too_large: list[MediaFile]


def fit(
    files: Iterable[MediaFile],
    limit: int,
    others: int | None = None,
    *,
    together: int | None = None,
) -> Plan:
    """Ten to a message in their order; what is over the limit of one file stays out. Further
    messages than the first may have a limit of their own. `together`: bytes that one message may
    have, where that was refused.
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
    """The limit to believe in after files were refused though they were within it: just below the
    largest of them, and never more than three quarters of what was believed.
    """
    largest = max((file.bytes for file in refused), default=limit)
    return min(largest - 1, limit * 3 // 4)
