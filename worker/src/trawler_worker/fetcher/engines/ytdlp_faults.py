"""Maps yt-dlp's errors to our failures: network errors first, then the extractor's messages."""

import re
from typing import Final

from yt_dlp.networking.exceptions import CertificateVerifyError, HTTPError, TransportError
from yt_dlp.utils import ContentTooShortError, ExtractorError, GeoRestrictedError, UnsupportedError

from trawler_crds.failures import FailureReason
from trawler_worker.fetcher.error_mapping import by_status, chain, fault_of
from trawler_worker.fetcher.errors import EngineDeclined, FetchError
from trawler_worker.fetcher.network.guard import RefusedAddress

_LOGIN: Final = re.compile(
    r"\b(log ?in|logged[ -]in|sign ?in|cookies|authenticat\w*|password)\b", re.IGNORECASE
)
_MISSING: Final = re.compile(
    r"no (video|media)|could not be found|not found|(does ?n[o']t|does not|no longer) exist",
    re.IGNORECASE,
)


_OF_THE_ADDRESS: Final = frozenset(
    [FailureReason.NOTHING_FOUND, FailureReason.NEEDS_LOGIN, FailureReason.BAD_ADDRESS]
)


def failure_of(error: Exception, *, begun: bool = False) -> FetchError:
    """The failure that an error of yt-dlp stands for. Once fetching has `begun`, a network error
    concerns only a part of the media: the address itself was good.
    """
    causes = chain(error)
    fault = _failure(error, causes)
    if begun and fault.reason in _OF_THE_ADDRESS and not _refuses(causes):
        return FetchError(FailureReason.SITE_ERROR, "The site did not send all parts of it.")
    return fault


def _refuses(causes: list[BaseException]) -> bool:
    """Whether an extractor or our guard raised one of the errors."""
    return any(isinstance(cause, ExtractorError | RefusedAddress) for cause in causes)


def _failure(error: Exception, causes: list[BaseException]) -> FetchError:
    for cause in causes:
        fault = _meaning(cause)
        if fault is not None:
            return fault
    expected = next((c for c in causes if isinstance(c, ExtractorError) and c.expected), None)
    return fault_of(error) if expected is None else _meant(expected)


def _meant(error: ExtractorError) -> FetchError:
    """Interpret the extractor's own message, without the id, which may contain any word."""
    said = str(error.orig_msg)
    if _MISSING.search(said):
        return FetchError(FailureReason.NOTHING_FOUND)
    if _LOGIN.search(said):
        return FetchError(FailureReason.NEEDS_LOGIN)
    return FetchError(FailureReason.UNAVAILABLE)


def _meaning(cause: BaseException) -> FetchError | None:
    """The failure that one error of a chain stands for by itself, if any."""
    match cause:
        case FetchError():
            return cause
        case HTTPError() if cause.redirect_loop:
            return FetchError(FailureReason.SITE_ERROR, "The site redirects too often.")
        case HTTPError():
            return by_status(cause.status, cause.response.headers.get("Retry-After"))
        case UnsupportedError():
            return EngineDeclined(FailureReason.NOTHING_FOUND, "There is no media on this page.")
        case GeoRestrictedError():
            return FetchError(FailureReason.UNAVAILABLE)
        case ContentTooShortError():
            return FetchError(FailureReason.SITE_ERROR, "The site broke off in the middle.")
        case CertificateVerifyError():
            return FetchError(FailureReason.BAD_CERTIFICATE)
        case MemoryError():
            return FetchError(FailureReason.OUT_OF_MEMORY)
        case TransportError():
            return fault_of(cause)
    return None
