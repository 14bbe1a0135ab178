"""Chapters of media, as players show them: the site's own, otherwise those embedded in the file.
Pure.
"""

import re
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Final

from trawler_crds.sidecar import MOST_CHAPTERS, Chapter

SHORTEST: Final = 0.05
"""Minimum length of a chapter in seconds. A chapter that begins closer than this to the end, or to
the next chapter, is dropped.
"""
_SPECIAL: Final = re.compile(r"[=;#\\\n]")
"""Characters with a special meaning in an ffmpeg metadata file (ffmpeg-formats, Metadata)."""


def within(
    chapters: Iterable[Chapter], seconds: float, *, start: float = 0.0
) -> tuple[Chapter, ...]:
    """The chapters of a section that begins at `start` and lasts `seconds`. Times are relative to
    the beginning of the section. Each chapter ends where the next one begins, whatever the site
    reported.
    """
    found: list[Chapter] = []
    for each in sorted(chapters, key=lambda chapter: chapter.start_seconds):
        begins = max(each.start_seconds - start, 0.0)
        if begins > seconds - SHORTEST:
            break
        if found and begins - found[-1].start_seconds < SHORTEST:
            found.pop()
        found.append(Chapter(title=each.title, start_seconds=begins))
    ends = [*(after.start_seconds for _, after in pairwise(found)), seconds]
    return tuple(
        each.model_copy(update={"end_seconds": end})
        for each, end in zip(found[:MOST_CHAPTERS], ends, strict=False)
    )


def metadata(chapters: Sequence[Chapter]) -> str:
    """An ffmpeg metadata file with these chapters, which must come from `within`."""
    lines = [";FFMETADATA1"]
    for each in chapters:
        assert each.end_seconds is not None
        lines += [
            "[CHAPTER]",
            "TIMEBASE=1/1000",
            f"START={round(each.start_seconds * 1000)}",
            f"END={round(each.end_seconds * 1000)}",
            f"title={_escaped(each.title)}",
        ]
    return "\n".join([*lines, ""])


def comments(chapters: Sequence[Chapter]) -> tuple[str, ...]:
    """Options for ffmpeg that write chapters into the comments of Ogg and FLAC files (Xiph wiki,
    Chapter Extension).
    """
    words: list[str] = []
    for number, each in enumerate(chapters):
        minutes, milliseconds = divmod(round(each.start_seconds * 1000), 60_000)
        hours, minutes = divmod(minutes, 60)
        at = f"{hours:02}:{minutes:02}:{milliseconds // 1000:02}.{milliseconds % 1000:03}"
        words += ["-metadata", f"CHAPTER{number:03}={at}"]
        words += ["-metadata", f"CHAPTER{number:03}NAME={each.title}"]
    return tuple(words)


def _escaped(title: str) -> str:
    """Escape a title. Trailing backslashes are removed: ffmpeg 5.1 reads even an escaped one as a
    line continuation (observed).
    """
    return _SPECIAL.sub(r"\\\g<0>", title.rstrip("\\"))
