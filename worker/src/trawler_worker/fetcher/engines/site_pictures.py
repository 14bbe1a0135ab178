"""Fetches the pictures that sites provide for their media: on demand, and within a time limit."""

import functools
import time
from contextlib import closing
from pathlib import Path
from typing import Final

from trawler_crds import addresses
from trawler_worker.fetcher.engines.base import Picture
from trawler_worker.fetcher.errors import FetchError
from trawler_worker.fetcher.network.http import MAX_REDIRECTS, Client, redirects
from trawler_worker.fetcher.network.targets import following, received, target

WITHIN: Final = 10.0
"""Time limit in seconds for all pictures of a job."""
MOST_BYTES: Final = 10_000_000
_PIECE: Final = 64 * 1024


class SitePictures:
    """The pictures of one job, which share one time limit."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._left = WITHIN

    def at(self, address: object, path: Path) -> Picture:
        """Return a function that fetches one picture into a file, or returns None: a missing
        picture fails no job.
        """
        return functools.partial(self._fetch, address, path)

    def _fetch(self, address: object, path: Path) -> Path | None:
        if not isinstance(address, str) or not address or addresses.fault(address):
            return None
        begun = time.monotonic()
        try:
            return path if self._written(address, path, begun + self._left) else None
        except (FetchError, OSError):
            return None
        finally:
            self._left -= time.monotonic() - begun

    def _written(self, address: str, path: Path, until: float) -> bool:
        """Whether the whole picture arrived in time. Raises FetchError and OSError."""
        own, here, size = self._client.sibling(), target(address), 0
        with closing(own):
            for _ in range(MAX_REDIRECTS + 1):
                left = until - time.monotonic()
                if left <= 0:
                    return False
                answer = own.send("GET", here, {}, patience=left)
                if not redirects(answer):
                    break
                answer.close()
                here = following(here, received(answer.headers["Location"]))
            if answer.status != 200:
                return False
            with path.open("wb") as file:
                for piece in answer.pieces(_PIECE):
                    size += len(piece)
                    if size > MOST_BYTES or time.monotonic() > until:
                        return False
                    file.write(piece)
        return size > 0
