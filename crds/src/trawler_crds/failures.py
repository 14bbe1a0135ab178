"""Why a job did not give a file: a fixed list, and one table that says what follows."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Final


class FailureReason(StrEnum):
    """The word in `status.reason`."""

    BAD_ADDRESS = "BadAddress"
    NOT_SUPPORTED = "NotSupported"
    NOTHING_FOUND = "NothingFound"
    PLAYLIST = "Playlist"
    NEEDS_LOGIN = "NeedsLogin"
    UNAVAILABLE = "Unavailable"
    TOO_LARGE = "TooLarge"
    TOO_SLOW = "TooSlow"
    TOO_LONG = "TooLong"
    OUT_OF_MEMORY = "OutOfMemory"
    SITE_ERROR = "SiteError"
    BAD_CERTIFICATE = "BadCertificate"
    THROTTLED = "Throttled"
    BUSY = "Busy"
    QUOTA_EXCEEDED = "QuotaExceeded"
    WORKER_LOST = "WorkerLost"
    STORAGE_ERROR = "StorageError"
    CANCELLED = "Cancelled"
    INTERNAL = "Internal"

    @classmethod
    def _missing_(cls, value: object) -> "FailureReason | None":
        """A word that a newer worker or operator says is read as "something went wrong"."""
        return cls.INTERNAL if isinstance(value, str) else None


class Retry(StrEnum):
    """Whether another attempt may help."""

    NEVER = "never"
    YES = "yes"  # within backoffLimit, with growing waits
    NOT_BEFORE = "not before"  # as YES, but not before the time the site named
    ONCE_ALONE = "once, alone in a pod"


@dataclass(frozen=True, kw_only=True)
class FailureRule:
    """What a reason means, whether it is retried, and the sentence a person reads."""

    meaning: str
    retry: Retry
    sentence: str


def _rule(meaning: str, retry: Retry, sentence: str) -> FailureRule:
    return FailureRule(meaning=meaning, retry=retry, sentence=sentence)


_R = FailureReason
FAILURES: Final[Mapping[FailureReason, FailureRule]] = MappingProxyType(
    {
        _R.BAD_ADDRESS: _rule(
            "no such name, or an address that is refused",
            Retry.NEVER,
            "This address leads nowhere we may go. Check the link.",
        ),
        _R.NOT_SUPPORTED: _rule(
            "not media where media was promised, or no engine takes it",
            Retry.NEVER,
            "This kind of link or request is not supported.",
        ),
        _R.NOTHING_FOUND: _rule(
            "404, 410, or a page without media",
            Retry.NEVER,
            "There is no media at this address.",
        ),
        _R.PLAYLIST: _rule(
            "a playlist, channel or profile; none of it is fetched",
            Retry.NEVER,
            "This is a list of several things. Ask for one of them.",
        ),
        _R.NEEDS_LOGIN: _rule(
            "401 or 403", Retry.NEVER, "The site shows this only to people who are logged in."
        ),
        _R.UNAVAILABLE: _rule(
            "removed, private, region-locked, paid or live",
            Retry.NEVER,
            "The site does not make this available to everyone.",
        ),
        _R.TOO_LARGE: _rule(
            "over a cap on bytes, files, pages or requests",
            Retry.NEVER,
            "This is larger than what one request may fetch.",
        ),
        _R.TOO_SLOW: _rule(
            "under 1 KiB/s over 20 s, or no first byte for 90 s",
            Retry.YES,
            "The site sent its data too slowly.",
        ),
        _R.TOO_LONG: _rule(
            "attemptSeconds is over", Retry.NEVER, "Fetching this took longer than allowed."
        ),
        _R.OUT_OF_MEMORY: _rule(
            "over the memory cap, or no room on the worker's disk beside others",
            Retry.ONCE_ALONE,
            "Fetching this took more memory than allowed.",
        ),
        _R.SITE_ERROR: _rule(
            "cut, empty, broken, not as announced, 5xx, more than five redirects",
            Retry.YES,
            "The site answered with something broken or incomplete.",
        ),
        _R.BAD_CERTIFICATE: _rule(
            "its certificate is expired, self-signed, or of another name",
            Retry.NEVER,
            "The site cannot prove that it is the site: its certificate is not valid.",
        ),
        _R.THROTTLED: _rule(
            "429, or 503 with Retry-After",
            Retry.NOT_BEFORE,
            "The site asks us to slow down.",
        ),
        _R.BUSY: _rule(
            "maxQueueSeconds is over",
            Retry.NEVER,
            "There was too much to do; this request waited too long. Try again later.",
        ),
        _R.QUOTA_EXCEEDED: _rule(
            "maxQueued or dailyBytes is reached",
            Retry.NEVER,
            "This server has used up its share for now. Try again later.",
        ),
        _R.WORKER_LOST: _rule(
            "pod or process is gone",
            Retry.YES,
            "The worker that fetched this went away.",
        ),
        _R.STORAGE_ERROR: _rule(
            "the store refuses, or is away until the attempt's end",
            Retry.YES,
            "The file could not be stored.",
        ),
        _R.CANCELLED: _rule("cancel was set", Retry.NEVER, "This request was cancelled."),
        _R.INTERNAL: _rule("a fault of ours", Retry.YES, "Something went wrong on our side."),
    }
)
