"""Extracts yt-dlp's metadata of a video, sanitized and bounded. Pure."""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from trawler_common.text import sanitize, sanitize_lines
from trawler_crds.sidecar import (
    MOST_CAPTION,
    MOST_CHAPTERS,
    MOST_DESCRIPTION,
    MOST_TAGS,
    MOST_TITLE,
    About,
    Chapter,
)

_MOST_TIME: Final = 10_000_000
"""Upper limit of any time or duration in seconds."""


def about(info: Mapping[str, Any], entries: list[dict[str, Any]]) -> About:
    """The metadata of a single video; for several videos, that of their page."""
    of = entries[0] if len(entries) == 1 else info
    return About(
        published=_published(of),
        description=_text(of.get("description"), MOST_DESCRIPTION),
        licence=_line(of.get("license"), 128),
        tags=list(dict.fromkeys(_tags(of)))[:MOST_TAGS],
        chapters=list(_chapters(of))[:MOST_CHAPTERS],
    )


def caption(entry: Mapping[str, Any]) -> str | None:
    """The page's caption of one of several files."""
    said = _text(entry.get("description"), MOST_CAPTION)
    return said or _line(entry.get("title"), MOST_CAPTION)


def _published(of: Mapping[str, Any]) -> str | None:
    """Convert yt-dlp's dates (YYYYMMDD) to YYYY-MM-DD."""
    said = str(of.get("upload_date") or of.get("release_date") or "")
    if len(said) != 8 or not (said.isascii() and said.isdigit()):
        return None
    return f"{said[:4]}-{said[4:6]}-{said[6:]}"


def _line(value: object, most: int) -> str | None:
    return sanitize(value, limit=most) or None if isinstance(value, str) else None


def _text(value: object, most: int) -> str | None:
    return sanitize_lines(value, limit=most) or None if isinstance(value, str) else None


def _tags(of: Mapping[str, Any]) -> Iterator[str]:
    for key in ("tags", "categories"):
        value = of.get(key)
        for each in value[: 2 * MOST_TAGS] if isinstance(value, list) else ():
            if tag := _line(each, 64):
                yield tag


def _chapters(of: Mapping[str, Any]) -> Iterator[Chapter]:
    value = of.get("chapters")
    for each in value[: 2 * MOST_CHAPTERS] if isinstance(value, list) else ():
        if not isinstance(each, dict):
            continue
        title, start = _line(each.get("title"), MOST_TITLE), _seconds(each.get("start_time"))
        if title and start is not None:
            yield Chapter(
                title=title, start_seconds=start, end_seconds=_seconds(each.get("end_time"))
            )


def _seconds(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) and 0 <= value < _MOST_TIME else None
