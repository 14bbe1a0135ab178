"""The engines in this very process, as a job process uses them, without the fork around."""

import secrets
from pathlib import Path
from typing import Any

from trawler_crds.media_job import EngineName, Limits, Media
from trawler_worker.fetcher.engines.base import Engine, Found
from trawler_worker.fetcher.validation import validate_all
from trawler_worker.protocol import Fetch, ValidFile


def order(url: str, **more: Any) -> Fetch:
    """Fetch it with nothing special."""
    fields = {"media": Media(), "engines": [], "limits": Limits(), "seconds": 60.0, **more}
    return Fetch(job=f"{secrets.token_hex(8)}-1", url=url, **fields)


class Quiet:
    """Hears reports and forgets them."""

    def __call__(self, done: int, total: int | None, /) -> None: ...

    def told(self, title: str | None, thumbnail: str | None, age_limit: int | None) -> None: ...

    def asking(self) -> None: ...

    def answered(self) -> None: ...


def fetch(engine: Engine, url: str, scratch: Path, **more: Any) -> Found:
    """Raises FetchError."""
    return engine.fetch(order(url, **more), scratch, Quiet())


def proved(engine: Engine, url: str, scratch: Path, **more: Any) -> list[ValidFile]:
    """Fetched and proved. Raises FetchError."""
    wish = order(url, **more)
    found = engine.fetch(wish, scratch, Quiet())
    return validate_all(found, wish, scratch=scratch, moved=lambda *_: None)


BOTH = (EngineName.DIRECT, EngineName.YT_DLP)
