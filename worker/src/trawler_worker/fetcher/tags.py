"""What a file says of itself, for players: title, author, date and where it is from. Pure."""

from trawler_crds.media_job import Source
from trawler_crds.sidecar import About

MOST: int = 1000
"""Bytes of a description that go into a file; the sidecar has more of it."""


def words(source: Source, about: About, url: str) -> tuple[str, ...]:
    """As ffmpeg is told; all of it was cleaned where it came in. Of the address that was asked for only what leads
    there: its query may be signed, or somebody's own.
    """
    said = {
        "title": source.title,
        "artist": source.author,
        "date": about.published,
        "description": about.description and about.description[:MOST],
        "copyright": about.licence,
        "comment": source.page if source.page not in {None, url} else url.partition("?")[0],
    }
    return tuple(
        word for name, value in said.items() if value for word in ("-metadata", f"{name}={value}")
    )
