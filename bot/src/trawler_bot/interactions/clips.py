"""Parses part of a video as people write it: `1:20-2:05`, `80-125`, `1:02:03-` to its end. Pure."""

import re
from typing import Final
from urllib.parse import parse_qs, urlsplit

from trawler_crds.media_job import Clip

END: Final = 86_400.0
"""End of an open part in seconds: later than the end of any media."""
LEAST: Final = 0.1
MOST: Final = 40
"""Maximum characters of the typed text."""
USUAL: Final = 60.0
"""Length in seconds of a suggested part."""
_TIME: Final = re.compile(r"(?:(?:(\d{1,2}):)?(\d{1,2}):)?(\d{1,5})(?:[.,](\d{1,3}))?", re.ASCII)
_SPANS: Final = re.compile(r"\s*(?:-|\u2013|\u2014|\.\.+|to|bis)\s*", re.IGNORECASE)
_UNITS: Final = re.compile(
    r"(?:(\d{1,2})h)?(?:(\d{1,4})m)?(?:(\d{1,6})s?)?", re.IGNORECASE | re.ASCII
)


class BadClip(ValueError):
    """The typed text is not a part of a video."""


def parse(text: str) -> Clip:
    """Parse a part. Raises BadClip."""
    if len(text) > MOST:
        raise BadClip(text[:MOST])
    parts = _SPANS.split(text.strip(), maxsplit=1)
    start = _seconds(parts[0]) if parts[0] else 0.0
    end = _seconds(parts[1]) if len(parts) > 1 and parts[1] else END
    if not any(parts) or end - start < LEAST or end > END:
        raise BadClip(text)
    return Clip(start_seconds=start, end_seconds=end)


def _seconds(text: str) -> float:
    found = _TIME.fullmatch(text)
    if found is None:
        raise BadClip(text)
    hours, minutes, seconds, rest = found.groups()
    whole = int(hours or 0) * 3600 + int(minutes or 0) * 60 + int(seconds)
    return whole + (float(f"0.{rest}") if rest else 0.0)


def written(seconds: float) -> str:
    """Format a time as people write it: `1:20`."""
    whole = int(seconds)
    hours, minutes = whole // 3600, whole // 60 % 60
    return f"{hours}:{minutes:02}:{whole % 60:02}" if hours else f"{minutes}:{whole % 60:02}"


def start_of(link: str) -> float | None:
    """The start time in a link (`t=80`, `t=1m20s`, `start=80`); None if it has none."""
    try:
        parts = urlsplit(link)
        said = parse_qs(parts.query) | parse_qs(parts.fragment)
    except ValueError:
        return None
    for name in ("t", "start"):
        value = said.get(name, [""])[0]
        found = _UNITS.fullmatch(value)
        if value and found is not None:
            hours, minutes, seconds = (int(each or 0) for each in found.groups())
            total = float(hours * 3600 + minutes * 60 + seconds)
            return total if 0 < total < END else None
    return None


def offered(link: str) -> list[str]:
    """Suggested parts if a link has a start time: from there to the end, and one minute."""
    start = start_of(link)
    if start is None:
        return []
    return [f"{written(start)}-", f"{written(start)}-{written(start + USUAL)}"]
