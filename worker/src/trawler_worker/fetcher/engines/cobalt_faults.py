"""Maps Cobalt's error codes to our failures (API source and web client's catalogue of 11.7.1).
Pure.
"""

from typing import Final

from trawler_crds.failures import FailureReason
from trawler_worker.fetcher.engines.cobalt_api import Refusal
from trawler_worker.fetcher.errors import EngineDeclined, FetchError

PREFIX: Final = "error.api."

NOT_ITS: Final = frozenset(
    [
        *("link.invalid", "link.unsupported"),
        *("service.disabled", "service.audio_not_supported", "service.unsupported"),
    ]
)
"""Codes for links that Cobalt does not support. Another engine may."""
FINAL: Final = {
    "content.too_long": FailureReason.TOO_LARGE,
    "content.post.unavailable": FailureReason.UNAVAILABLE,
    "content.post.private": FailureReason.UNAVAILABLE,
    "content.post.age": FailureReason.NEEDS_LOGIN,
    "content.video.unavailable": FailureReason.UNAVAILABLE,
    "content.video.private": FailureReason.UNAVAILABLE,
    "content.video.age": FailureReason.NEEDS_LOGIN,
    "content.video.region": FailureReason.UNAVAILABLE,
    "content.video.live": FailureReason.UNAVAILABLE,
    "content.region": FailureReason.UNAVAILABLE,
    "content.paid": FailureReason.UNAVAILABLE,
    "youtube.drm": FailureReason.UNAVAILABLE,
}
"""Codes for final failures: no other engine would get the media either."""
UNCLEAR: Final = frozenset(
    [
        *("fetch.empty", "fetch.fail", "fetch.critical", "fetch.critical.core"),
        *("fetch.short_link", "generic", "unknown", "unknown_response"),
    ]
)
"""Codes that hide the cause: the next engine finds out."""
LIMITED: Final = frozenset(
    [
        *("fetch.rate", "youtube.login", "youtube.token_expired", "youtube.no_session_tokens"),
        *("youtube.decipher", "youtube.api_error", "youtube.no_matching_format"),
        *("youtube.no_hls_streams", "youtube.temporary_disabled"),
    ]
)
"""Codes that mean that the site refuses Cobalt for now."""
OURS: Final = frozenset(
    [
        *("invalid_body", "link.missing", "header.accept", "header.content_type"),
        *("auth.key.missing", "auth.key.not_api_key", "auth.key.invalid", "auth.key.not_found"),
        *("auth.key.ip_not_allowed", "auth.key.ua_not_allowed", "auth.key.invalid_ip"),
        *("auth.jwt.missing", "auth.jwt.invalid", "auth.turnstile.missing"),
        *("auth.turnstile.invalid", "auth.not_configured"),
    ]
)
"""Codes for a wrong request or a wrong key of ours: an administrator must look at it."""
BUSY: Final = "rate_exceeded"

_LIVE: Final = "This is live; try again when it is over."


def failure_of(refusal: Refusal, retry_after: float | None) -> FetchError:
    """The failure that a refusal stands for, and whether another engine may try."""
    code = refusal.error.code.removeprefix(PREFIX)
    limit = refusal.error.context.limit if refusal.error.context else None
    if code in NOT_ITS:
        return EngineDeclined(
            FailureReason.NOT_SUPPORTED, "Cobalt does not take links of this kind.", note=code
        )
    if code in FINAL:
        return FetchError(FINAL[code], _final_words(code, limit), note=code)
    if code == BUSY:
        wait = retry_after if retry_after is not None else limit
        return FetchError(
            FailureReason.THROTTLED,
            "Cobalt is asked too often at the moment.",
            retry_after=wait,
            elsewhere=True,
            note=code,
        )
    if code in LIMITED:
        return FetchError(FailureReason.THROTTLED, elsewhere=True, note=code)
    if code in OURS:
        return FetchError(
            FailureReason.INTERNAL, "Cobalt did not take our request.", elsewhere=True, note=code
        )
    known = code if code in UNCLEAR else "an unknown code"
    return FetchError(
        FailureReason.SITE_ERROR,
        "Cobalt could not get it from the site.",
        elsewhere=True,
        note=known,
    )


def _final_words(code: str, limit: float | None) -> str | None:
    if code == "content.too_long":
        if limit is None:
            return "This is longer than Cobalt may fetch."
        return f"This is longer than the {limit:.0f} minutes that Cobalt may fetch."
    return _LIVE if code == "content.video.live" else None
