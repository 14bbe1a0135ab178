"""Which sight of a Kubernetes object is the newest. Pure.

Sights of an object come from many sides: lists, the watch, answers to our own writes. Each tells
how the object was at some version of the API server's store, and none is "now". These versions
alone decide what is news, so the order in which sights arrive does not matter.
"""

from collections.abc import Callable
from typing import Final, Generic, TypeVar

Thing = TypeVar("Thing")

BURIED: Final = 120.0
"""Seconds for which a deleted object is remembered: longer than any answer may be under way."""

FOREVER: Final = 2**63
"""In place of the version at which an object was gone: its key is never used again, and a list that
still shows it was begun before.
"""


class Replica(Generic[Thing]):
    """The newest sight of each object of a kind. Keys are uids, or names where a kind is kept by
    name.

    `put` is called with what is news, `drop` with the key of what is gone. Both belong to the owner
    of the objects, who never needs to compare versions.
    """

    def __init__(
        self,
        put: Callable[[str, Thing], None],
        drop: Callable[[str], None],
        now: Callable[[], float],
    ) -> None:
        self._put = put
        self._drop = drop
        self._now = now
        self._versions: dict[str, int] = {}
        self._buried: dict[str, tuple[int, float]] = {}
        """Key → the version at which it was gone, and when we learnt that; the oldest first."""
        self._listed: set[str] | None = None
        """Keys of a list that is under way."""

    def knows(self, key: str, version: int) -> bool:
        """Whether this very version is the newest sight: then there is nothing to read."""
        return self._versions.get(key) == version

    def see(self, key: str, version: int, thing: Thing, *, as_of: int | None = None) -> bool:
        """The object as it is at `version`. A list knows besides that it was there `as_of` a later
        one. Answers whether that was news.
        """
        if not self._may_live(key, version if as_of is None else as_of):
            return False
        if version < self._versions.get(key, version):
            return False
        self._versions[key] = version
        self._put(key, thing)
        return True

    def lose(self, key: str, as_of: int) -> bool:
        """The object was gone at this version. Nothing happens where a newer sight shows it
        alive.
        """
        known = self._versions.get(key)
        if known is not None and known > as_of:
            return False
        self._bury(key, as_of)
        if known is None:
            return False
        del self._versions[key]
        self._drop(key)
        return True

    def is_buried(self, key: str, as_of: int) -> bool:
        """Whether the object was gone at a later version than this one."""
        buried = self._buried.get(key)
        return buried is not None and buried[0] >= as_of

    # a full list, page by page ---------------------------------------------------------------

    def begin_list(self) -> None:
        """A list begins; one that was under way is forgotten."""
        self._listed = set()

    def list_one(self, key: str) -> None:
        """The list under way has this object."""
        assert self._listed is not None, "no list is under way"
        self._listed.add(key)

    def end_list(self, as_of: int) -> list[str]:
        """The list is complete. What it does not have was gone at its version, unless a sight newer
        than the list shows it: that is younger. Answers with what is gone.
        """
        assert self._listed is not None, "no list is under way"
        listed, self._listed = self._listed, None
        absent = [
            key for key, known in self._versions.items() if known <= as_of and key not in listed
        ]
        for key in absent:
            self.lose(key, as_of)
        return absent

    def _may_live(self, key: str, as_of: int) -> bool:
        """Whether a sight of this version can be of a living object; a later one than the burial
        says that whoever buried it was wrong.
        """
        buried = self._buried.get(key)
        if buried is None:
            return True
        if as_of <= buried[0]:
            return False
        del self._buried[key]
        return True

    def _bury(self, key: str, as_of: int) -> None:
        before = self._buried.pop(key, (as_of, 0.0))[0]
        self._buried[key] = (max(as_of, before), self._now())
        if self._listed is not None:  # its pages may still show what is gone by now
            return
        while (oldest := next(iter(self._buried))) and self._old(oldest):
            del self._buried[oldest]

    def _old(self, key: str) -> bool:
        return self._now() - self._buried[key][1] > BURIED
