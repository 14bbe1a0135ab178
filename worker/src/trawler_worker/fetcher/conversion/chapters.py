"""The named parts of media, as players show them: the site's, else those inside of the file.
Pure.
"""

import re
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Final

from trawler_crds.sidecar import MOST_CHAPTERS, Chapter

SHORTEST: Final = 0.05
"""Seconds: what begins later than this before the end, or before the next, is no part of its own.
"""
_SPECIAL: Final = re.compile(r"[=;#\\\n]")
"""What has a meaning in a file of ffmpeg's metadata (ffmpeg-formats, Metadata)."""


def within(
    chapters: Iterable[Chapter], seconds: float, *, start: float = 0.0
) -> tuple[Chapter, ...]:
    """Those of a part that begins at `start` and lasts so long, counted from its beginning, one
    after another: each ends where the next one begins, whatever the site said.
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
    """As ffmpeg reads them, from what `within` answered."""
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
    """As ffmpeg is told to write them among the comments of Ogg and FLAC (Xiph's wiki, Chapter
    Extension).
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
    """Without a backslash at its end: ffmpeg 5.1 takes even an escaped one for a line that goes on
    (seen).
    """
    return _SPECIAL.sub(r"\\\g<0>", title.rstrip("\\"))
