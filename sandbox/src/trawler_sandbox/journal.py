"""A journal of the requests to the site and of how many bytes were sent; tests read it."""

import time
from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(kw_only=True)
class Entry:
    """One request for media."""

    path: str
    """The path, with its query."""
    method: str
    begin: int
    """Offset of the first byte that was requested."""
    size: int
    """Size of the whole file in bytes."""
    sent: int = 0
    complete: bool = False
    """Whether the file was sent up to its end."""
    time: float = field(default_factory=time.time)


class Journal:
    """All entries, newest last; bounded."""

    def __init__(self, most: int = 50_000) -> None:
        self._entries: list[Entry] = []
        self._most = most

    def open(self, path: str, method: str, *, begin: int, size: int) -> Entry:
        entry = Entry(path=path, method=method, begin=begin, size=size)
        self._entries.append(entry)
        del self._entries[: -self._most]
        return entry

    def entries(self, containing: str = "") -> list[Entry]:
        return [entry for entry in self._entries if containing in entry.path]

    def downloads(self, containing: str = "") -> list[Entry]:
        """GET requests that began at the first byte and were sent to the end."""
        return [
            entry
            for entry in self.entries(containing)
            if entry.method == "GET" and entry.complete and entry.begin == 0
        ]

    def wire(self, containing: str = "") -> list[dict[str, Any]]:
        return [asdict(entry) for entry in self.entries(containing)]
