"""Which sight of an object is the newest, whatever the order in which sights arrive."""

from dataclasses import dataclass, field

from hypothesis import given, settings
from hypothesis import strategies as st

from trawler_common.replica import FOREVER, Replica


@dataclass
class Mirror:
    """An owner of objects that keeps their versions."""

    has: dict[str, int] = field(default_factory=dict)
    replica: Replica[int] = field(init=False)

    def __post_init__(self) -> None:
        self.replica = Replica[int](self.has.__setitem__, self.has.__delitem__, lambda: 0.0)


@dataclass
class Store:
    """The API server's store: what was there at each version."""

    version: int = 10
    objects: dict[str, int] = field(default_factory=dict)
    events: list[tuple[str, int, bool]] = field(default_factory=list)
    """Key, version, gone; in order."""

    def put(self, key: str) -> None:
        self.version += 1
        self.objects[key] = self.version
        self.events.append((key, self.version, False))

    def delete(self, key: str) -> None:
        self.version += 1
        del self.objects[key]
        self.events.append((key, self.version, True))


def test_what_the_watch_showed_after_a_list_began_is_not_deleted_by_its_end() -> None:
    """1,500 jobs at 50 creates a second, five lists: 23 jobs were lost for ever."""
    mirror = Mirror()
    mirror.replica.begin_list()
    mirror.replica.see("young", 101, 101)
    assert [] == mirror.replica.end_list(100)
    assert {"young": 101} == mirror.has


def test_what_a_list_shows_though_it_was_deleted_meanwhile_stays_deleted() -> None:
    """Its page is older than the deletion."""
    mirror = Mirror()
    mirror.replica.see("a", 50, 50)
    mirror.replica.begin_list()
    mirror.replica.lose("a", 103)
    mirror.replica.list_one("a")
    mirror.replica.see("a", 50, 50, as_of=100)
    mirror.replica.end_list(100)
    assert {} == mirror.has


def test_a_later_list_brings_back_what_was_wrongly_taken_for_deleted() -> None:
    """A 404 while the API server started said nothing of the object."""
    mirror = Mirror()
    mirror.replica.see("a", 50, 50)
    mirror.replica.lose("a", 50)
    mirror.replica.begin_list()
    mirror.replica.list_one("a")
    mirror.replica.see("a", 50, 50, as_of=200)
    mirror.replica.end_list(200)
    assert {"a": 50} == mirror.has


def test_the_deletion_of_an_older_object_of_the_same_name_is_not_that_of_the_new_one() -> None:
    """Kinds that are kept by name: deleted, and made anew, seen in the wrong order."""
    mirror = Mirror()
    mirror.replica.see("a", 60, 60)
    mirror.replica.lose("a", 55)
    assert {"a": 60} == mirror.has


def test_graves_do_not_grow_without_end() -> None:
    """Each is kept for as long as an answer may be under way."""
    now = 0.0
    replica = Replica[int](lambda *_: None, lambda _: None, lambda: now)
    for number in range(1000):
        now += 1.0
        replica.see(str(number), number, number)
        replica.lose(str(number), number)
    assert len(replica._buried) < 150


class Interleaving:
    """A store, and a mirror of it to which everything comes late, in pieces and in any order."""

    def __init__(self) -> None:
        self.store, self.mirror = Store(), Mirror()
        self.seen = 0
        """Events that the watch has told."""
        self.listing: tuple[int, list[tuple[str, int]]] | None = None
        """The version of a list that is under way, and what is left of it."""
        self.late: list[tuple[str, int]] = []
        """Answers to writes that are still under way."""

    def put(self, number: int) -> None:
        self.store.put(f"k{number}")

    def delete(self, number: int) -> None:
        if f"k{number}" in self.store.objects:
            self.store.delete(f"k{number}")

    def watch(self, count: int) -> None:
        for key, version, gone in self.store.events[self.seen : self.seen + count]:
            if gone:
                self.mirror.replica.lose(key, version)
            else:
                self.mirror.replica.see(key, version, version)
        self.seen = min(len(self.store.events), self.seen + count)

    def list(self, _: int) -> None:
        self.mirror.replica.begin_list()
        self.listing = (self.store.version, sorted(self.store.objects.items()))

    def page(self, count: int) -> None:
        if self.listing is None:
            return
        version, rest = self.listing
        for key, at in rest[:count]:
            self.mirror.replica.list_one(key)
            self.mirror.replica.see(key, at, at, as_of=version)
        self.listing = (version, rest[count:])
        if not rest[count:]:
            self.mirror.replica.end_list(version)
            self.listing = None

    def write(self, number: int) -> None:
        if f"k{number}" in self.store.objects:
            self.put(number)
            self.late.append((f"k{number}", self.store.version))

    def answer(self, _: int) -> None:
        if self.late:
            key, version = self.late.pop(0)
            self.mirror.replica.see(key, version, version)

    def shown_and_there(self) -> set[str]:
        """What the watch showed alive last, and what is still there."""
        last = {key: gone for key, _, gone in self.store.events[: self.seen]}
        return {key for key, gone in last.items() if not gone} & self.store.objects.keys()

    def finish(self) -> None:
        self.watch(len(self.store.events))
        self.page(len(self.store.events))
        while self.late:
            self.answer(0)


STEPS = st.lists(
    st.tuples(
        st.sampled_from(
            ["put", "put", "delete", "watch", "watch", "list", "page", "page", "write", "answer"]
        ),
        st.integers(0, 5),
    ),
    max_size=60,
)


@settings(deadline=None)
@given(STEPS)
def test_lists_watches_and_answers_in_any_order_end_in_what_is_there(
    steps: list[tuple[str, int]],
) -> None:
    """Pages of a list mix with events of the watch and with late answers to writes; a list that
    ends takes nothing for deleted that it could not have shown, and in the end nothing is lost or
    left.
    """
    found = Interleaving()
    for step, number in steps:
        getattr(found, step)(number)
        assert found.shown_and_there() <= found.mirror.has.keys()
    found.finish()
    assert found.store.objects == found.mirror.has


def test_what_we_deleted_ourselves_is_not_brought_back_by_a_list_begun_before() -> None:
    """Its bytes were counted into the day a second time."""
    mirror = Mirror()
    mirror.replica.see("a", 10, 10)
    mirror.replica.begin_list()
    mirror.replica.lose("a", FOREVER)
    mirror.replica.list_one("a")
    assert not mirror.replica.see("a", 10, 10, as_of=15)
    mirror.replica.end_list(15)
    assert {} == mirror.has
