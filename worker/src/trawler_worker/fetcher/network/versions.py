"""Checks whether two answers are of the same version of a file (RFC 9110, sections 8.8, 13.1.5 and
15.3.7). Pure.
"""

import re
from dataclasses import dataclass
from email.message import Message
from typing import Final

_RANGE: Final = re.compile(r"bytes (\d{1,18})-(\d{1,18})/(\d{1,18}|\*)", re.IGNORECASE)


@dataclass(frozen=True, kw_only=True, slots=True)
class Part:
    """The range that a 206 declares: the bytes from `first` to `last`, and the total if it is
    known.
    """

    first: int
    last: int
    total: int | None

    @property
    def bytes(self) -> int:
        """Number of bytes in the range."""
        return self.last - self.first + 1

    def fits(self, length: int | None) -> bool:
        """Whether a body of this length, if it is known, can contain the range."""
        return length is None or length == self.bytes

    def is_what_was_asked(self, first: int, last: int) -> bool:
        """Whether the range goes from `first` to `last`, or to the end of the file if that comes
        earlier.
        """
        end = last if self.total is None else min(last, self.total - 1)
        return self.first == first and self.last == end


def part(content_range: str | None) -> Part | None:
    """Parse a Content-Range; None if it is missing or invalid."""
    found = _RANGE.fullmatch((content_range or "").strip())
    if found is None:
        return None
    first, last = int(found[1]), int(found[2])
    total = None if found[3] == "*" else int(found[3])
    if last < first or (total is not None and last >= total):
        return None
    return Part(first=first, last=last, total=total)


@dataclass(frozen=True, kw_only=True, slots=True)
class Version:
    """What an answer declares about its file."""

    total: int | None
    etag: str | None
    modified: str | None

    @classmethod
    def of(cls, headers: Message, *, total: int | None) -> "Version":
        return cls(total=total, etag=headers.get("ETag"), modified=headers.get("Last-Modified"))

    @property
    def condition(self) -> str | None:
        """The value for If-Range: a strong validator, or None."""
        return self.etag if self.etag is not None and not self.etag.startswith("W/") else None

    def differs_from(self, other: "Version") -> bool:
        """Whether the two declare something that cannot belong to one version."""
        pairs = (
            (self.etag, other.etag),
            (self.total, other.total),
            (self.modified, other.modified),
        )
        return any(None not in pair and pair[0] != pair[1] for pair in pairs)

    def is_continued_by(self, other: "Version", at: Part, *, have: int) -> bool:
        """Whether a 206 continues exactly where this version was interrupted. What it does not
        declare is unchecked, so the result is False.
        """
        return (
            self.condition is not None
            and other.etag == self.etag
            and (other.modified is None or self.modified is None or other.modified == self.modified)
            and at.first == have
            and at.total is not None
            and at.last == at.total - 1
            and (self.total is None or at.total == self.total)
        )
