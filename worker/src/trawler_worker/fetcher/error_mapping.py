"""What a status code or an error of a library means for a job (the table of the design, section
3).
"""

import errno
import socket
import ssl
import time
from email.utils import parsedate_to_datetime
from typing import Final

from trawler_crds.failures import FailureReason
from trawler_worker.fetcher.errors import FetchError
from trawler_worker.fetcher.network.guard import RefusedAddress

MAX_RETRY_AFTER: Final = 604800


def by_status(status: int, retry_after: str | None) -> FetchError:
    """The failure that a status of 400 or more stands for."""
    if status == 429 or (status == 503 and retry_after):
        return FetchError(FailureReason.THROTTLED, retry_after=seconds_of(retry_after))
    if status >= 500 or status < 400:
        return FetchError(FailureReason.SITE_ERROR)
    if status in {401, 403, 407}:
        return FetchError(FailureReason.NEEDS_LOGIN)
    if status in {402, 451}:
        return FetchError(FailureReason.UNAVAILABLE)
    if status in {404, 410}:
        return FetchError(FailureReason.NOTHING_FOUND)
    if status == 408:
        return FetchError(FailureReason.TOO_SLOW)
    return FetchError(FailureReason.SITE_ERROR)


def seconds_of(retry_after: str | None) -> float | None:
    """A Retry-After header in seconds from now; None where it says nothing (RFC 9110, 10.2.3)."""
    if not retry_after:
        return None
    text = retry_after.strip()
    if text.isascii() and text.isdigit():
        return float(min(int(text[:9]), MAX_RETRY_AFTER))
    try:
        at = parsedate_to_datetime(text)
        if at.tzinfo is None:
            return None
        return min(max(0.0, at.timestamp() - time.time()), MAX_RETRY_AFTER)
    except (ValueError, OverflowError):
        return None


def fault_of(error: BaseException) -> FetchError:
    """A network or disk error in our terms."""
    for cause in chain(error):
        if isinstance(cause, FetchError):
            return cause
        if isinstance(cause, RefusedAddress):
            return FetchError(FailureReason.BAD_ADDRESS)
        if isinstance(cause, socket.gaierror):
            missing = cause.errno in {socket.EAI_NONAME, getattr(socket, "EAI_NODATA", -5)}
            if missing:
                return FetchError(FailureReason.BAD_ADDRESS, "There is no such host.")
            return FetchError(FailureReason.SITE_ERROR, "The site's name could not be looked up.")
        if isinstance(cause, ssl.SSLCertVerificationError):
            return FetchError(FailureReason.BAD_CERTIFICATE)
        if isinstance(cause, TimeoutError):
            return FetchError(FailureReason.TOO_SLOW)
        if is_full(cause):
            return FetchError(FailureReason.TOO_LARGE)
    return FetchError(FailureReason.SITE_ERROR)


def is_full(error: BaseException) -> bool:
    """Whether a file was not allowed to grow, or the disk was full."""
    full = {errno.EFBIG, errno.ENOSPC, errno.EDQUOT}
    return isinstance(error, OSError) and error.errno in full


def chain(error: BaseException) -> list[BaseException]:
    """An error and everything that led to it, outermost first."""
    found: list[BaseException] = []
    todo: list[BaseException | None] = [error]
    while todo and len(found) < 50:
        current = todo.pop(0)
        if current is None or any(current is seen for seen in found):
            continue
        found.append(current)
        inner = getattr(current, "exc_info", None)
        todo += [
            current.__cause__,
            current.__context__,
            getattr(current, "os_error", None),
            getattr(current, "cause", None),
            getattr(current, "reason", None),
            *getattr(current, "unexpected_errors", ()),  # of yt-dlp's handlers
            *((inner[1],) if isinstance(inner, tuple) and len(inner) > 1 else ()),
        ]
        todo = [item for item in todo if isinstance(item, BaseException)]
    return found
