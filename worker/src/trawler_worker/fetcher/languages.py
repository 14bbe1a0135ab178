"""Languages: as people ask for them (BCP 47), and as sites and containers call them. Pure."""

import re
from collections.abc import Collection, Iterable
from typing import Final

from yt_dlp.utils import ISO639Utils

from trawler_crds.failures import FailureReason
from trawler_crds.media_job import MOST_LANGUAGES
from trawler_worker.fetcher.errors import FetchError

TAG: Final = re.compile(r"[A-Za-z]{2,8}(-[A-Za-z0-9]{1,8})*")
_BIBLIOGRAPHIC: Final = {
    "alb": "sq",
    "arm": "hy",
    "baq": "eu",
    "bur": "my",
    "chi": "zh",
    "cze": "cs",
    "dut": "nl",
    "fre": "fr",
    "geo": "ka",
    "ger": "de",
    "gre": "el",
    "ice": "is",
    "mac": "mk",
    "may": "ms",
    "per": "fa",
    "rum": "ro",
    "slo": "sk",
    "tib": "bo",
    "wel": "cy",
}
"""Codes of ISO 639-2/B, of which containers are full."""
UNKNOWN: Final = "und"
_ALIKE: Final = {"no": ("nb", "nn"), "nb": ("no", "nn"), "nn": ("no", "nb")}
"""Norwegian, as one and as two (ISO 639-3, macrolanguages)."""


def tag(code: str | None) -> str:
    """A container's code for a language as people write it: `ger` is de. `und` where it says
    none.
    """
    code = (code or "").strip().replace("_", "-")
    if not TAG.fullmatch(code) or len(code) > 35:
        return UNKNOWN
    first, dash, rest = code.partition("-")
    short = _BIBLIOGRAPHIC.get(first.lower()) or ISO639Utils.long2short(first.lower())
    return (short or first.lower()) + dash + rest


def best(wanted: str, offered: Iterable[str]) -> str | None:
    """Which of some languages is meant: the same, a kind of it (en: en-GB), else what it is a kind
    of, or another kind of that (RFC 4647, section 3.4, goes as far as the third).
    """
    asked = tag(wanted).lower()
    wider = asked.partition("-")[0]
    known = {tag(each).lower(): each for each in reversed(list(offered))}
    kinds = [each for each in sorted(known) if each.startswith(f"{wider}-")]
    mine = [each for each in kinds if each.startswith(f"{asked}-")]
    alike = _ALIKE.get(wider, ())
    found = next((each for each in (asked, *mine, wider, *kinds, *alike) if each in known), None)
    return known[found] if found is not None else None


def not_offered(known: Collection[str]) -> FetchError:
    """None of the languages that were asked for is there; these are."""
    known = sorted(known)[:MOST_LANGUAGES]
    said = (
        f"There are subtitles only in: {', '.join(known)}." if known else "There are no subtitles."
    )
    return FetchError(FailureReason.NOTHING_FOUND, said[:300], offered_subtitles=known or None)
